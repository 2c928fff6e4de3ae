"""Notices that a folder of the node that is mounted into this container was removed or moved on the node.

A container keeps the folder that existed when the container was made. If the folder is removed or renamed on the node
(kubeadm reset, a clean-up script), the mount shows the old folder for ever, also when there is a new one at its place.
Then this process must end, so that the kubelet makes the container anew.
"""

from collections.abc import Mapping
from pathlib import Path

DELETED = "//deleted"
"""The end of a removed folder's path in mountinfo, added by the kernel (show_mountinfo, d_path)."""


class StaleFolderError(Exception):
    """A folder that this process sees is not the node's any more; the message says what happens next."""


class MountedFolders:
    """The folders of the node that this process uses. One that is not a mount, or does not exist, is never stale."""

    def __init__(self, *paths: Path, proc: Path = Path("/proc")) -> None:
        self._mountinfo = proc / "self/mountinfo"
        mounts = self._mounts()
        self._mounted = {path: mounts.get(str(path)) for path in paths}
        """What was mounted at each path at first."""

    def expect_fresh(self) -> None:
        """Raise StaleFolderError when a folder was removed or renamed on the node after it was mounted here."""
        mounts = self._mounts()
        for path, before in self._mounted.items():
            mount = mounts.get(str(path))
            if _removed(path) or (mount is not None and mount.endswith(DELETED)):
                raise StaleFolderError(_told(path, "was removed on the node"))
            if mount is not None and before is not None and mount != before:
                raise StaleFolderError(_told(path, f"was moved on the node, from {before} to {mount}"))

    def _mounts(self) -> Mapping[str, str]:
        """Return by mount point the path of the mounted folder in its file system; of several the uppermost.

        Fields of a line (proc_pid_mountinfo(5)): id, parent, device, root, mount point, ...
        """
        try:
            lines = self._mountinfo.read_text(errors="replace").splitlines()
        except OSError:
            return {}
        return {fields[4]: fields[3] for line in lines if len(fields := line.split(" ")) > 4}


def _removed(path: Path) -> bool:
    try:
        return path.stat().st_nlink == 0
    except OSError:
        return False  # the folder does not exist, so it is not mounted; it may come later


def _told(path: Path, what: str) -> str:
    text = f"{path} {what}, so what is there now cannot be seen from this container"
    return f"{text}; this process ends, so that the container is made anew with the folder that is there now"

"""The boot unit on a node: `virtfn-boot.service` and the archive with `virtfn boot`, put there by a DaemonSet.

Only files are written: systemd reads its units at the next boot, so it need not be told, and no way to it is needed.

An uninstalled chart can run nothing on the nodes any more, so the unit removes itself. Each start of the DaemonSet's
pod arms it, and each boot takes that back. At a boot where it is not armed, no pod of virtfn started since the boot
before: it was uninstalled, or switched off, so unit and archive are removed. Should the pod start later after all, it
installs them again. Both note the boot, so another start of the unit within it, as by `systemctl restart`, takes
nothing back and removes nothing.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from virtfn_host.linux.files import read_bounded, write_atomically
from virtfn_host.linux.read.sysfs import UNKNOWN

UNIT = "virtfn-boot.service"
ARCHIVE = "virtfn.pyz"
EXEC = "ExecStart="
WANTED_BY = "multi-user.target.wants"
"""Folder of the target that the unit file names in WantedBy; a link in it is what `systemctl enable` makes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BootUnit:
    """The places of the unit on a node."""

    root: Path = Path("/")
    """Where this process sees the node's root; the files name paths without it."""
    state: Path = Path("var/lib/virtfn-boot")
    units: Path = Path("etc/systemd/system")
    boot_id: str = UNKNOWN
    """The node's present boot."""

    @property
    def archive(self) -> Path:
        """The archive with the program."""
        return self.root / self.state / ARCHIVE

    @property
    def _armed(self) -> Path:
        """Names the boot in which a pod armed the unit; empty if an earlier version did."""
        return self.root / self.state / "armed"

    @property
    def _disarmed(self) -> Path:
        """Names the boot that took the arming back."""
        return self.root / self.state / "disarmed"

    @property
    def _unit(self) -> Path:
        return self.root / self.units / UNIT

    @property
    def _link(self) -> Path:
        return self.root / self.units / WANTED_BY / UNIT

    def install(self, archive: bytes, unit: str, python: str) -> bool:
        """Put archive, unit and link in place where they differ, and arm the unit; return whether any differed.

        The archive comes first, so that no unit starts without it.

        Raises:
            OSError: a file or the link could not be written.
        """
        text = started_by(unit, f"{python} -I -B /{self.state / ARCHIVE} boot --as-unit")
        changed = [self._put(self.archive, archive), self._put(self._unit, text.encode()), self._enable()]
        write_atomically(self._armed, self.boot_id, 0o644)
        return any(changed)

    def disarm(self) -> bool:
        """Take the arming back, once in each boot; return whether the unit stays.

        Raises:
            OSError: a file could not be read, written or removed.
        """
        armed, disarmed = _text(self._armed), _text(self._disarmed)
        if self.boot_id in (UNKNOWN, armed, disarmed):
            return True  # a start after the first one of this boot, or one of which that is unknown
        if armed is None:
            return False
        write_atomically(self._disarmed, self.boot_id, 0o644)  # first: a kill in between leaves it armed
        self._armed.unlink()
        return True

    def remove(self) -> None:
        """Remove unit, link, archive and folder, and nothing else.

        Raises:
            OSError: one of them is there and could not be removed.
        """
        for path in (self._link, self._unit, self._armed, self._disarmed, self.archive):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # something else is in it
            self.archive.parent.rmdir()

    def _put(self, path: Path, data: bytes) -> bool:
        with contextlib.suppress(OSError):  # what cannot be read is not ours: it is replaced, or the write fails
            if read_bounded(path) == data:
                return False
        write_atomically(path, data, 0o644)
        return True

    def _enable(self) -> bool:
        self._link.parent.mkdir(exist_ok=True)
        target = f"../{UNIT}"
        with contextlib.suppress(OSError):
            if os.readlink(self._link) == target:
                return False
        self._link.unlink(missing_ok=True)
        os.symlink(target, self._link)
        return True


def _text(path: Path) -> str | None:
    data = read_bounded(path)
    return None if data is None else data.decode(errors="replace")


def started_by(unit: str, command: str) -> str:
    """Return the text of a unit with another command.

    Raises:
        ValueError: the unit has not exactly one line that starts something.
    """
    lines = list(_with_command(unit, command))
    if sum(line.startswith(EXEC) for line in lines) != 1:
        raise ValueError(f"want one line {EXEC}... in {UNIT}")
    return "\n".join(lines) + "\n"


def _with_command(unit: str, command: str) -> Iterator[str]:
    for line in unit.splitlines():
        yield f"{EXEC}{command}" if line.startswith(EXEC) else line

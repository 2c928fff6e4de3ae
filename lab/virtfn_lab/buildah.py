"""Buildah as the lab uses it: without a daemon, a registry or a kernel feature that a container may lack.

Knows nothing of what is built with it.
"""

from dataclasses import dataclass
from pathlib import Path

from virtfn_lab.run import run


@dataclass(frozen=True, slots=True, kw_only=True)
class Buildah:
    """One storage of images and layers; a call is one command, and its answer what it printed."""

    storage: Path | None = None
    """None: the machine's own, which keeps layers from build to build."""

    def __call__(self, *words: str | Path) -> str:
        """Run `buildah WORDS`.

        Raises:
            CommandFailedError: it failed.
        """
        own: list[str | Path] = []
        if self.storage:
            own = ["--root", self.storage / "root", "--runroot", self.storage / "run"]
        environment = {"STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot"}
        return run(["buildah", *own, *words], env=environment, timeout=1800)

    def load(self, archive: Path, name: str) -> None:
        """Take an image out of an OCI archive and give it a name."""
        image = self("pull", "--quiet", f"oci-archive:{archive}").strip()
        self("tag", image, name)

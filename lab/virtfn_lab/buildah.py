"""Buildah as the lab runs it: without a daemon, a registry or a kernel feature that a container may lack.

It knows nothing of the images.
"""

from dataclasses import dataclass
from pathlib import Path

from virtfn_lab.run import run


@dataclass(frozen=True, slots=True, kw_only=True)
class Buildah:
    """One storage of images and layers; a call runs one buildah command and returns its output."""

    storage: Path | None = None
    """Folder of the storage; None for the machine's own, which keeps layers from build to build."""

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
        """Load an image from an OCI archive and give it a name."""
        image = self("pull", "--quiet", f"oci-archive:{archive}").strip()
        self("tag", image, name)

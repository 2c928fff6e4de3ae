"""IOMMU groups in the fake kernel's tree; a group number is never used twice."""

import os
import shutil
from pathlib import Path


class FakeGroups:
    """The groups and their members; `device` is a function's folder."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "sys/kernel/iommu_groups"
        self._folder.mkdir(parents=True)
        self._next = 0

    def new(self, name: str = "") -> Path:
        """Make an empty group. Its number is always new, so that a changed group is noticed."""
        while (group := self._folder / str(self._next)).exists():
            self._next += 1
        self._next += 1
        (group / "devices").mkdir(parents=True)
        if name:
            (group / "name").write_text(f"{name}\n")
        return group

    def renumber(self) -> None:
        """Hand out the lowest free numbers from now on, as a kernel does after a boot."""
        self._next = 0

    def join(self, device: Path, group: Path) -> None:
        """Add a function to a group."""
        (group / "devices" / device.name).symlink_to(f"../../../../bus/pci/devices/{device.name}")
        (device / "iommu_group").symlink_to(f"../../../../kernel/iommu_groups/{group.name}")

    def leave(self, device: Path) -> None:
        """Remove a function from its group; a group ends with its last member."""
        group = (device / "iommu_group").resolve()
        (group / "devices" / device.name).unlink()
        if not any((group / "devices").iterdir()):
            shutil.rmtree(group)
        (device / "iommu_group").unlink()

    def number(self, device: Path) -> int | None:
        """Return the number of a function's group, or None."""
        try:
            return int(os.path.basename(os.readlink(f"{device}/iommu_group")))
        except FileNotFoundError:
            return None

    def on_vfio(self, device: Path) -> int:
        """Return how many members of a function's group are on vfio-pci."""
        return sum((member / "vfio-dev").exists() for member in (device / "iommu_group/devices").iterdir())

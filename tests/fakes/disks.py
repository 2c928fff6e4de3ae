"""Disks of a made up machine: where sysfs shows them, and what is mounted from them."""

import os
from pathlib import Path

from virtfn_host.core.values.address import PciAddress
from virtfn_host.linux.look.needs import needed, needed_for
from virtfn_host.linux.read.onelook import OneLook
from virtfn_host.linux.read.sysfs import Sysfs

DISK, CARD, SCREEN = (PciAddress(0, n, 0, 0) for n in (1, 2, 3))


def nvme_disk(root: Path, *folders: Path, number: str = "259:0") -> None:
    """Make nvme0n1, with a partition: a disk that the controllers of several functions may reach.

    With nvme_core.multipath the kernel puts it below the subsystem, and a hidden disk for each path below a controller.

    Args:
        folders: of the functions, each of which has a path to it.
    """
    subsystem = root / "sys/devices/virtual/nvme-subsystem/nvme-subsys0"
    disk = subsystem / "nvme0n1"
    shown = {"nvme0n1": disk, "nvme0n1p2": disk / "nvme0n1p2"}
    for index, folder in enumerate(folders):
        shown[f"nvme0c{index}n1"] = folder / f"nvme/nvme{index}/nvme0c{index}n1"
    for name, place in shown.items():
        place.mkdir(parents=True)
        _link(root / f"sys/class/block/{name}", place)
    for index, folder in enumerate(folders):
        _link(subsystem / f"nvme{index}", folder / f"nvme/nvme{index}")
    _link(root / f"sys/dev/block/{number}", disk)


def _link(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(os.path.relpath(target, path.parent))


class Tree:
    """A /sys and /proc to be filled by a test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("sys/class/block", "sys/class/net", "sys/dev/block", "dev", "proc/1/net"):
            (root / folder).mkdir(parents=True)

    def device(self, function: PciAddress, kind: str, name: str, number: str = "") -> Path:
        """Add a block device or netdev of a function."""
        folder = self.root / f"sys/devices/pci0000:00/{function}/{kind}/{name}"
        return self.known(folder, kind, name, number)

    def known(self, folder: Path, kind: str, name: str, number: str = "") -> Path:
        folder.mkdir(parents=True)
        (self.root / f"sys/class/{kind}/{name}").symlink_to(folder)
        if number:
            (self.root / f"sys/dev/block/{number}").symlink_to(folder)
        return folder

    def mount(self, number: str, where: str, source: str = "/dev/x", kind: str = "ext4", options: str = "rw") -> None:
        line = f"22 1 {number} / {where} rw,relatime shared:1 - {kind} {source} {options}\n"
        (self.root / "proc/1/mountinfo").write_text(line)

    def needed(self) -> dict[PciAddress, str]:
        look = OneLook(Sysfs(self.root / "sys", self.root / "dev", self.root / "proc"))
        told = {address: needed_for(look, address) for address in (DISK, CARD, SCREEN)}
        return {**needed(look), **{address: text for address, text in told.items() if text is not None}}

"""VFIO in the fake kernel's tree: the files of functions that are bound to it, and programs that use them."""

import errno
import fcntl
import os
import shutil
from pathlib import Path

from virtfn_host.core.values.address import PciAddress

PROGRAM = "4242"
"""Id of the process that has cdevs open."""


class FakeVfio:
    """Groups, cdevs and their users; a kernel has groups, cdevs or both."""

    def __init__(self, root: Path, *, groups: bool, cdevs: bool) -> None:
        self.root = root
        self.groups = groups
        self.cdevs = cdevs
        self.opened: set[PciAddress] = set()
        """Functions that a program has open; their unbind blocks."""
        self._taken: set[int] = set()
        """Groups that are open; a second open gets EBUSY."""
        for folder in ("dev/vfio", "sys/class/vfio"):
            (root / folder).mkdir(parents=True)
        if cdevs:
            (root / "sys/class/misc/iommu").mkdir(parents=True)
            (root / "dev/iommu").touch()
        for pid, name in (("1", "init"), (PROGRAM, "python3")):
            (root / f"proc/{pid}/ns").mkdir(parents=True)
            (root / f"proc/{pid}/ns/pid").symlink_to("pid:[4026531836]")
            (root / f"proc/{pid}/fd").mkdir()
            (root / f"proc/{pid}/comm").write_text(f"{name}\n")

    # --- the driver -----------------------------------------------------------------------------------------------

    def bind(self, address: PciAddress, node: str) -> None:
        """Bind a function to vfio-pci; `node` is the name of its group's device node."""
        folder = self._device(address) / "vfio-dev" / self._cdev(address)
        folder.mkdir(parents=True)
        if self.groups:
            (self.root / "dev/vfio/vfio").touch()  # there as long as vfio is loaded
            self._group_node(node).touch()
            (self.root / "sys/class/vfio" / node).mkdir(exist_ok=True)
        if self.cdevs:
            (folder / "dev").write_text("510:0\n")
            (self.root / "dev/vfio/devices").mkdir(exist_ok=True)
            (self.root / "dev/vfio/devices" / folder.name).touch()

    def unbind(self, address: PciAddress, node: str, alone: bool) -> None:
        """Unbind a function; with the last of a group the group's node goes."""
        (self.root / "dev/vfio/devices" / self._cdev(address)).unlink(missing_ok=True)
        shutil.rmtree(self._device(address) / "vfio-dev")
        if alone:
            self._group_node(node).unlink(missing_ok=True)
            shutil.rmtree(self.root / "sys/class/vfio" / node, ignore_errors=True)

    # --- its users ------------------------------------------------------------------------------------------------

    def open_group(self, node: Path) -> int:
        """Open a group, exclusively until it is closed, as the kernel does."""
        if _number(node.name) in self._taken:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        fd = os.open(node, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY)) from None
        return fd

    def use(self, address: PciAddress, node: str) -> None:
        """Let a program open a function to use it: through its group or, where there is none, its cdev."""
        if self.groups:
            self.take_group(node)
        else:
            self.open_cdev(address)
        self.opened.add(address)
        (self._device(address) / "enable").write_text("1\n")

    def take_group(self, node: str) -> None:
        """Let a program open a group and keep it; EBUSY while the group is open."""
        os.close(self.open_group(self._group_node(node)))
        self._taken.add(_number(node))
        (self.root / "proc" / PROGRAM / "fd" / node).symlink_to(f"/dev/vfio/{node}")

    def open_cdev(self, address: PciAddress) -> None:
        """Let a program open a cdev and do no more: only its open file shows it, and an open group does not stop it."""
        cdev = self._cdev(address)
        (self.root / "proc" / PROGRAM / "fd" / cdev).symlink_to(f"/dev/vfio/devices/{cdev}")
        self.opened.add(address)

    def bind_cdev(self, address: PciAddress, node: str) -> None:
        """Let a program call VFIO_DEVICE_BIND_IOMMUFD on an open cdev; refused while the group is open."""
        if self.groups:
            os.close(self.open_group(self._group_node(node)))
            self._taken.add(_number(node))
        (self._device(address) / "enable").write_text("1\n")

    def close(self, address: PciAddress, node: str) -> None:
        """End the program that uses a function, in whatever way."""
        self.opened.discard(address)
        self._taken.discard(_number(node))
        for name in (node, self._cdev(address)):
            (self.root / "proc" / PROGRAM / "fd" / name).unlink(missing_ok=True)
        if (enable := self._device(address) / "enable").exists():
            enable.write_text("0\n")

    def _device(self, address: PciAddress) -> Path:
        return self.root / "sys/bus/pci/devices" / str(address)

    def _group_node(self, node: str) -> Path:
        return self.root / "dev/vfio" / node

    def _cdev(self, address: PciAddress) -> str:
        """Return the name of a function's cdev, with a number that no other function has."""
        return f"vfio{address.bus << 8 | address.device << 3 | address.function}"


def _number(node: str) -> int:
    return int(node.removeprefix("noiommu-"))

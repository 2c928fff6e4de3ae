"""Another program's blocked write to the fake kernel's sysfs: half done, and reads of `sriov_numvfs` hang."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from virtfn_host.core.values.address import PciAddress

if TYPE_CHECKING:
    from kernel import FakeKernel

HOLDER, WRITER = 4242, 777
"""Process ids of the program that has a VF open, and of the writer."""


def shows_open(root: Path, pid: int, name: str, target: str, fd: int) -> None:
    """Show in /proc that a process has a file open."""
    folder = root / f"proc/{pid}/fd"
    folder.mkdir(parents=True, exist_ok=True)
    (folder.parent / "comm").write_text(f"{name}\n")
    (folder / str(fd)).unlink(missing_ok=True)
    (folder / str(fd)).symlink_to(target)


class Outsider:
    """A write of `0` to a PF's `sriov_numvfs`, or of a VF to its driver's `unbind`; blocked while a VF is open."""

    def __init__(self, kernel: FakeKernel, path: Path, value: str) -> None:
        self._kernel = kernel
        self._numvfs = path if path.name == "sriov_numvfs" else None
        vf = None if self._numvfs else PciAddress.parse(value)
        self._left = kernel._vfs(PciAddress.parse(path.parent.name)) if vf is None else [vf]
        self._waited: set[PciAddress] = set()
        """VFs that were open when their turn came; they are half gone since then."""
        where = (
            f"devices/pci0000:00/{path.parent.name}/sriov_numvfs" if vf is None else "bus/pci/drivers/vfio-pci/unbind"
        )
        shows_open(kernel.root, WRITER, "sh", f"/sys/{where}", fd=1)
        if self._numvfs is not None:
            self._numvfs.unlink()
            os.mkfifo(self._numvfs)  # opening a fifo blocks, as a read of the real attribute does
        if self.goes_on():
            raise AssertionError("no program has it open, so this write does not block")

    @property
    def resizes(self) -> bool:
        """Whether the write has the lock of all PCI devices; an unbind has the lock of its VF only."""
        return self._numvfs is not None

    def goes_on(self) -> bool:
        """Carry the write on until it blocks; return whether it has ended."""
        while self._left:
            vf = self._left[0]
            self._half(vf)
            if vf in self._kernel.vfio.opened:
                return False
            self._rest(vf)
            self._left.pop(0)
        if self._numvfs is not None:
            fd = os.open(self._numvfs, os.O_RDWR | os.O_NONBLOCK)  # lets waiting calls of open(2) and read(2) return
            os.write(fd, b"0\n")
            self._numvfs.unlink()
            self._numvfs.write_text("0\n")
            os.close(fd)
        shutil.rmtree(self._kernel.root / f"proc/{WRITER}")
        return True

    def _half(self, vf: PciAddress) -> None:
        """Remove what is gone while the kernel waits for the user of a VF."""
        folder = self._kernel.devices / str(vf)
        if vf in self._kernel.vfio.opened:
            self._waited.add(vf)
            (folder / "driver").unlink(missing_ok=True)
        if self._numvfs is not None:
            (folder / "physfn").unlink(missing_ok=True)
            for link in self._numvfs.parent.glob("virtfn*"):
                if link.readlink().name == str(vf):
                    link.unlink()

    def _rest(self, vf: PciAddress) -> None:
        driver = self._kernel.devices / str(vf) / "driver"
        if vf in self._waited:
            driver.symlink_to("../../drivers/vfio-pci")
        if driver.exists():
            self._kernel._unbind(vf)
        if self._numvfs is not None:
            self._kernel._remove(vf)

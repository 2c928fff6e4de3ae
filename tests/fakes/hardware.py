"""The machine under the contract, fake or real, with a user of its VFs as a pod would be."""

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kernel import FakeKernel

from virtfn_host.core.address import PciAddress
from virtfn_host.linux.apply import Machine
from virtfn_host.linux.inventory import read_inventory
from virtfn_host.linux.sysfs import Sysfs


class Lab:
    """The machine under test, and a user of its VFs."""

    def __init__(self, machine: Machine, fake: FakeKernel | None) -> None:
        self.machine = machine
        self.sysfs = machine.sysfs
        self.fake = fake
        found = read_inventory(self.sysfs).pfs
        self.pfs = [pf.address for pf in found if (pf.vendor, pf.device) == ("8086", "10c9")]

    @property
    def pf(self) -> PciAddress:
        """The first idle igb."""
        return self.pfs[0]

    def raw(self, path: str | Path, value: str) -> None:
        """One write(2) without any of our care; raises OSError."""
        if self.fake is not None:
            self.fake.write(Path(path), value)
            return
        fd = os.open(path, os.O_WRONLY)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)

    def errno(self, path: str | Path, value: str) -> int:
        """What the kernel answers to a write, 0 for yes."""
        try:
            self.raw(path, value)
        except OSError as error:
            return error.errno or -1
        return 0

    def make(self, pf: PciAddress, number: int, autoprobe: bool = False) -> list[PciAddress]:
        """VFs by hand, without a driver unless autoprobe."""
        self.raw(self.sysfs.device(pf, "sriov_drivers_autoprobe"), f"{autoprobe:d}")
        self.raw(self.sysfs.device(pf, "sriov_numvfs"), str(number))
        vfs = self.sysfs.vf_addresses(pf)
        return [vfs[index] for index in sorted(vfs)]

    def to_vfio(self, vf: PciAddress) -> None:
        """Bind by hand."""
        self.machine.modules.load("vfio-pci", 30)
        self.raw(self.sysfs.device(vf, "driver_override"), "vfio-pci")
        self.raw(self.sysfs.driver("vfio-pci", "bind"), str(vf))

    @contextmanager
    def used(self, vf: PciAddress) -> Iterator[None]:
        """Hold a VF open through vfio, as a pod does."""
        if self.fake is not None:
            self.fake.open_device(vf)
            try:
                yield
            finally:
                self.fake.close_device(vf)
            return
        fds = _open_vfio(self.sysfs, vf)
        try:
            yield
        finally:
            for fd in fds:
                os.close(fd)


def _open_vfio(sysfs: Sysfs, vf: PciAddress) -> list[int]:
    """Container, group, device: <linux/vfio.h>, type 1 IOMMU."""
    vfio = ord(";") << 8
    container = os.open("/dev/vfio/vfio", os.O_RDWR | os.O_CLOEXEC)
    group = os.open(sysfs.group_node(sysfs.group(vf) or 0), os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(group, vfio | 104, struct.pack("i", container))  # VFIO_GROUP_SET_CONTAINER
    fcntl.ioctl(container, vfio | 102, 1)  # VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU
    device = fcntl.ioctl(group, vfio | 106, bytearray(str(vf).encode() + b"\0"))  # VFIO_GROUP_GET_DEVICE_FD
    return [device, group, container]

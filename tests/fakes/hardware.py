"""The machine of the contract tests, fake or real, with a user of its VFs that acts as a pod does."""

import fcntl
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kernel import FakeKernel
from netlink import given_address
from outsider import HOLDER, WRITER, Outsider

from virtfn_host.core.values.address import PciAddress
from virtfn_host.linux.act.machine import Machine
from virtfn_host.linux.read.sysfs import Sysfs

IN_GUEST = bool(os.environ.get("VIRTFN_IN_GUEST"))
"""Whether this is a real machine, not the fake one."""
NOBODY = 65534
VFIO = ord(";") << 8
TYPE1_IOMMU, NO_IOMMU = 1, 8


class Lab:
    """The machine under test, and a user of its VFs."""

    def __init__(self, machine: Machine, fake: FakeKernel | None) -> None:
        self.machine = machine
        self.sysfs = machine.sysfs
        self.fake = fake
        self._outsiders: list[subprocess.Popen[bytes]] = []
        self.pfs = self._of_kind("0x10c9")
        self.siblings = self._of_kind("0x10d3")
        """Functions that share one IOMMU group."""

    def _of_kind(self, device: str) -> list[PciAddress]:
        names = self.sysfs.names(self.sysfs.sys / "bus/pci/devices") or ()
        found = map(PciAddress.parse, names)
        return [each for each in found if self.sysfs.read(self.sysfs.device(each, "device")) == device]

    @property
    def pf(self) -> PciAddress:
        """The first idle igb PF."""
        return self.pfs[0]

    def raw(self, path: str | Path, value: str) -> None:
        """Make one write(2), without any of our checks; raises OSError."""
        if self.fake is not None:
            self.fake.write(Path(path), value)
            return
        fd = os.open(path, os.O_WRONLY)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)

    def errno(self, path: str | Path, value: str) -> int:
        """Return the errno of a write, 0 if it succeeded."""
        try:
            self.raw(path, value)
        except OSError as error:
            return error.errno or -1
        return 0

    def make(self, pf: PciAddress, number: int, autoprobe: bool = False) -> list[PciAddress]:
        """Make VFs by hand, without a driver unless `autoprobe`."""
        self.raw(self.sysfs.device(pf, "sriov_drivers_autoprobe"), f"{autoprobe:d}")
        self.raw(self.sysfs.device(pf, "sriov_numvfs"), str(number))
        vfs = self.sysfs.vf_addresses(pf)
        return [vfs[index] for index in sorted(vfs)]

    def to_vfio(self, vf: PciAddress) -> None:
        """Bind a VF to vfio-pci by hand."""
        self.machine.modules.load("vfio-pci", 30)
        self.raw(self.sysfs.device(vf, "driver_override"), "vfio-pci")
        self.raw(self.sysfs.driver("vfio-pci", "bind"), str(vf))

    def off_vfio(self, address: PciAddress) -> None:
        """Unbind a function by hand and clear its override."""
        self.raw(self.sysfs.device(address, "driver/unbind"), str(address))
        self.raw(self.sysfs.device(address, "driver_override"), "\n")

    @property
    def holder(self) -> int:
        """Process id of the process that has VFs open in `used`."""
        return HOLDER if self.fake is not None else os.getpid()

    def outsider(self, path: str | Path, value: str) -> int:
        """Start a write by another process that will block; return that process's id."""
        if self.fake is not None:
            self.fake.outsider = Outsider(self.fake, Path(path), value)
            return WRITER
        self._outsiders.append(subprocess.Popen(["sh", "-c", f"echo {value} > {path}"]))
        return self._outsiders[-1].pid

    def outsiders_end(self) -> None:
        """Wait until all of these writes have returned, after the device was closed."""
        while self._outsiders:
            assert self._outsiders.pop().wait(30) == 0

    def netdev(self, function: PciAddress) -> str:
        """Return the name of a function's netdev."""
        (name,) = self.sysfs.names(self.sysfs.device(function, "net")) or ()
        return name

    def ifindex(self, function: PciAddress) -> int:
        """Return the number of a function's netdev in its network namespace."""
        return int(self.sysfs.read(self.sysfs.device(function, "net", self.netdev(function), "ifindex")) or 0)

    def set_up(self, function: PciAddress, up: bool) -> None:
        """`ip link set NETDEV up` or `down`; a PF that goes up has a carrier a moment later."""
        if self.fake is not None:
            netdev = Path(self.sysfs.device(function, "net", self.netdev(function)))
            (netdev / "flags").write_text("0x1003\n" if up else "0x1002\n")
            if up and (given := given_address(self.fake, function)) is not None:
                (netdev / "address").write_text(f"{given}\n")
            return
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            request = bytearray(struct.pack("16sH22x", self.netdev(function).encode(), 0))
            fcntl.ioctl(any_socket, 0x8913, request)  # SIOCGIFFLAGS
            (flags,) = struct.unpack_from("H", request, 16)
            struct.pack_into("H", request, 16, flags | 1 if up else flags & ~1)
            fcntl.ioctl(any_socket, 0x8914, request)  # SIOCSIFFLAGS

    def assign(self, function: PciAddress, address: str) -> None:
        """Give a netdev an IPv4 address; `0.0.0.0` takes it away."""
        if self.fake is not None:
            self.fake.addresses[self.netdev(function)] = () if address == "0.0.0.0" else (f"{address}/8",)
            return
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            name = self.netdev(function).encode()
            request = struct.pack("16sHH4s16x", name, socket.AF_INET, 0, socket.inet_aton(address))
            fcntl.ioctl(any_socket, 0x8916, request)  # SIOCSIFADDR

    @contextmanager
    def named_also(self, function: PciAddress, other: str) -> Iterator[None]:
        """Give a netdev an alternative name: `ip link property add dev NETDEV altname OTHER`."""
        netdev = self.netdev(function)
        if self.fake is not None:
            self.fake.other_names[netdev] = (other,)
            yield
            del self.fake.other_names[netdev]
            return
        subprocess.run(["ip", "link", "property", "add", "dev", netdev, "altname", other], check=True)
        try:
            yield
        finally:
            subprocess.run(["ip", "link", "property", "del", "dev", netdev, "altname", other], check=True)

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
        group = self.sysfs.group(vf)
        if group is None or not self.sysfs.has_group_node(group):
            with self.cdev_open(vf, bound=True):
                yield
            return
        with _closing(open_vfio(self.sysfs, vf)):
            yield

    @contextmanager
    def cdev_open(self, vf: PciAddress, bound: bool = False) -> Iterator[None]:
        """Hold a VF's cdev open; if `bound`, also bind it to an IOMMU context, as a program that uses it does."""
        if self.fake is not None:
            self.fake.vfio.open_cdev(vf)
            try:
                if bound:
                    self.fake.vfio.bind_cdev(vf, self.fake.node(vf))
                yield
            finally:
                self.fake.close_device(vf)
            return
        device = os.open(f"/dev/vfio/devices/{self.sysfs.cdev(vf)}", os.O_RDWR | os.O_CLOEXEC)
        with _closing([device]), _closing(_bind_iommufd(device) if bound else []):
            yield

    @contextmanager
    def without_privilege(self) -> Iterator[None]:
        """Within this context we may not look at the open files of other processes."""
        if self.fake is not None:
            self.fake.hidden = True
            try:
                yield
            finally:
                self.fake.hidden = False
            return
        os.seteuid(NOBODY)
        try:
            yield
        finally:
            os.seteuid(0)


@contextmanager
def _closing(fds: list[int]) -> Iterator[None]:
    try:
        yield
    finally:
        for fd in fds:
            os.close(fd)


def open_vfio(sysfs: Sysfs, vf: PciAddress) -> list[int]:
    """Open a VF through <linux/vfio.h>; return file descriptors of device, group and container."""
    group = sysfs.group(vf) or 0
    node = sysfs.group_node(group)
    iommu = NO_IOMMU if sysfs.group_name(group).startswith("noiommu") else TYPE1_IOMMU
    fds: list[int] = []
    try:
        fds.insert(0, os.open("/dev/vfio/vfio", os.O_RDWR | os.O_CLOEXEC))
        fds.insert(0, os.open(node, os.O_RDWR | os.O_CLOEXEC))
        group, container = fds
        fcntl.ioctl(group, VFIO | 104, struct.pack("i", container))  # VFIO_GROUP_SET_CONTAINER
        fcntl.ioctl(container, VFIO | 102, iommu)  # VFIO_SET_IOMMU
        device = fcntl.ioctl(group, VFIO | 106, bytearray(str(vf).encode() + b"\0"))  # VFIO_GROUP_GET_DEVICE_FD
    except OSError:
        for fd in fds:
            os.close(fd)
        raise
    return [device, *fds]


def _bind_iommufd(device: int) -> list[int]:
    iommufd = os.open("/dev/iommu", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(device, VFIO | 118, struct.pack("IIiI", 16, 0, iommufd, 0))  # VFIO_DEVICE_BIND_IOMMUFD
    except OSError:
        os.close(iommufd)
        raise
    return [iommufd]

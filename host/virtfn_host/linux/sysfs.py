"""The only file that opens /sys. Knows paths and bytes, not what they mean.

Absent is not unreadable: a missing file gives None, anything else that goes wrong raises with the path. `sriov_numvfs`
is never read here: reading it hangs behind a blocked write of anybody (measured). `canary.py` does, in a child.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from virtfn_host.core.address import PciAddress
from virtfn_host.linux.errors import SysfsReadError


def override_text(text: str | None) -> str | None:
    """What `driver_override` says: the kernel prints a cleared one as `(null)`, which must never be written back."""
    return None if text in (None, "", "(null)") else text


def _contents(path: str | Path) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = [os.read(fd, 65536)]
        # An attribute is less than a page, so what is shorter is complete; other files go on.
        while len(parts[-1]) >= 4096:
            parts.append(os.read(fd, 65536))
    finally:
        os.close(fd)
    return b"".join(parts)


class Sysfs:
    """A machine's /sys, /dev and /proc under one root ("/" for this machine)."""

    def __init__(self, sys: Path = Path("/sys"), dev: Path = Path("/dev"), proc: Path = Path("/proc")) -> None:
        self.sys = sys
        self.dev = dev
        self.proc = proc
        # Text, not Path: a look at 256 VFs makes ten thousand paths, and making them was half of its time (measured).
        self._devices = f"{sys}/bus/pci/devices"
        self._drivers = f"{sys}/bus/pci/drivers"
        self._groups = f"{sys}/kernel/iommu_groups"
        self._iommufd = f"{sys}/class/misc/iommu"
        self._noiommu_mode = f"{sys}/module/vfio/parameters/enable_unsafe_noiommu_mode"

    def device(self, address: PciAddress, *names: str) -> str:
        """Path of an attribute of a PCI function."""
        return f"{self._devices}/{address}/{'/'.join(names)}" if names else f"{self._devices}/{address}"

    def driver(self, name: str, *names: str) -> str:
        """Path of an attribute of a PCI driver."""
        return "/".join((self._drivers, name, *names))

    def read(self, path: str | Path) -> str | None:
        """Contents without trailing white space, or None where there is no such file.

        Raises:
            SysfsReadError: it is there and does not read.
        """
        try:
            return _contents(path).decode(errors="surrogateescape").rstrip()
        except (FileNotFoundError, ProcessLookupError):
            return None
        except OSError as error:
            # ENODEV: the device went away while we held the file open.
            if error.errno == errno.ENODEV:
                return None
            raise SysfsReadError(str(path), error) from error

    def link(self, path: str | Path) -> str | None:
        """Last part of a link's target, or None where there is no link."""
        try:
            return os.readlink(path).rpartition("/")[2]
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SysfsReadError(str(path), error) from error

    def names(self, path: str | Path) -> tuple[str, ...] | None:
        """Sorted entries of a folder, or None where there is none."""
        try:
            return tuple(sorted(os.listdir(path)))
        except (FileNotFoundError, ProcessLookupError):
            return None
        except OSError as error:
            raise SysfsReadError(str(path), error) from error

    def functions(self) -> Iterator[PciAddress]:
        """Every PCI function of the machine, sorted by what the kernel calls it."""
        for name in self.names(self._devices) or ():
            with contextlib.suppress(ValueError):  # whatever that is, it is no PCI function
                yield PciAddress.parse(name)

    def hex_digits(self, address: PciAddress, name: str) -> str:
        """`vendor`, `device` or `class` without its 0x; empty where there is no such function."""
        return (self.read(self.device(address, name)) or "").removeprefix("0x")

    def numa_node(self, address: PciAddress) -> int | None:
        """NUMA node of a function, or None where the kernel knows none (-1)."""
        text = self.read(self.device(address, "numa_node"))
        return None if text is None or int(text) < 0 else int(text)

    def bound_driver(self, address: PciAddress) -> str | None:
        """The driver that has a function, or None."""
        return self.link(self.device(address, "driver"))

    def override(self, address: PciAddress) -> str | None:
        """`driver_override`, None when it is cleared."""
        return override_text(self.read(self.device(address, "driver_override")))

    def group(self, address: PciAddress) -> int | None:
        """IOMMU group of a function, or None: no IOMMU for it."""
        number = self.link(self.device(address, "iommu_group"))
        return None if number is None else int(number)

    def vfio_bound(self, address: PciAddress) -> bool:
        """Whether its driver is a vfio driver of any name: those own `vfio-dev/` (Linux 6.1 and later)."""
        return self.bound_driver(address) is not None and self.names(self.device(address, "vfio-dev")) is not None

    def vf_addresses(self, pf: PciAddress) -> dict[int, PciAddress]:
        """Index to address of every VF, from the `virtfnN` links: safe to read also behind a blocked write."""
        found, folder = {}, self.device(pf)
        for name in self.names(folder) or ():
            is_vf = name.startswith("virtfn") and name[6:].isdigit()
            if is_vf and (target := self.link(f"{folder}/{name}")) is not None:
                found[int(name[6:])] = PciAddress.parse(target)
        return found

    def vf_address(self, pf: PciAddress, index: int) -> PciAddress | None:
        """Address of one VF, or None where there is none of this index."""
        target = self.link(self.device(pf, f"virtfn{index}"))
        return None if target is None else PciAddress.parse(target)

    def net_folder(self, address: PciAddress) -> str:
        """Folder of a function's netdevs: `net`, which on a virtio card lies below its `virtioN`; it may not exist."""
        for name in self.names(self.device(address)) or () if self.bound_driver(address) == "virtio-pci" else ():
            if name.startswith("virtio"):
                return self.device(address, name, "net")
        return self.device(address, "net")

    def device_nodes(self, address: PciAddress) -> tuple[str, ...]:
        """`/dev/nvme0n1` and the like: the nodes of every device below a function."""
        return tuple(sorted(self._nodes_below(self.device(address))))

    def _nodes_below(self, folder: str) -> Iterator[str]:
        def unreadable(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError | ProcessLookupError):
                raise SysfsReadError(error.filename or folder, error) from error

        # By what the listing itself says is a folder: to ask for each entry took ten times as long (measured).
        for path, _, files in os.walk(folder, onerror=unreadable):
            if "dev" in files:
                lines = (self.read(f"{path}/uevent") or "").splitlines()
                yield from (f"/dev/{line.removeprefix('DEVNAME=')}" for line in lines if line.startswith("DEVNAME="))

    def group_name(self, number: int) -> str:
        """What vfio calls a group: `N`, or `noiommu-N` where it runs without an IOMMU."""
        # Without this file vfio was built without that mode (measured), and no group's name need be read.
        possible = self.read(self._noiommu_mode) is not None
        name = self.read(f"{self._groups}/{number}/name") if possible else None
        return f"{'noiommu-' if name == 'vfio-noiommu' else ''}{number}"

    def group_node(self, number: int) -> str:
        """`/dev/vfio/N`, or `/dev/vfio/noiommu-N`."""
        return f"{self.dev}/vfio/{self.group_name(number)}"

    def group_members(self, number: int) -> tuple[PciAddress, ...]:
        """Every function of an IOMMU group."""
        return tuple(map(PciAddress.parse, self.names(f"{self._groups}/{number}/devices") or ()))

    def has_group_node(self, number: int) -> bool:
        """Whether this kernel made a device node for a group: without CONFIG_VFIO_GROUP it makes none."""
        # Not by a list of all: in one look at the machine that would be older than what is asked of this one.
        return self.names(f"{self.sys}/class/vfio/{self.group_name(number)}") is not None

    def has_cdevs(self) -> bool:
        """Whether this kernel may make cdevs: with iommufd only (Kconfig: VFIO_DEVICE_CDEV depends on IOMMUFD)."""
        return self.names(self._iommufd) is not None

    def cdev(self, address: PciAddress) -> str | None:
        """`vfioN` where the kernel made /dev/vfio/devices/vfioN of it; the folder alone is there without cdevs too."""
        if not self.has_cdevs():
            return None
        for name in self.names(self.device(address, "vfio-dev")) or ():
            if self.read(self.device(address, "vfio-dev", name, "dev")) is not None:
                return name
        return None

    def kernel_release(self) -> str:
        """What `uname -r` prints."""
        return self.read(self.proc / "sys/kernel/osrelease") or os.uname().release

    def modules_folder(self) -> Path:
        """Where the running kernel's modules are, on the disk that this /sys belongs to."""
        return self.sys.parent / "lib/modules" / self.kernel_release()

    def open_group(self, node: str) -> int:
        """Open a group's device node; the caller closes it.

        Raises:
            OSError: EBUSY when somebody has it.
        """
        # Close-on-exec: a child that kept the group open would hold it after we let go.
        return os.open(node, os.O_RDWR | os.O_CLOEXEC)

"""The only file that opens /sys. Knows paths and bytes, not what they mean.

Absent is not unreadable: a missing file gives None. Every other failure raises with the path, and so does a text that
no kernel writes. `sriov_numvfs` is never read here, because the read hangs behind any blocked write (measured:
tests/contract/test_stuck.py). `canary.py` reads it, in a child.
"""

import contextlib
import errno
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.names import driver_name, group_number
from virtfn_host.core.values.offered import MOST_NUMA_NODES
from virtfn_host.linux.errors import NotANameError, SysfsReadError


def override_text(text: str | None) -> str | None:
    """Return a `driver_override`. The kernel shows a cleared one as `(null)`, which must never be written back."""
    return None if text in (None, "", "(null)") else text


T = TypeVar("T")

ATTRIBUTE_LIMIT = 1 << 16
"""Bytes of the longest attribute; the kernel's have one page at most."""
FILE_LIMIT = 32 << 20
"""Bytes of the longest other file; modules.alias has a megabyte or two, as has the mountinfo of 10,000 mounts."""

UNKNOWN = "unknown"
"""Stands for a boot ID that could not be read."""
NO_BOOT = "which boot this is cannot be read (/proc/sys/kernel/random/boot_id)"

_IFF_UP = 1
_NUMBER = re.compile(r"-?[0-9]{1,10}")
_HEX = re.compile(r"[0-9a-f]{1,16}")
_VF_LINK = re.compile(r"virtfn([0-9]{1,5})")
_CDEV = re.compile(r"vfio[0-9]{1,10}")
"""The kernel's name of a cdev. It becomes part of a path that a container is given."""
_NVME_PATH = re.compile(r"nvme([0-9]{1,10})c[0-9]{1,10}(n[0-9]{1,10})")
"""The kernel's name of one path to a disk with NVMe multipath: subsystem, controller, name space."""
_BOOT_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_RELEASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+~-]{0,64}")


def _contents(path: str | Path, limit: int) -> bytes:
    # Non-blocking and bounded: where others can write, the path may be a fifo or a device.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        parts = [os.read(fd, 65536)]
        size = len(parts[0])
        if not size and not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "is not a file")
        # An attribute has less than a page, so a shorter read is complete. Other files go on.
        while len(parts[-1]) >= 4096:
            if size > limit:
                raise OSError(errno.EFBIG, f"is longer than {limit} bytes")
            parts.append(os.read(fd, 65536))
            size += len(parts[-1])
    finally:
        os.close(fd)
    return b"".join(parts)


def _strange(path: str | Path, text: str, wanted: str) -> SysfsReadError:
    return SysfsReadError(str(path), OSError(errno.EINVAL, f"{text[:80]!r} is not what a kernel writes: want {wanted}"))


def _parsed(path: str | Path, text: str, wanted: str, parse: Callable[[str], T]) -> T:
    try:
        return parse(text)
    except ValueError as error:
        raise _strange(path, text, wanted) from error


def _plain(path: str | Path, name: str) -> str:
    """Return a name that can be shown; refuse one that is not text or has control characters."""
    if not name.isprintable():
        raise SysfsReadError(str(path), OSError(errno.EILSEQ, f"the name {name[:80]!a} is not text"))
    return name


class Sysfs:
    """A machine's /sys, /dev and /proc under one root ("/" for this machine)."""

    def __init__(self, sys: Path = Path("/sys"), dev: Path = Path("/dev"), proc: Path = Path("/proc")) -> None:
        self.sys = sys
        self.dev = dev
        self.proc = proc
        # Text, not Path: a look at 256 VFs makes ten thousand paths, which took half of its time (measured by hand).
        self._devices = f"{sys}/bus/pci/devices"
        self._drivers = f"{sys}/bus/pci/drivers"
        self._groups = f"{sys}/kernel/iommu_groups"
        self._attributes = f"{sys}/"
        self._iommufd = f"{sys}/class/misc/iommu"
        self._noiommu_mode = f"{sys}/module/vfio/parameters/enable_unsafe_noiommu_mode"

    def device(self, address: PciAddress, *names: str) -> str:
        """Return the path of a PCI function's attribute."""
        return f"{self._devices}/{address}/{'/'.join(names)}" if names else f"{self._devices}/{address}"

    def driver(self, name: str, *names: str) -> str:
        """Return the path of a PCI driver's attribute.

        Raises:
            NotANameError: the name cannot be that of a driver.
        """
        try:
            return "/".join((self._drivers, driver_name(name), *names))
        except ValueError as error:
            raise NotANameError(str(error)) from error

    def read(self, path: str | Path) -> str | None:
        """Return the contents without trailing white space, or None where there is no such file.

        Raises:
            SysfsReadError: the file exists and cannot be read.
        """
        try:
            if str(path).startswith(self._attributes):
                return _contents(path, ATTRIBUTE_LIMIT).decode().rstrip()
            # A mount point or a process may have any name, and one odd line must not hide all the others.
            return _contents(path, FILE_LIMIT).decode(errors="replace").rstrip()
        except UnicodeDecodeError as error:
            raise SysfsReadError(str(path), OSError(errno.EILSEQ, f"is not text: {error.reason}")) from error
        except (FileNotFoundError, ProcessLookupError):
            return None
        except OSError as error:
            # ENODEV: the device went away while we held the file open.
            if error.errno == errno.ENODEV:
                return None
            raise SysfsReadError(str(path), error) from error

    def link(self, path: str | Path) -> str | None:
        """Return the last part of a link's target, or None where there is no link."""
        try:
            return _plain(path, os.readlink(path).rpartition("/")[2])
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SysfsReadError(str(path), error) from error

    def names(self, path: str | Path) -> tuple[str, ...] | None:
        """Return the sorted entries of a folder, or None where there is no folder."""
        try:
            return tuple(sorted(_plain(path, name) for name in os.listdir(path)))
        except (FileNotFoundError, ProcessLookupError):
            return None
        except OSError as error:
            raise SysfsReadError(str(path), error) from error

    def functions(self) -> Iterator[PciAddress]:
        """Yield every PCI function of the machine, sorted by the kernel's name."""
        for name in self.names(self._devices) or ():
            with contextlib.suppress(ValueError):  # not a PCI function
                yield PciAddress.parse(name)

    def hex_digits(self, address: PciAddress, name: str) -> str:
        """Return `vendor`, `device` or `class` without its 0x; empty where there is no such function."""
        path = self.device(address, name)
        text = self.read(path)
        if text is None:
            return ""
        if not _HEX.fullmatch(digits := text.removeprefix("0x")):
            raise _strange(path, text, "hexadecimal number")
        return digits

    def number(self, path: str | Path) -> int | None:
        """Return a decimal number, or None where there is no such file.

        Raises:
            SysfsReadError: the file exists and cannot be read, or has no number in it.
        """
        text = self.read(path)
        if text is None:
            return None
        if not _NUMBER.fullmatch(text):
            raise _strange(path, text, "number")
        return int(text)

    def switch(self, path: str | Path) -> bool | None:
        """Return whether a file says `1` and not `0`, or None where there is no such file.

        Raises:
            SysfsReadError: the file exists and cannot be read, or says neither.
        """
        text = self.read(path)
        if text not in (None, "0", "1"):
            raise _strange(path, text or "", "0 or 1")
        return None if text is None else text == "1"

    def numa_node(self, address: PciAddress) -> int | None:
        """Return the NUMA node of a function, or None where the kernel knows none (-1)."""
        number = self.number(path := self.device(address, "numa_node"))
        if number is not None and number >= MOST_NUMA_NODES:
            raise _strange(path, str(number), "NUMA node")
        return None if number is None or number < 0 else number

    def bound_driver(self, address: PciAddress) -> str | None:
        """Return the driver that a function is bound to, or None."""
        return self.link(self.device(address, "driver"))

    def group(self, address: PciAddress) -> int | None:
        """Return the IOMMU group of a function, or None where there is no IOMMU for it."""
        path = self.device(address, "iommu_group")
        name = self.link(path)
        try:
            return None if name is None else group_number(name)
        except ValueError as error:
            raise _strange(path, name or "", "number of a group") from error

    def vfio_bound(self, address: PciAddress) -> bool:
        """Return whether its driver is a vfio driver of any name: these make `vfio-dev/` (Linux 6.1 and later)."""
        return self.bound_driver(address) is not None and self.names(self.device(address, "vfio-dev")) is not None

    def vf_addresses(self, pf: PciAddress) -> dict[int, PciAddress]:
        """Return the addresses of all VFs by index. The `virtfnN` links are safe to read behind a blocked write."""
        found, folder = {}, self.device(pf)
        for name in self.names(folder) or ():
            if (vf := _VF_LINK.fullmatch(name)) and (target := self.link(path := f"{folder}/{name}")) is not None:
                found[int(vf[1])] = _parsed(path, target, "PCI address", PciAddress.parse)
        return found

    def pf_of(self, vf: PciAddress) -> PciAddress | None:
        """Return the PF of a VF, or None for a function that is not a VF."""
        target = self.link(path := self.device(vf, "physfn"))
        return None if target is None else _parsed(path, target, "PCI address", PciAddress.parse)

    def vf_address(self, pf: PciAddress, index: int) -> PciAddress | None:
        """Return the address of one VF, or None where there is no VF of this index."""
        target = self.link(path := self.device(pf, f"virtfn{index}"))
        return None if target is None else _parsed(path, target, "PCI address", PciAddress.parse)

    def net_folder(self, address: PciAddress) -> str:
        """Return the folder of a function's netdevs: `net`, on a virtio card below its `virtioN`. It may not exist."""
        for name in self.names(self.device(address)) or () if self.bound_driver(address) == "virtio-pci" else ():
            if name.startswith("virtio"):
                return self.device(address, name, "net")
        return self.device(address, "net")

    def netdev_up(self, folder: str) -> bool:
        """Return whether a netdev is up; one whose flags are gone or unreadable counts as up."""
        flags = self.read(f"{folder}/flags")
        try:
            return flags is None or bool(int(flags, 16) & _IFF_UP)
        except ValueError:
            return True

    def answers(self, address: PciAddress) -> bool:
        """Return whether a function answers on the bus: one in reset, off or failed reads as ones (PCIe 6.0, 2.3.2)."""
        try:
            return _contents(self.device(address, "config"), ATTRIBUTE_LIMIT)[:2] != b"\xff\xff"
        except OSError:
            return True

    def device_nodes(self, address: PciAddress) -> dict[str, tuple[str, ...]]:
        """Return the nodes of a function's devices, each with what holds it: `{"/dev/nvme0n1": ("dm-3",)}`.

        Only disks and partitions have holders: the block devices that device mapper, RAID or bcache has made of them.
        """
        return dict(sorted(self._nodes_below(self.device(address))))

    def _nodes_below(self, folder: str) -> Iterator[tuple[str, tuple[str, ...]]]:
        def unreadable(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError | ProcessLookupError):
                raise SysfsReadError(error.filename or folder, error) from error

        # The listing itself says what is a folder: to ask for each entry took ten times as long (measured by hand).
        for path, _, files in os.walk(folder, onerror=unreadable):
            if "dev" in files:
                held_by = self.names(f"{path}/holders") or ()
                lines = (self.read(f"{path}/uevent") or "").splitlines()
                yield from (
                    (f"/dev/{line.removeprefix('DEVNAME=')}", held_by) for line in lines if line.startswith("DEVNAME=")
                )
            # With NVMe multipath only the path to a disk is below the function, without a node. The disk is below the
            # subsystem, with those of every controller of it: the PF and all VFs of a card. Hence by name.
            if nvme := _NVME_PATH.fullmatch(path.rpartition("/")[2]):
                disk = f"{nvme[1]}{nvme[2]}"
                yield from self._nodes_below(f"{self.sys}/class/block/nvme{disk}")
                yield from self._nodes_below(f"{self.sys}/class/nvme-generic/ng{disk}")

    def noiommu(self) -> bool | None:
        """Return whether vfio does without an IOMMU; None where it is not loaded, or was built without that mode."""
        # A parameter of type bool reads as Y or N (param_get_bool in kernel/params.c).
        told = self.read(self._noiommu_mode)
        return None if told is None else told in ("Y", "1")

    def group_name(self, number: int) -> str:
        """Return vfio's name of a group: `N`, or `noiommu-N` where vfio runs without an IOMMU."""
        # Without this file vfio was built without that mode (measured by hand), and no group's name need be read.
        possible = self.read(self._noiommu_mode) is not None
        name = self.read(f"{self._groups}/{number}/name") if possible else None
        return f"{'noiommu-' if name == 'vfio-noiommu' else ''}{number}"

    def group_node(self, number: int) -> str:
        """Return `/dev/vfio/N`, or `/dev/vfio/noiommu-N`."""
        return f"{self.dev}/vfio/{self.group_name(number)}"

    def group_members(self, number: int) -> tuple[PciAddress, ...]:
        """Return every function of an IOMMU group."""
        folder = f"{self._groups}/{number}/devices"
        names = self.names(folder) or ()
        return tuple(_parsed(f"{folder}/{name}", name, "PCI function", PciAddress.parse) for name in names)

    def has_group_node(self, number: int) -> bool:
        """Return whether this kernel made a device node for a group: without CONFIG_VFIO_GROUP it makes none."""
        # Read for this group, not from a list of all groups: one look keeps lists, and this answer must be newer.
        return self.names(f"{self.sys}/class/vfio/{self.group_name(number)}") is not None

    def has_cdevs(self) -> bool:
        """Return whether this kernel may make cdevs: only with iommufd (VFIO_DEVICE_CDEV depends on IOMMUFD)."""
        return self.names(self._iommufd) is not None

    def cdev(self, address: PciAddress) -> str | None:
        """Return `vfioN` if a function has /dev/vfio/devices/vfioN. Without cdevs only the folder exists."""
        if not self.has_cdevs():
            return None
        for name in self.names(self.device(address, "vfio-dev")) or ():
            if _CDEV.fullmatch(name) and self.read(self.device(address, "vfio-dev", name, "dev")) is not None:
                return name
        return None

    def boot_id(self) -> str:
        """Return the ID of this boot, or UNKNOWN, which no boot has, where it cannot be read."""
        return self._proc_word("sys/kernel/random/boot_id", _BOOT_ID) or UNKNOWN

    def kernel_release(self) -> str:
        """Return what `uname -r` prints."""
        return self._proc_word("sys/kernel/osrelease", _RELEASE) or os.uname().release

    def _proc_word(self, name: str, pattern: re.Pattern[str]) -> str | None:
        """Read a word that becomes part of paths and documents; None where it is absent or has another form."""
        try:
            text = self.read(f"{self.proc}/{name}")
        except SysfsReadError:
            return None
        return text if text is not None and pattern.fullmatch(text) else None

    def modules_folder(self) -> Path:
        """Return the folder of the running kernel's modules, on the root that this /sys belongs to."""
        return self.sys.parent / "lib/modules" / self.kernel_release()

    def open_group(self, node: str) -> int:
        """Open a group's device node; the caller closes it.

        Raises:
            OSError: EBUSY when another process has it open.
        """
        # Close-on-exec: otherwise a child would hold the group after we have closed it.
        return os.open(node, os.O_RDWR | os.O_CLOEXEC)

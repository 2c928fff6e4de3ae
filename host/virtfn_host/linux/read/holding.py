"""Names the processes that have functions open through vfio, for messages, where /proc shows them.

Safe to use behind a blocked write: it reads links, `enable`, `sriov_offset` and /proc, nothing that takes a device's
lock. /proc is searched only when something hangs, because the search reads every open file of the machine.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from virtfn_host.core.values.address import PciAddress
from virtfn_host.linux.errors import SysfsReadError
from virtfn_host.linux.read.open_files import OpenFile, open_files, pids, process
from virtfn_host.linux.read.sysfs import Sysfs

VFIO_DEVICE = "anon_inode:[vfio-device]"
"""An open vfio device. /proc does not say which one (measured by hand on Linux 6.1 and 6.12; from 6.18 on it does)."""

CDEVS, DELETED = "/dev/vfio/devices/", " (deleted)"
"""The folder of cdevs, and what /proc adds to the path of an open file that is gone."""

NAMES = 3
"""Holders and writers that a message names, so that it stays one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """Functions that are open, and the processes that have them open."""

    functions: tuple[PciAddress, ...]
    text: str


def who_blocks(sysfs: Sysfs, path: str, value: str) -> Holding | None:
    """Return who holds the function that our write waits for, or None where no holder shows."""
    names = [*path.split("/"), value.strip()]
    return holders_of(sysfs, [address for name in names if (address := _address(name)) is not None])


def holders_of(sysfs: Sysfs, functions: Sequence[PciAddress]) -> Holding | None:
    """Return who has these functions or their VFs open: `0000:01:10.0 is open: process 7 (dpdk) has ... open`."""
    affected = [*functions, *(vf for function in functions for vf in _vfs(sysfs, function))]
    opened = [address for address in dict.fromkeys(affected) if _open(sysfs, address)]
    if not opened:
        return None
    files = tuple(every_open_file(sysfs))
    told = [f"{address} is open: {_who(sysfs, address, files)}" for address in opened[:NAMES]]
    more = f"; and {len(opened) - NAMES} more" if len(opened) > NAMES else ""
    return Holding(functions=tuple(opened), text="; ".join(told) + more)


def _who(sysfs: Sysfs, address: PciAddress, files: Sequence[OpenFile]) -> str:
    group = sysfs.group(address)
    nodes = set() if group is None else {f"/dev/vfio/{sysfs.group_name(group)}"}
    cdevs = {f"{CDEVS}{name}" for name in sysfs.names(sysfs.device(address, "vfio-dev")) or ()}
    # A pod has its own /dev, in which the path is the same.
    openers = [file for file in files if file.target.removesuffix(DELETED) in nodes | cdevs]
    # While a function is being unbound its cdev has lost its name and its node, but is still open.
    if not openers and not cdevs:
        openers = [file for file in files if file.target.startswith(CDEVS) and file.target.endswith(DELETED)]
    if openers:
        return ", ".join(dict.fromkeys(f"{process(sysfs, f.pid)} has {f.target} open" for f in openers[:NAMES]))
    having = (file for file in files if file.target == VFIO_DEVICE or file.target.startswith(CDEVS))
    others = dict.fromkeys(str(process(sysfs, file.pid)) for file in having)
    return f"by one of those with a vfio device open: {', '.join(others)}" if others else "by an unknown process"


def every_open_file(sysfs: Sysfs) -> Iterator[OpenFile]:
    """The open files of every process that may be looked at."""
    for pid in pids(sysfs):
        try:
            yield from open_files(sysfs, pid)
        except SysfsReadError:
            continue  # A process that may not be looked at is not named; the text says that it does not show.


def _open(sysfs: Sysfs, address: PciAddress) -> bool:
    """Whether a function is open through vfio. A network driver enables its device, too, so the driver is looked at; a
    function that is being unbound has no driver any more."""
    return enabled(sysfs, address) and (sysfs.bound_driver(address) is None or sysfs.vfio_bound(address))


def enabled(sysfs: Sysfs, address: PciAddress) -> bool:
    """Whether the device is enabled, by its driver or by a program that opened it through vfio."""
    try:
        return sysfs.read(sysfs.device(address, "enable")) not in (None, "0")
    except SysfsReadError:
        return False  # This only names holders; lock.py decides whether a function is in use.


def _vfs(sysfs: Sysfs, pf: PciAddress) -> list[PciAddress]:
    """A PF's VFs, computed from first VF offset and VF stride (PCIe SR-IOV): `virtfnN` of a blocking VF is gone."""
    total, offset, stride = (
        int(text) if (text := sysfs.read(sysfs.device(pf, name))) and text.isdigit() else 0
        for name in ("sriov_totalvfs", "sriov_offset", "sriov_stride")
    )
    first = (pf.bus << 8 | pf.device << 3 | pf.function) + offset
    numbers = [first + stride * index for index in range(total)] if offset else []
    return [PciAddress(pf.domain, n >> 8, n >> 3 & 0x1F, n & 7) for n in numbers]


def _address(text: str) -> PciAddress | None:
    try:
        return PciAddress.parse(text)
    except ValueError:
        return None

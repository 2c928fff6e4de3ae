"""Compares what a driver made with what was asked of it: a write may succeed with another result.

A number of VFs is made before its write returns (drivers/pci/iov.c: sriov_numvfs_store), so what does not change any
more is the result. Waiting longer, or asking again at once, would only take it away and make the same again.
"""

import time
from collections.abc import Callable, Mapping

from virtfn_host.core.values.address import PciAddress
from virtfn_host.linux.errors import DriverMadeOtherError, SettingMadeOtherError, SettleTimeoutError
from virtfn_host.linux.read.sysfs import Sysfs

POLL = 0.01
"""Seconds between two looks while the kernel makes VFs: no event reliably announces the last link or group."""

QUIET = 1.0
"""Seconds without a further VF after which their number is the result."""


def settled(
    sysfs: Sysfs, pf: PciAddress, num_vfs: int, seconds: float, unwanted: Callable[[], bool]
) -> dict[int, PciAddress]:
    """Wait until all VFs are there; return their addresses.

    Raises:
        DriverMadeOtherError: the driver made more or fewer.
        SettleTimeoutError: they have no IOMMU groups, or are not waited for any longer.
    """
    until = time.monotonic() + seconds
    grouped = sysfs.group(pf) is not None
    number, since = -1, 0.0
    while True:
        vfs, now = sysfs.vf_addresses(pf), time.monotonic()
        if len(vfs) != number:
            number, since = len(vfs), now
        if number == num_vfs and not (grouped and any(sysfs.group(vf) is None for vf in vfs.values())):
            return vfs
        if number != num_vfs and now >= min(since + QUIET, until):
            raise DriverMadeOtherError(_number(sysfs, pf, num_vfs, number), number)
        text = f"{pf} shows {number} of {num_vfs} VFs with their IOMMU groups"
        if now > until:
            raise SettleTimeoutError(f"{text} after {seconds:.0f} s; see the kernel log")
        if unwanted():
            raise SettleTimeoutError(f"{text}; no longer waited for: the client has gone, and another plan waits")
        time.sleep(POLL)


def expect_none_left(vfs: Mapping[int, PciAddress]) -> None:
    """Refuse to go on where VFs are left after a write of 0.

    Raises:
        DriverMadeOtherError: some are.
    """
    if vfs:
        raise DriverMadeOtherError(f"asked for 0, the driver left {len(vfs)}; see the kernel log", len(vfs))


def expect_made(what: str, found: object, asked: object) -> None:
    """Refuse to go on where a write that succeeded has another result.

    Raises:
        DriverMadeOtherError: it names both.
    """
    if found != asked:
        text = f"asked for {_shown(asked)}, {what} is {_shown(found)} though the write succeeded"
        raise DriverMadeOtherError(f"{text}; {OTHERS}")


def expect_set(netdev: str, found: str, asked: str) -> None:
    """Refuse a setting of a netdev, or of a VF through it, that was accepted and is another one.

    Args:
        found: what netlink shows now, and `asked`: what was set, both in the words of `ip link`.

    Raises:
        SettingMadeOtherError: it names both.
    """
    if found != asked:
        text = f"asked for {asked}, {netdev} shows {found} though the kernel accepted it"
        raise SettingMadeOtherError(f"{text}; {NOT_TAKEN}")


def expect_kernels_own(sysfs: Sysfs, address: PciAddress) -> None:
    """Refuse to go on where the kernel has picked a vfio driver for a function.

    Raises:
        DriverMadeOtherError: it has.
    """
    if sysfs.vfio_bound(address):
        text = f"asked for the kernel's own driver, driver of {address} is {sysfs.bound_driver(address)}"
        raise DriverMadeOtherError(f"{text}; a new_id of that driver names it, or its own driver is not installed")


NOT_TAKEN = "ask for what its driver can do, or leave it out; see the kernel log"

OTHERS = "look for a rule (udev, driverctl) or program that sets another, and see the kernel log"


def _shown(value: object) -> object:
    return "none" if value is None else value


def _number(sysfs: Sysfs, pf: PciAddress, asked: int, made: int) -> str:
    text = f"asked for {asked}, the driver made {made}"
    if made > asked:
        return f"{text}; {sysfs.bound_driver(pf)} makes them in other numbers; a policy gets these with count: {made}"
    if made:
        return f"{text}; its resources may be short: ask for {made}, or free some (the kernel log may say which)"
    return f"{text} though the write succeeded; see the kernel log"

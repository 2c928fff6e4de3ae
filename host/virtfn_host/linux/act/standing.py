"""How a PF stands: what must change before a driver is expected to make something else of the same wish."""

import os

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.tries import Tried
from virtfn_host.linux.errors import HostError
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.linux.touch.ports import own_netdev
from virtfn_host.linux.touch.reader import Reader

UNREAD = "?"
"""State of a netdev that could not be read."""


def standings(sysfs: Sysfs, pf: PciAddress, reader: Reader | None = None) -> tuple[str, str]:
    """Return card, driver and state of a PF in one text, which is only compared, and then its card alone.

    A driver that was loaded anew is another one, and a PF that was set up may make VFs that it did not make before. The
    card alone counts where our own steps bind the PF to another driver.
    """
    card = f"{sysfs.hex_digits(pf, 'vendor')}:{sysfs.hex_digits(pf, 'device')}"
    return f"{card} {sysfs.bound_driver(pf)} {_binding(sysfs, pf)} {_up(sysfs, pf, reader)}", card


def still_so(tried: Tried, sysfs: Sysfs, reader: Reader | None = None) -> bool:
    """Return whether a PF still stands as it did when something was tried on it. Unknown counts as yes."""
    try:
        return stands(tried, *standings(sysfs, tried.pf, reader))
    except (HostError, ValueError):
        return True


def stands(tried: Tried, whole_pf: str, card: str) -> bool:
    """Return whether a PF that is so now stands as before or after what was tried on it. Some drivers set the netdev
    down when VFs are made, and the node's network manager sets it up again: neither is a change to try anew for."""
    return tried.standing == card or any(_same(noted, whole_pf) for noted in (tried.standing, tried.after) if noted)


def _same(noted: str, now: str) -> bool:
    """Whether two texts are the same, but for a state of the netdev that could not be read."""
    (before, up), (after, up_now) = (text.rpartition(" ")[::2] for text in (noted, now))
    return before == after and (up == up_now or UNREAD in (up, up_now))


def _binding(sysfs: Sysfs, pf: PciAddress) -> int:
    """Return the inode of the driver link: the kernel makes a new one, with a number of its own, for each binding
    (fs/kernfs/dir.c: __kernfs_new_node, idr_alloc_cyclic)."""
    try:
        return os.lstat(sysfs.device(pf, "driver")).st_ino
    except OSError:
        return 0


def _up(sysfs: Sysfs, pf: PciAddress, reader: Reader | None) -> str:
    try:
        name = own_netdev(sysfs, pf, reader)
        return "-" if name is None else "up" if sysfs.netdev_up(f"{sysfs.net_folder(pf)}/{name}") else "down"
    except (HostError, ValueError):
        return UNREAD

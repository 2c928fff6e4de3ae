"""Link settings of VFs as their PF shows them.

The PF's netdev is found by sysfs, so its name is the host's; it may be in another network namespace, and then there is
none here.
"""

from dataclasses import replace

from virtfn_host.core.turn.resolve import NETWORK_CLASS
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.mac import ZERO_MAC, stable_mac
from virtfn_host.core.values.model import Pf, VfLink
from virtfn_host.core.values.names import netdev_name
from virtfn_host.linux.netlink.asks import Netlink, PfLinks
from virtfn_host.linux.read.sysfs import Sysfs

MADE_UP = "1"
"""NET_ADDR_RANDOM in `addr_assign_type` (<linux/netdevice.h>): the driver made the address up."""


def netdev_of(sysfs: Sysfs, pf: PciAddress) -> str | None:
    """Name of a PF's netdev in the host's network namespace, or None where it has none there."""
    name = next(iter(sysfs.names(sysfs.device(pf, "net")) or ()), None)
    return None if name is None else netdev_name(name)


def with_links(pf: Pf, sysfs: Sysfs, netlink: Netlink) -> Pf:
    """A PF and its VFs with what its netdev shows of them; as it is where there is no netdev.

    Raises:
        NetlinkError: there is one, and nobody can tell.
        SysfsReadError: a VF's own netdev does not read.
    """
    name = netdev_of(sysfs, pf.address)
    if name is None or not pf.class_code.startswith(NETWORK_CLASS):
        return pf
    shown = netlink.links(name)
    vfs = tuple(replace(vf, link=administrative(sysfs, vf.address, vf.index, shown)) for vf in pf.vfs)
    return replace(pf, netdev_up=shown.up, mac=shown.mac, vfs=vfs)


def administrative(sysfs: Sysfs, vf: PciAddress, index: int, shown: PfLinks) -> VfLink | None:
    """What the PF shows of a VF; igb shows an address that its driver made up as if one had been set (measured).

    The mark of a made-up address is not enough: igbvf makes one up when its first reset finds the PF busy, takes the
    one that was set at the next reset, and leaves the mark (measured). Ours is known by itself.
    """
    link = shown.vf(index)
    if link is None or (shown.mac is not None and link.mac == stable_mac(shown.mac, index)):
        return link
    for name in sysfs.names(sysfs.device(vf, "net")) or ():
        made_up = sysfs.read(sysfs.device(vf, "net", name, "addr_assign_type")) == MADE_UP
        if made_up and sysfs.read(sysfs.device(vf, "net", name, "address")) == link.mac:
            return replace(link, mac=ZERO_MAC)
    return link

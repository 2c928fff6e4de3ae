"""Link settings of VFs as their PF shows them.

The PF's netdev is found in sysfs, so its name is the host's. A netdev in another network namespace is not found.
"""

from collections.abc import Callable
from dataclasses import replace

from virtfn_host.core.checks.network import NETWORK_CLASS
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.mac import ZERO_MAC, stable_mac
from virtfn_host.core.values.model import Pf, VfLink
from virtfn_host.core.values.names import netdev_name
from virtfn_host.linux.errors import SysfsReadError
from virtfn_host.linux.netlink.asks import Netlink, PfLinks
from virtfn_host.linux.read.sysfs import Sysfs

MADE_UP = "1"
"""NET_ADDR_RANDOM in `addr_assign_type` (<linux/netdevice.h>): the driver made up the address."""


def with_links(pf: Pf, sysfs: Sysfs, netlink: Netlink, lost: Callable[[PciAddress, SysfsReadError], object]) -> Pf:
    """Return a PF with the link settings that its netdev shows; unchanged where there is no netdev.

    Args:
        lost: hears of each VF whose own netdev cannot be read. Its settings are not known then; those of others are.

    Raises:
        NetlinkError: there is a netdev, and netlink does not answer.
    """
    name = next(iter(pf.netdevs), None)
    if name is None or not pf.class_code.startswith(NETWORK_CLASS):
        return pf
    shown = netlink.links(netdev_name(name))
    vfs = []
    for vf in pf.vfs:
        try:
            vfs.append(replace(vf, link=administrative(sysfs, vf.address, vf.index, shown)))
        except SysfsReadError as error:
            lost(vf.address, error)
            vfs.append(vf)
    return replace(pf, netdev_up=shown.up, mac=shown.mac, vfs=tuple(vfs))


def administrative(sysfs: Sysfs, vf: PciAddress, index: int, shown: PfLinks) -> VfLink | None:
    """Return what the PF shows of a VF, but with no MAC where the VF's driver made the address up: igb shows such an
    address as if it had been set (measured: tests/contract/test_links.py).

    The kernel's mark of a made-up address is not enough. igbvf makes one up when its first reset finds the PF busy,
    takes the set address at the next reset, and leaves the mark (measured by hand on emulated igb). So an address that
    virtfn sets is known by its value (`stable_mac`).

    Raises:
        SysfsReadError: the VF's own netdev cannot be read.
    """
    link = shown.vf(index)
    if link is None or (shown.mac is not None and link.mac == stable_mac(shown.mac, index)):
        return link
    for name in sysfs.names(sysfs.device(vf, "net")) or ():
        made_up = sysfs.read(sysfs.device(vf, "net", name, "addr_assign_type")) == MADE_UP
        if made_up and sysfs.read(sysfs.device(vf, "net", name, "address")) == link.mac:
            return replace(link, mac=ZERO_MAC)
    return link

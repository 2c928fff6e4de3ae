"""Link settings of VFs as their PF shows them.

The PF's netdev is found in sysfs, so its name is the host's. A netdev in another network namespace is not found.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

from virtfn_host.core.checks.network import NETWORK_CLASS
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.mac import ZERO_MAC, stable_mac
from virtfn_host.core.values.model import Pf, VfLink
from virtfn_host.core.values.names import netdev_name
from virtfn_host.linux.errors import SysfsReadError
from virtfn_host.linux.netlink.asks import Netlink, PfLinks
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.linux.touch.ports import macs
from virtfn_host.linux.touch.reader import Reader

MADE_UP = "1"
"""NET_ADDR_RANDOM in `addr_assign_type` (<linux/netdevice.h>): the driver made up the address."""


def with_links(
    pf: Pf,
    sysfs: Sysfs,
    netlink: Netlink,
    reader: Reader | None,
    lost: Callable[[PciAddress, SysfsReadError], object],
) -> Pf:
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
    links = administrative(sysfs, [(vf.index, vf.address) for vf in pf.vfs], shown, reader)
    vfs = []
    for vf in pf.vfs:
        if isinstance(link := links[vf.index], SysfsReadError):
            lost(vf.address, link)
            link = None
        vfs.append(replace(vf, link=link))
    return replace(pf, netdev_up=shown.up, mac=shown.mac, vfs=tuple(vfs))


def administrative(
    sysfs: Sysfs, vfs: Iterable[tuple[int, PciAddress]], shown: PfLinks, reader: Reader | None
) -> dict[int, VfLink | SysfsReadError | None]:
    """Return what the PF shows of VFs, by index, but with no MAC where a VF's driver made the address up: igb shows
    such an address as if it had been set (measured: tests/contract/test_links.py). An error: the VF's own netdev cannot
    be read.

    The kernel's mark of a made-up address is not enough. igbvf makes one up when its first reset finds the PF busy,
    takes the set address at the next reset, and leaves the mark (measured by hand on emulated igb). So an address that
    virtfn sets is known by its value (`stable_mac`).
    """
    links: dict[int, VfLink | SysfsReadError | None] = {}
    made_up: dict[str, int] = {}
    for index, vf in vfs:
        links[index] = link = shown.vf(index)
        if link is None or (shown.mac is not None and link.mac == stable_mac(shown.mac, index)):
            continue
        try:
            made_up |= dict.fromkeys(_made_up(sysfs, vf), index)
        except SysfsReadError as error:
            links[index] = error
    for folder, mac in macs(sysfs, list(made_up), reader).items():
        index = made_up[folder]
        told = links[index]
        if isinstance(mac, SysfsReadError):
            links[index] = mac
        elif isinstance(told, VfLink) and told.mac == mac:
            links[index] = replace(told, mac=ZERO_MAC)
    return links


def _made_up(sysfs: Sysfs, vf: PciAddress) -> list[str]:
    """Return the folders of a VF's netdevs whose address the driver made up."""
    folders = [sysfs.device(vf, "net", name) for name in sysfs.names(sysfs.device(vf, "net")) or ()]
    return [folder for folder in folders if sysfs.read(f"{folder}/addr_assign_type") == MADE_UP]

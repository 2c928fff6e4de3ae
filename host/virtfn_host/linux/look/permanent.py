"""Permanent MACs that sysfs does not show: of slaves of a bond, and of netdevs that were given another address.

Only rtnetlink has them (IFLA_PERM_ADDRESS, from Linux 5.6 on). They are asked for only if a policy names one, or a
claimed function that had one is not in its place, and some function of this machine does not show its own.
"""

from collections.abc import Iterable
from dataclasses import replace

from virtfn_host.core.values.model import Function, Inventory, Unreadable
from virtfn_host.core.values.names import mac_address
from virtfn_host.linux.errors import NetlinkError
from virtfn_host.linux.netlink.asks import Netlink
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.linux.touch.ports import lasting_netdev


def with_permanent_macs(
    functions: Iterable[Function], sysfs: Sysfs, netlink: Netlink, unreadable: list[Unreadable]
) -> list[Function]:
    """Return functions with the permanent MACs of their netdevs.

    Where netlink does not answer, every function without one gets an entry in `unreadable`: it may be the one meant.
    """
    found = list(functions)
    if not any(map(_lacks, found)):
        return found
    try:
        told = netlink.permanent_addresses()
    except NetlinkError as error:
        unreadable += [
            Unreadable(device=function.address, path=f"permanent MAC of {function.netdevs[0]}", error=str(error))
            for function in found
            if _lacks(function)
        ]
        return found
    return [
        _told(function, told.get(lasting_netdev(sysfs, function) or "", "")) if _lacks(function) else function
        for function in found
    ]


def with_every_mac(inventory: Inventory, sysfs: Sysfs, netlink: Netlink) -> Inventory:
    """Return an inventory with the permanent MACs that it lacks."""
    unreadable = list(inventory.unreadable)
    functions = with_permanent_macs(inventory.functions, sysfs, netlink, unreadable)
    return replace(inventory, functions=tuple(functions), unreadable=tuple(unreadable))


def _lacks(function: Function) -> bool:
    return bool(function.netdevs) and function.identity.mac is None


def _told(function: Function, text: str) -> Function:
    try:
        return replace(function, identity=replace(function.identity, mac=mac_address(text)))
    except ValueError:  # InfiniBand's has 20 bytes
        return function

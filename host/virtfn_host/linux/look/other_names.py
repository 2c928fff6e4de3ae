"""Alternative names of netdevs (`ip link property add`), which udev gives and a policy may name.

Only rtnetlink tells them (IFLA_PROP_LIST, from Linux 5.5 on); sysfs has none. A name is unique in its network
namespace, alternative or not, so they are asked for only where somebody names a netdev that no function has.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from virtfn_host.core.values.model import PhysicalFunction, Unreadable
from virtfn_host.linux.errors import NetlinkError
from virtfn_host.linux.netlink.asks import Netlink


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedNames:
    """Netdevs that somebody names, and who can tell their alternative names."""

    names: frozenset[str]
    netlink: Netlink


def asked_names(names: Iterable[str], netlink: Netlink | None) -> AskedNames | None:
    """Return what is to be asked; None where nobody names a netdev, or nobody can tell."""
    wanted = frozenset(names)
    return AskedNames(names=wanted, netlink=netlink) if wanted and netlink is not None else None


def with_other_names(
    pfs: Iterable[PhysicalFunction], asked: AskedNames, unreadable: list[Unreadable]
) -> list[PhysicalFunction]:
    """Return functions with the alternative names of their netdevs behind the names, if one is needed.

    Where netlink does not answer, every function that may be meant gets an entry in `unreadable`.
    """
    found = list(pfs)
    if asked.names <= {name for pf in found for function in pf.family for name in function.netdevs}:
        return found
    try:
        names = asked.netlink.other_names()
    except NetlinkError as error:
        unreadable += [
            Unreadable(device=pf.address, path=f"alternative names of {pf.netdevs[0]}", error=str(error))
            for pf in found
            if pf.netdevs
        ]
        return found
    return [_named(pf, names) for pf in found] if names else found


def with_every_name(pf: PhysicalFunction, netlink: Netlink) -> PhysicalFunction:
    """Return a function with the alternative names of its netdevs; without them where netlink does not answer."""
    if not pf.netdevs:
        return pf
    try:
        return _named(pf, netlink.other_names())
    except NetlinkError:
        return pf


def _named(pf: PhysicalFunction, names: Mapping[str, tuple[str, ...]]) -> PhysicalFunction:
    if not any(name in names for function in pf.family for name in function.netdevs):
        return pf
    vfs = tuple(replace(vf, netdevs=_all_names(vf.netdevs, names)) for vf in pf.vfs)
    return replace(pf, netdevs=_all_names(pf.netdevs, names), vfs=vfs)


def _all_names(netdevs: tuple[str, ...], names: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Names first: the first is what the function's netdev is called."""
    return (*netdevs, *(other for netdev in netdevs for other in names.get(netdev, ())))

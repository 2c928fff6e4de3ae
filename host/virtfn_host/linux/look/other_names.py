"""Alternative names of netdevs (`ip link property add`), which udev gives and a policy may name.

Only rtnetlink has them (IFLA_PROP_LIST, from Linux 5.5 on); sysfs does not. A name is unique in its network namespace,
alternative or not, so they are asked for only if a policy names a netdev that no function has.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from virtfn_host.core.values.model import Function, Pf, Unreadable
from virtfn_host.linux.errors import NetlinkError
from virtfn_host.linux.netlink.asks import Netlink


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedNames:
    """Netdevs that policies name, and the connection that answers with alternative names."""

    names: frozenset[str]
    netlink: Netlink


def asked_names(names: Iterable[str], netlink: Netlink | None) -> AskedNames | None:
    """Return the names to ask for; None if no policy names a netdev, or there is no netlink."""
    wanted = frozenset(names)
    return AskedNames(names=wanted, netlink=netlink) if wanted and netlink is not None else None


def with_other_names(functions: Iterable[Function], asked: AskedNames, unreadable: list[Unreadable]) -> list[Function]:
    """Return functions with the alternative names of their netdevs behind the names, if one is needed.

    Where netlink does not answer, every function with a netdev gets an entry in `unreadable`: it may be the one meant.
    """
    found = list(functions)
    if asked.names <= {name for function in found for member in function.family for name in member.netdevs}:
        return found
    try:
        names = asked.netlink.other_names()
    except NetlinkError as error:
        unreadable += [
            Unreadable(device=function.address, path=f"alternative names of {function.netdevs[0]}", error=str(error))
            for function in found
            if function.netdevs
        ]
        return found
    return [_named(function, names) for function in found] if names else found


def with_every_name(function: Function, netlink: Netlink) -> Function:
    """Return a function with the alternative names of its netdevs; without them where netlink does not answer."""
    if not function.netdevs:
        return function
    try:
        return _named(function, netlink.other_names())
    except NetlinkError:
        return function


def _named(function: Function, names: Mapping[str, tuple[str, ...]]) -> Function:
    if not any(name in names for member in function.family for name in member.netdevs):
        return function
    own = replace(function, netdevs=_all_names(function.netdevs, names))
    if not isinstance(own, Pf):
        return own
    return replace(own, vfs=tuple(replace(vf, netdevs=_all_names(vf.netdevs, names)) for vf in own.vfs))


def _all_names(netdevs: tuple[str, ...], names: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    # The netdev's own name stays the first.
    return (*netdevs, *(other for netdev in netdevs for other in names.get(netdev, ())))

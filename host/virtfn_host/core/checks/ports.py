"""Which netdevs of a function are its own: those whose port is the physical one.

In switchdev mode the representors of VFs lie in the same folder of sysfs as the netdev of their PF, and a card with
several ports may have a netdev for each. The names of ports (`phys_port_name`) are made by devlink and the drivers
(Documentation/networking/switchdev.rst, net/devlink/port.c):

    p0, p0s1                 a physical port, or a part of one that is split
    pf0, pf0vf3, pf0sf9      a representor: of another host's PF, of a VF, of a subfunction
    c1pf0, c1pf0vf3          the same for the host behind another controller
    none                     a netdev that is no port of a switch: most cards
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_REPRESENTOR = re.compile(r"(?:c\d+)?pf\d+.*|(?:c\d+)?[vs]f\d+", re.ASCII)
_PHYSICAL = re.compile(r"p\d+(?:s\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """One netdev in the folder of a function."""

    netdev: str
    port: str | None = None
    """`phys_port_name`; None: it has none."""
    number: int = 0
    """`dev_port`, or `dev_id` where the driver numbers its ports so; from 0."""
    mac: str = ""
    """Its present `address`; empty: unknown."""


def is_representor(port: str | None) -> bool:
    """Whether the netdev with this `phys_port_name` stands for another function."""
    return port is not None and _REPRESENTOR.fullmatch(port) is not None


def own_ports(found: Iterable[Port]) -> tuple[Port, ...]:
    """The function's own netdevs: a physical port before one that does not say, then by number and name."""
    return tuple(sorted((port for port in found if not is_representor(port.port)), key=_rank))


def lasting_port(ports: Iterable[Port], function: int, *, serial: bool) -> Port | None:
    """The port whose permanent MAC stands for the function; None where it may be that of another port.

    With a serial number the first port does, because the number tells cards apart. Without one, the first of several
    netdevs may be in another namespace, or have a longer name than yesterday, and the MAC of the next would make the
    card another one. Drivers number the ports of a function from 0 (mlx4, cxgb4), or by the function (ixgbe, bnxt_en).
    """
    ports = list(ports)
    sure = ports[:1] if serial else [port for port in ports if port.number in (0, function)]
    return sure[0] if len(sure) == 1 else None


def _rank(port: Port) -> tuple[bool, int, int, str]:
    unsaid = port.port is None or _PHYSICAL.fullmatch(port.port) is None
    return unsaid, port.number, len(port.netdev), port.netdev

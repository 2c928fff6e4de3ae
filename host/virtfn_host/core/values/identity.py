"""What a card is known by when its address or the name of its netdev moves, and how a function looked when claimed.

Frozen values and the comparison of two identities. Each identity has what could be read, and only what both have is
compared (docs/decisions/0023).
"""

from dataclasses import dataclass, fields, replace
from typing import Annotated

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.names import AtMost, Label, MacAddress, SerialNumber, SlotName, SubsystemIds

MOST_NETDEVS = 64
"""Names of netdevs that are kept of one function."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What stays with a card, and the slot that it is in. None: it has none, or it could not be read."""

    subsystem: SubsystemIds | None = None
    """Vendor and device of the subsystem, like `8086:a03c`."""
    serial: SerialNumber | None = None
    """As `lspci -vv` prints it. All functions of one card may have the same."""
    mac: MacAddress | None = None
    """The permanent address of its netdev, as `ethtool -P` prints it."""
    slot: SlotName | None = None
    """The firmware's name of the slot: a place, not a card."""


UNKNOWN = Identity()


def differs(one: Identity, other: Identity) -> bool:
    """Return whether two identities cannot be of one card: the serial number decides, else the permanent MAC."""
    if one.subsystem and other.subsystem and one.subsystem != other.subsystem:
        return True
    for mine, theirs in ((one.serial, other.serial), (one.mac, other.mac)):
        if mine is not None and theirs is not None:
            return mine != theirs
    return False


def proves(one: Identity, other: Identity) -> bool:
    """Return whether two identities are of one card: of serial number and permanent MAC, all that both have agree."""
    pairs = ((one.serial, other.serial), (one.mac, other.mac))
    shared = [mine == theirs for mine, theirs in pairs if mine is not None and theirs is not None]
    return bool(shared) and all(shared) and not differs(one, other)


def completed(one: Identity, other: Identity) -> Identity:
    """Return an identity with what it lacks taken from a newer one of the same card."""
    lacks = {f.name: getattr(other, f.name) for f in fields(one) if getattr(one, f.name) is None}
    return replace(one, **lacks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """How a function looked: all that a matcher of a policy can name, and what its card is known by."""

    address: PciAddress
    vendor: Label
    device: Label
    class_code: Label
    driver: Label | None
    netdevs: Annotated[tuple[Label, ...], AtMost(MOST_NETDEVS)]
    numa_node: int | None
    identity: Identity = UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One policy that has claimed one function, and how the function looked then. It outlives boots."""

    policy: Label
    uid: Label
    generation: int
    seen: Seen

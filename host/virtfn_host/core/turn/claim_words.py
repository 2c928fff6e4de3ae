"""What is said of a claim that no matcher explains now: the function looks otherwise, or is not there."""

from collections.abc import Callable
from dataclasses import fields

from virtfn_host.core.turn.claims import Kept
from virtfn_host.core.values.desired import DeviceMatcher, PolicyConfig, Rejected
from virtfn_host.core.values.identity import Claim, Identity, Seen, completed
from virtfn_host.core.values.model import Pf
from virtfn_host.core.values.reasons import Reason

_ASKED: dict[str, tuple[str, Callable[[Seen], object]]] = {
    "vendor": ("vendor", lambda seen: seen.vendor),
    "device": ("device", lambda seen: seen.device),
    "class_code": ("class", lambda seen: seen.class_code),
    "driver": ("driver", lambda seen: seen.driver),
    "address": ("address", lambda seen: seen.address),
    "netdev": ("netdev", lambda seen: " and ".join(seen.netdevs)),
    "numa_node": ("numaNode", lambda seen: seen.numa_node),
    "permanent_mac": ("permanentMac", lambda seen: seen.identity.mac),
    "serial_number": ("serialNumber", lambda seen: seen.identity.serial),
    "slot": ("slot", lambda seen: seen.identity.slot),
}
"""Field of a matcher: its name in a policy, and what a function shows there."""


def kept(policy: PolicyConfig, found: Kept) -> Rejected:
    """Return the problem of a policy that keeps a function which its matchers do not match now."""
    address = str(found.function.address)
    before, after = _difference(found.matcher, found.claimed, found.now)
    plain = policy.whole is None and not isinstance(found.function, Pf)
    text = f"{address}: was recognised by {before}, and has {after} now"
    text += ", and no SR-IOV" if plain else ""
    text += f"; policy {policy.name} keeps it, since only an edit or the end of a policy gives a function back"
    text += f". Name it in devices by {_stays(found)}, or edit devices so that they match it neither way"
    return Rejected(policy=policy.name, device=address, reason=Reason.CLAIM_KEPT, message=text)


def gone(claim: Claim, now: Seen | None) -> Rejected:
    """Return the problem of a policy that matches nothing on a node where it had this function.

    Args:
        now: how the function looks at another address; None if it is not there.
    """
    address, card = str(claim.seen.address), f"{claim.seen.vendor}:{claim.seen.device}"
    card += f", serial number {claim.seen.identity.serial}" if claim.seen.identity.serial else ""
    text = f"{address}: the card that policy {claim.policy} had there ({card}) is "
    text += "not there any more" if now is None else f"at {now.address} now"
    text += ", and it matches nothing else of this node; put the card back, or "
    text += "edit devices or nodeSelector" if now is None else f"name it in devices by {_lasting(now.identity)}"
    return Rejected(policy=claim.policy, device=address, reason=Reason.DEVICE_GONE, message=text)


def _difference(matcher: DeviceMatcher, before: Seen, now: Seen) -> tuple[str, str]:
    """Return what the matcher asks for and is not so now, as it was and as it is."""
    was, has = [], []
    for field in fields(matcher):
        asked = getattr(matcher, field.name)
        name, shown = _ASKED[field.name]
        if asked is None or shown(before) == shown(now):
            continue
        was.append(f"{name} {asked}")
        has.append(f"{name} {shown(now)}" if shown(now) not in (None, "") else f"no {name}")
    return ", ".join(was) or "what it was", ", ".join(has) or "nothing else"


def _stays(found: Kept) -> str:
    """Return the matcher fields that stay with this card, also those that do not show now, else its address."""
    return _lasting(completed(found.now.identity, found.claimed.identity)) or f"address {found.now.address}"


def _lasting(identity: Identity) -> str:
    named = (("permanentMac", identity.mac), ("serialNumber", identity.serial), ("slot", identity.slot))
    return ", ".join(f"{name} {value}" for name, value in named if value is not None)

"""What is kept for the next boot, and what a boot makes of it. Pure.

At a boot less can be known than later: there is no network yet, so no function shows that the machine needs it, and no
program tells which pods will come. So a boot makes less than the agent would:

- only VFs, and only of PFs on which this very config was verified: a config that made a machine hang is not tried again
  at each boot, and a card that came to the address of another is left alone;
- nothing that is there is disturbed: a PF with other VFs waits for the agent and its turn;
- no whole function: before the network is up, the network card of the node looks like any other;
- no VF whose link settings come first (the agent sets them, then binds it): they need a library that a host may lack.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.resolve import Resolution, resolve
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import Desired, DesiredPf, Mismatch, NodeConfig
from virtfn_host.core.values.identity import Claim
from virtfn_host.core.values.kept import KeptCard, KeptConfig
from virtfn_host.core.values.model import Function, InUse, Inventory, Original
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.steps import Blocked, PfPlan, Plan


def verified(
    config: NodeConfig, desired: Desired, mismatches: tuple[Mismatch, ...], inventory: Inventory
) -> KeptConfig:
    """Return what a look shows as carried out: the PFs with VFs of ours of which `verify` says nothing.

    Args:
        mismatches: the result of `verify` on this very inventory.
    """
    wrong = {mismatch.device for mismatch in mismatches}
    cards = [
        KeptCard(address=pf.address, vendor=pf.vendor, device=pf.device, identity=pf.identity)
        for pf in inventory.pfs
        if (wanted := desired.pf(pf.address)) is not None
        and _makes_vfs(wanted)
        and (not wrong or wrong.isdisjoint(str(member.address) for member in pf.family))
    ]
    return KeptConfig(config=config, cards=tuple(cards))


def merged(before: KeptConfig, now: KeptConfig) -> KeptConfig:
    """Return what to keep. Under the same config a PF stays that was verified earlier: a look that sees less of it, or
    an agent that has just started, takes nothing away."""
    if before.config != now.config:
        return now
    cards = {card.address: card for card in (*before.cards, *now.cards)}
    return replace(now, cards=tuple(cards[address] for address in sorted(cards)))


def _makes_vfs(wanted: DesiredPf) -> bool:
    return bool(wanted.policies and not wanted.refused and wanted.num_vfs)


# --- the boot --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Boot:
    """What a boot does on one look."""

    desired: Desired
    """The PFs to make VFs of."""
    plan: Plan
    """Steps that disturb nothing."""
    left: tuple[Mismatch, ...]
    """What is left alone, by PF, each with its reason."""
    early: bool
    """Whether a kept PF may still come, or get its driver or its name: then another look helps."""


def at_boot(
    kept: KeptConfig,
    inventory: Inventory,
    originals: tuple[Original, ...],
    in_use: InUse,
    claims: tuple[Claim, ...] = (),
) -> Boot:
    """Decide what to make again of the last verified config.

    Args:
        claims: those of the journal: a PF that was renamed by the reboot keeps its policy.
    """
    resolution = resolve(kept.config, inventory, originals, claims)
    desired = Desired(pfs=tuple(_wanted(kept, resolution, inventory)))
    made = plan(inventory, desired, in_use)
    lost = [why for card in kept.cards if (why := _lost(card, resolution, inventory)) is not None]
    waiting = [_waits(part, blocked) for part in made.calm.pfs for blocked in part.blocked]
    other = [_other_vfs(part, inventory, desired) for part in made.pfs if part.displaces]
    there = {str(function.address) for function in inventory.functions if _replaced(kept, function)}
    return Boot(
        desired=desired,
        plan=made.calm,
        left=tuple(sorted([*lost, *waiting, *other], key=lambda why: why.device)),
        early=any(why.device not in there for why in lost),
    )


def _wanted(kept: KeptConfig, resolution: Resolution, inventory: Inventory) -> Iterator[DesiredPf]:
    """The desired state of the kept PFs, as far as a boot makes it: VFs that policies claim, without link settings
    and MTU, which the agent sets."""
    cards = {card.address: card for card in kept.cards}
    for wanted in resolution.desired.pfs:
        card, function = cards.get(wanted.address), inventory.find(wanted.address)
        if card is not None and function is not None and card.is_card(function) and _makes_vfs(wanted):
            vfs = (vf for vf in wanted.vfs if vf.policy is not None and vf.link is None)
            yield replace(wanted, own=None, mtu=None, vfs=tuple(replace(vf, mtu=None) for vf in vfs))


def _lost(card: KeptCard, resolution: Resolution, inventory: Inventory) -> Mismatch | None:
    """Why no VFs of a kept PF are made, or None."""
    function = inventory.find(card.address)
    if function is None:
        unread = next((it for it in inventory.unreadable if it.device == card.address), None)
        if unread is not None:
            return _left(card.address, Reason.UNREADABLE, f"{unread.path} could not be read: {unread.error}")
        return _left(card.address, Reason.DEVICE_GONE, "is not there; was the card removed, or moved to another slot?")
    if not card.is_card(function):
        text = f"is another card now ({function.vendor}:{function.device}, was {card.vendor}:{card.device})"
        return _left(card.address, Reason.DEVICE_GONE, f"{text}, so it is left to the agent")
    wanted = resolution.desired.pf(card.address)
    if wanted is not None and _makes_vfs(wanted):
        return None
    address = str(card.address)
    refusal = next((it for it in resolution.rejected if it.device == address), None)
    if refusal is not None:
        return Mismatch(device=address, reason=refusal.reason, message=refusal.message)
    text = "no policy of the kept config matches it now; did its name or driver change?"
    return _left(card.address, Reason.NO_MATCHING_DEVICE, text)


def _replaced(kept: KeptConfig, function: Function) -> bool:
    return any(card.address == function.address and not card.is_card(function) for card in kept.cards)


def _waits(part: PfPlan, blocked: Blocked) -> Mismatch:
    return Mismatch(device=str(part.pf), reason=blocked.reason, message=blocked.message)


def _other_vfs(part: PfPlan, inventory: Inventory, desired: Desired) -> Mismatch:
    pf, wanted = inventory.find(part.pf), desired.pf(part.pf)
    there, number = (pf.num_vfs if pf else 0), (wanted.num_vfs if wanted else None)
    text = f"has {there} VFs already, made by another program" if there != number else "has VFs on another driver"
    return _left(part.pf, Reason.DRIFTED, f"{text}; a boot disturbs no VF, so they are left to the agent")


def _left(address: PciAddress, reason: Reason, text: str) -> Mismatch:
    return Mismatch(device=str(address), reason=reason, message=f"{address}: {text}")

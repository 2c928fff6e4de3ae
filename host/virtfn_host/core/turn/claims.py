"""Claims: which policy has which function, for as long as the policy says so, whatever the function looks like.

This is the theory of operation. A policy claims a function when one of its matchers matches and the claim is accepted.
The journal notes the claim: name, uid and generation of the policy, and how the function looked then (`Seen`).

A claim ends by the policy only. It is kept while a policy with this uid is asked of the node and one of its matchers
matches the function as it looks now *or as it looked when it was claimed*. So a netdev that is renamed, or leaves for a
namespace or a bond, a driver that is reloaded, a file that cannot be read, and a look that sees less change nothing:
the policy keeps the function, and says so (`ClaimKept`). An edit of `devices` that names neither look ends the claim.
So does a policy that is not asked of the node any more; one that was made anew under the same name has another uid.

A card that moved to another address is found again by its serial number or permanent MAC. What a matcher says of a
place (address, slot, NUMA node) is then asked of the new place. A card that came to another's address is another card.

A name belongs to one function at a time. While a policy keeps a function by a name that it had, another function that
got the name is not taken for it.

What is noted changes rarely: the first look at which a matcher matched stays until only a newer one matches. A claim
is noted before the first touch and dropped after everything is given back, so it tells the cause (decision 0023).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, replace
from typing import TypeAlias

from virtfn_host.core.checks.usable import out_of_sight
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import ClaimNote, DeviceMatcher, NodeConfig, PolicyConfig
from virtfn_host.core.values.identity import MOST_NETDEVS, Claim, Seen, completed, differs, proves
from virtfn_host.core.values.model import Function, Inventory, Original, Pf
from virtfn_host.core.values.names import LABEL
from virtfn_host.core.values.steps import MOST_CLAIMS

UNNOTED = "no policy claims it any more; which one did was not noted"

MOST_TOLD = 20
"""Causes told of one function. The names of policies are long, and a plan with a text above `SENTENCE` is refused."""

Mine: TypeAlias = tuple[str, PciAddress]
"""Uid of a policy, and the present address of a function."""


def matches(matcher: DeviceMatcher, seen: Function | Seen) -> bool:
    """Return whether every given field of the matcher matches this function."""
    return (
        matcher.vendor in (None, seen.vendor)
        and matcher.device in (None, seen.device)
        and (matcher.class_code is None or seen.class_code.startswith(matcher.class_code))
        and matcher.driver in (None, seen.driver)
        and matcher.address in (None, seen.address)
        and (matcher.netdev is None or matcher.netdev in seen.netdevs)
        and matcher.numa_node in (None, seen.numa_node)
        and matcher.permanent_mac in (None, seen.identity.mac)
        and matcher.serial_number in (None, seen.identity.serial)
        and matcher.slot in (None, seen.identity.slot)
    )


def seen_of(function: Function, original: Original | None) -> Seen:
    """Return how a function looks. While it is handed out whole, its driver and netdevs are those of the original, and
    of its identity what does not show, such as the permanent MAC, which goes with the netdev."""
    driver, netdevs, identity = function.driver, function.netdevs, function.identity
    if original is not None and original.own is not None:
        driver, netdevs = original.own.driver, original.own.netdevs
        identity = completed(identity, original.identity)
    return Seen(
        address=function.address,
        vendor=function.vendor,
        device=function.device,
        class_code=function.class_code,
        driver=driver,
        netdevs=netdevs[:MOST_NETDEVS],
        numa_node=function.numa_node,
        identity=identity,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A function that a policy keeps though no matcher matches it now."""

    function: Function
    now: Seen
    claimed: Seen
    matcher: DeviceMatcher
    """The matcher that the claimed look fits."""


class Claims:
    """The claims that the journal has, on the functions of one look."""

    def __init__(self, noted: Sequence[Claim], inventory: Inventory, before: dict[PciAddress, Original]) -> None:
        self._noted = noted
        self._functions = inventory.functions
        self._now = {f.address: seen_of(f, before.get(f.address)) for f in inventory.functions}
        self._unread = out_of_sight(inventory).keys()
        self._of: dict[PciAddress, list[Claim]] = defaultdict(list)
        """By the present address of the function, those that were noted at this address first."""
        self._away: list[Claim] = []
        """Claims on functions that are not there, or cannot be read."""
        for claim in noted:
            at = self._found(claim.seen)
            (self._away if at is None else self._of[at]).append(claim)
        for address, claims in self._of.items():
            claims.sort(key=lambda claim: claim.seen.address != address)
            if (original := before.get(address)) is not None and original.own is not None:
                self._now[address] = remembered(self._now[address], claims)

    def _found(self, seen: Seen) -> PciAddress | None:
        """Return where a function is now: a proof decides, else the address. One that cannot be read has not moved:
        halves of one card may have one serial number."""
        if seen.address in self._unread:
            return None
        here = self._now.get(seen.address)
        if here is not None and is_proven(seen, here):
            return here.address
        moved = [now.address for now in self._now.values() if now.address != seen.address and _moved(seen, now)]
        if len(moved) == 1:
            return moved[0]
        return None if here is None or not is_one(seen, here) else here.address

    def of(self, policy: PolicyConfig) -> tuple[list[Function], list[Kept]]:
        """Return the functions that the policy has or asks for, by address, and of these the ones that it keeps."""
        kept = [held for function in self._functions if (held := self._keeps(policy, function)) is not None]
        gone_by = {held.matcher.netdev for held in kept} - {None}
        ours = {held.function.address for held in kept}
        found = [
            function
            for function in self._functions
            if function.address in ours or self._asked(policy, function, gone_by)
        ]
        return found, kept

    def _asked(self, policy: PolicyConfig, function: Function, gone_by: set[str | None]) -> bool:
        known = self._claim(policy, function) is not None
        return any(known or matcher.netdev not in gone_by for matcher in self._matching(policy, function))

    def _matching(self, policy: PolicyConfig, function: Function) -> list[DeviceMatcher]:
        if policy.whole is None and not isinstance(function, Pf):
            return []
        now = self._now[function.address]
        return [matcher for matcher in policy.devices if matches(matcher, now)]

    def _claim(self, policy: PolicyConfig, function: Function) -> Claim | None:
        return next((c for c in self._of.get(function.address, ()) if c.uid == policy.uid), None)

    def may_have(self, policy: PolicyConfig, function: Function) -> bool:
        """Return whether the policy has claimed the function before, or no claim on it is noted: then it is unknown."""
        return not self._of.get(function.address) or self._claim(policy, function) is not None

    def _keeps(self, policy: PolicyConfig, function: Function) -> Kept | None:
        """Return the claim by which alone the policy has this function, or None."""
        claim = self._claim(policy, function)
        if claim is None or self._matching(policy, function):
            return None
        now = self._now[function.address]
        looked = _as_claimed(claim.seen, now)
        matcher = next((matcher for matcher in policy.devices if matches(matcher, looked)), None)
        return None if matcher is None else Kept(function=function, now=now, claimed=looked, matcher=matcher)

    def lost(self, policy: PolicyConfig) -> tuple[Claim, Seen | None] | None:
        """Return a claim of the policy on a function that left its place, and where that one is now (None: nowhere)."""
        away: list[tuple[Claim, Seen | None]] = [(claim, None) for claim in self._away]
        moved = [(c, self._now[at]) for at, claims in self._of.items() for c in claims if c.seen.address != at]
        return next((one for one in away + moved if one[0].uid == policy.uid and _stands(one[0], policy)), None)

    def out_of_sight(self, address: PciAddress, config: NodeConfig) -> list[str]:
        """Return the policies that keep a function which cannot be read, by the address of their claims."""
        claims = [claim for claim in self._away if claim.seen.address == address]
        return [p.name for p in config.policies if any(c.uid == p.uid and _stands(c, p) for c in claims)]

    def why_ended(self, config: NodeConfig, function: Function) -> str | None:
        """Return why the claims on a function that ended did; None: none did."""
        asked = {policy.uid: policy for policy in config.policies}
        claims = self._of.get(function.address, ())
        found = (self._why(claim, asked.get(claim.uid), config, function) for claim in claims)
        texts = list(dict.fromkeys(text for text in found if text is not None))
        more = f" (and {len(texts) - MOST_TOLD} more)" if len(texts) > MOST_TOLD else ""
        return "; ".join(texts[:MOST_TOLD]) + more or None

    def _why(self, claim: Claim, policy: PolicyConfig | None, config: NodeConfig, function: Function) -> str | None:
        if policy is None and any(other.name == claim.policy for other in config.policies):
            return f"policy {claim.policy} was deleted and made anew"
        if policy is None:
            return f"policy {claim.policy} was deleted, or its nodeSelector or this node's labels changed"
        now = self._now[function.address]
        if any(matches(matcher, look) for matcher in policy.devices for look in (now, _as_claimed(claim.seen, now))):
            return None
        if claim.seen.address != function.address:
            return f"policy {claim.policy} names a place, and its card moved from there ({claim.seen.address})"
        edit = f"generation {claim.generation} claimed it, this is {policy.generation}"
        return f"policy {claim.policy} was edited ({edit}): its devices do not name this function any more"

    def notes(
        self, config: NodeConfig, accepted: dict[PciAddress, list[str]], unread: Set[PciAddress] = frozenset()
    ) -> tuple[ClaimNote, ...]:
        """Return what the journal should have instead of what it has, by address.

        Args:
            config: the policies of the node.
            accepted: the names of the policies that claim each function now.
            unread: functions that cannot be read: of these the journal keeps what it has.
        """
        wanted: dict[PciAddress, list[Claim]] = defaultdict(list)
        for function in self._functions:
            at = function.address
            now = (self._standing(policy, function, accepted.get(at, ())) for policy in config.policies)
            wanted[at] += [claim for claim in now if claim is not None][:MOST_CLAIMS]
        asked = {policy.uid: policy for policy in config.policies}
        for claim in (*self._away, *self._left_behind()):
            if claim.uid in asked and _stands(claim, asked[claim.uid]):
                wanted[claim.seen.address].append(claim)
        noted: dict[PciAddress, list[Claim]] = defaultdict(list)
        for claim in self._noted:
            noted[claim.seen.address].append(claim)
        return tuple(
            _note(at, noted[at], wanted[at])
            for at in sorted({*wanted, *noted} - unread)
            if _differ(noted[at], wanted[at])
        )

    def _standing(self, policy: PolicyConfig, function: Function, accepted: Sequence[str]) -> Claim | None:
        """Return the claim of a policy on a function that should be noted: the old one, a new one, or none."""
        now, claim = self._now[function.address], self._claim(policy, function)
        if claim is not None:
            looked = _as_claimed(claim.seen, now)
            if any(matches(matcher, looked) for matcher in policy.devices):
                return _noted_on(claim, now)
        if policy.name not in accepted or max(len(policy.name), len(policy.uid)) > LABEL:
            return None
        return Claim(policy=policy.name, uid=policy.uid, generation=policy.generation, seen=now)

    def _left_behind(self) -> Iterable[Claim]:
        """Claims at the old address of a card that moved, until there is one at its new address: no kill loses both."""
        for address, claims in self._of.items():
            there = {claim.uid for claim in claims if claim.seen.address == address}
            yield from (c for c in claims if c.seen.address != address and c.uid not in there)


def carried_on(claim: Claim, noted: Sequence[Claim], looks: Sequence[Seen]) -> list[Claim]:
    """Return the noted claims that this one carries on: on the same function, which these looks show."""
    return [old for old in noted if any(is_one(old.seen, now) and claim == _noted_on(old, now) for now in looks)]


def remembered(now: Seen, claims: Sequence[Claim]) -> Seen:
    """Return how a function that is handed out whole looks, with what only its claims know of its identity: the
    original lacks a permanent MAC that sysfs did not show at the first touch."""
    for claim in claims:
        now = replace(now, identity=completed(now.identity, _as_claimed(claim.seen, now).identity))
    return now


def is_proven(seen: Seen, now: Seen) -> bool:
    """Return whether a function is certainly the one that was claimed."""
    return is_one(seen, now) and proves(seen.identity, now.identity)


def may_be_proven(claims: Iterable[Claim], inventory: Inventory) -> bool:
    """Whether permanent MACs that this look does not have may tell where a claimed function went."""
    return any(
        claim.seen.identity.mac is not None
        and ((here := inventory.find(claim.seen.address)) is None or not is_one(claim.seen, seen_of(here, None)))
        for claim in claims
    )


def _noted_on(claim: Claim, now: Seen) -> Claim:
    """Return a noted claim at the present place of its function, with what became known of the card."""
    looked = _as_claimed(claim.seen, now)
    return replace(claim, seen=replace(looked, identity=completed(looked.identity, now.identity)))


def is_one(seen: Seen, now: Seen) -> bool:
    """Return whether a function may be the one that was claimed: at another address only with a proof."""
    if seen.address != now.address:
        return _moved(seen, now)
    return _same_ids(seen, now) and not differs(seen.identity, now.identity)


def _note(at: PciAddress, noted: Sequence[Claim], wanted: Sequence[Claim]) -> ClaimNote:
    return ClaimNote(address=at, claims=tuple(wanted[:MOST_CLAIMS]), adds=not set(wanted) <= set(noted))


def _differ(noted: Sequence[Claim], wanted: Sequence[Claim]) -> bool:
    return set(noted) != set(wanted[:MOST_CLAIMS])


def _same_ids(one: Seen, other: Seen) -> bool:
    pairs = ((one.vendor, other.vendor), (one.device, other.device))
    return all(not mine or not theirs or mine == theirs for mine, theirs in pairs)


def _moved(seen: Seen, now: Seen) -> bool:
    """Return whether a function at another address is this one. Functions of one card share its serial number, those
    behind two slots of the machine (Socket Direct) even the function number. So where one of both has a permanent MAC,
    it decides: a MAC that does not show proves nothing."""
    by_mac = seen.identity.mac is not None and seen.identity.mac == now.identity.mac
    no_macs = seen.identity.mac is None and now.identity.mac is None
    same_part = by_mac or (no_macs and seen.address.function == now.address.function)
    return same_part and _same_ids(seen, now) and proves(seen.identity, now.identity)


def _as_claimed(seen: Seen, now: Seen) -> Seen:
    """Return how a function looked when it was claimed; of one that moved, the place is the present one."""
    if seen.address == now.address:
        return seen
    identity = replace(seen.identity, slot=now.identity.slot)
    return replace(seen, address=now.address, numa_node=now.numa_node, identity=identity)


def _stands(claim: Claim, policy: PolicyConfig) -> bool:
    return any(matches(matcher, claim.seen) for matcher in policy.devices)

"""Match policies with the PFs of one node: NodeConfig + Inventory -> Desired + Rejected.

The first policy wins (docs/architecture.md, merging). A claim that is refused is returned, never raised, so that one
bad policy does not stop the others. A PF that is in the journal and that no policy claims any more is given back; what
ends a claim is in `claims.py`.
"""

from collections import defaultdict
from dataclasses import dataclass, field, fields

from virtfn_host.core.checks.mtu import no_mtu
from virtfn_host.core.checks.network import no_link
from virtfn_host.core.checks.usable import (
    Hindrance,
    behind_port,
    first,
    has_vfs,
    needed,
    no_iommu,
    no_pf_driver,
    offers_no_vfs,
    out_of_sight,
    vf_token,
)
from virtfn_host.core.turn.claim_words import gone, kept
from virtfn_host.core.turn.claims import Claims
from virtfn_host.core.turn.claims import matches as matches
from virtfn_host.core.turn.policy import indexes_text
from virtfn_host.core.turn.wanted import PfClaims, desired_pf, left_alone, with_extras
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.choice import ANY, Choice
from virtfn_host.core.values.codec import camel
from virtfn_host.core.values.desired import (
    KERNEL_DRIVER,
    Desired,
    DesiredPf,
    NodeConfig,
    PolicyConfig,
    PoolRequest,
    Rejected,
    WholeRequest,
)
from virtfn_host.core.values.extras import NOTHING, Extras
from virtfn_host.core.values.identity import Claim
from virtfn_host.core.values.indexes import Indexes
from virtfn_host.core.values.model import Function, Inventory, Original, Pf
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.resource_names import environment_keys

_MATCHED = {"class_code": "class"}
"""Names in a policy of matcher fields that have another name here."""

_LEAVE = "change one of the two so that it names another device"


class RefusalError(Exception):
    """A claim on one PF is refused. Raised and caught in this module."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """The desired state of a node, and every claim that was refused."""

    desired: Desired
    rejected: tuple[Rejected, ...]


@dataclass(slots=True)
class _Names:
    """Resource names that are taken, and their environment variables in a container."""

    drivers: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Resource name to the first policy that uses it, and the driver in that policy."""
    keys: dict[str, str] = field(default_factory=dict)
    """Name of an environment variable to its resource name."""

    def refusal(self, policy: str, name: str, driver: str) -> tuple[Reason, str] | None:
        """Take the name for this policy, or return why the policy cannot have it."""
        if name not in self.drivers:
            other = next((self.keys[key] for key in environment_keys(name) if key in self.keys), None)
            if other is not None:
                text = f"{name} becomes the same environment variable in a container as {other}"
                return Reason.NAME_TAKEN, f"{text} of policy {self.drivers[other][0]}; rename one"
            self.drivers[name] = (policy, driver)
            self.keys |= dict.fromkeys(environment_keys(name), name)
        winner, first = self.drivers[name]
        if first == driver:
            return None
        return (
            Reason.RESOURCE_MISMATCH,
            f"{name} wants driver {driver}, but policy {winner} gives it {first}; rename one",
        )


def resolve(
    config: NodeConfig,
    inventory: Inventory,
    originals: tuple[Original, ...],
    noted: tuple[Claim, ...] | None = None,
) -> Resolution:
    """Decide the desired state of every PF that a policy claims or that virtfn touched before.

    Args:
        config: the node's policies, ordered by precedence, highest first.
        inventory: the machine as it is.
        originals: the journal: the states of PFs before the first touch.
        noted: the journal: which policies have claimed which functions. None: claims are neither known nor noted.
    """
    claims: dict[PciAddress, PfClaims] = defaultdict(PfClaims)
    drivers = _Names()
    rejected: list[Rejected] = []
    refused: dict[PciAddress, list[str]] = defaultdict(list)
    before = {pf.address: o for pf in inventory.functions for o in originals if o.card.is_same(pf.card)}
    memory = Claims(noted or (), inventory, before)
    lost = _out_of_sight(config, inventory, originals, memory)
    accepted: list[tuple[PolicyConfig, Pf]] = []
    for policy in config.policies:
        matching, keeps = memory.of(policy)
        if not matching and not any(policy.name in pf.policies for pf in lost):
            rejected.append(_unmatched(policy, inventory, memory))
        rejected += [kept(policy, found) for found in keeps]
        for pf in matching:
            try:
                if policy.whole is not None:
                    original = before.get(pf.address)
                    _claim_whole(policy, policy.whole, pf, inventory, claims[pf.address], original, drivers)
                elif not isinstance(pf, Pf):
                    raise RefusalError(Reason.SRIOV_UNSUPPORTED, "has no SR-IOV now; switch it on in its firmware")
                else:
                    _check(policy, pf, inventory, claims[pf.address], before.get(pf.address))
                    _claim_count(policy, claims[pf.address])
                    accepted.append((policy, pf))
                    for pool in policy.pools:
                        drivers.refusal(policy.name, pool.resource_name, pool.driver)
            except RefusalError as refusal:
                rejected.append(_rejection(policy, pf, refusal.reason, str(refusal)))
                if memory.may_have(policy, pf):
                    refused[pf.address].append(policy.name)
    # Only now is the number of VFs of every PF known, and a pool without indexes takes all that are left.
    for policy, pf in accepted:
        rejected += _claim_pools(policy, pf, claims[pf.address], drivers)
    seen = [
        desired_pf(pf, claims[pf.address], refused[pf.address], before.get(pf.address), memory.why_ended(config, pf))
        for pf in inventory.functions
        if claims[pf.address].policies or pf.address in before
    ]
    pfs = sorted([*seen, *lost], key=lambda pf: pf.address)
    names = {address: made.policies for address, made in claims.items()}
    notes = () if noted is None else memory.notes(config, names, {pf.address for pf in lost})
    here = {function.address: function.card for function in inventory.functions}
    replaced = tuple(sorted(o.address for o in originals if o.address in here and o.card.is_another(here[o.address])))
    extras = _extras(config)
    offered = tuple(with_extras(pf, extras) for pf in pfs) if extras else tuple(pfs)
    desired = Desired(pfs=offered, notes=notes, replaced=replaced, choices=_choices(config), extras=extras)
    return Resolution(desired=desired, rejected=tuple(rejected))


def _out_of_sight(
    config: NodeConfig, inventory: Inventory, originals: tuple[Original, ...], memory: Claims
) -> list[DesiredPf]:
    """Return the PFs that cannot be read and that virtfn touched or a policy claims: they are not gone, and stay."""
    touched = {original.address for original in originals}
    found = {address: memory.out_of_sight(address, config) for address in out_of_sight(inventory)}
    return [left_alone(address, names) for address, names in found.items() if names or address in touched]


def _choices(config: NodeConfig) -> dict[str, Choice]:
    """Return how functions are chosen, by resource name: of several policies the one with the highest precedence
    decides, because one pool has one choice."""
    return {name: one.choice for name, one in _first_requests(config).items() if one.choice != ANY}


def _extras(config: NodeConfig) -> dict[str, Extras]:
    """Return what containers get beside the usual, by resource name; decided as the choice is."""
    return {name: one.extras for name, one in _first_requests(config).items() if one.extras != NOTHING}


def _first_requests(config: NodeConfig) -> dict[str, PoolRequest | WholeRequest]:
    asked = (one for policy in config.policies for one in (*policy.pools, *([policy.whole] if policy.whole else ())))
    found: dict[str, PoolRequest | WholeRequest] = {}
    for one in asked:
        found.setdefault(one.resource_name, one)
    return found


def _unmatched(policy: PolicyConfig, inventory: Inventory, memory: Claims) -> Rejected:
    """Return the rejection of a policy that matches nothing, or nothing that could be read."""
    for address, found in out_of_sight(inventory).items():
        text = f"{address}: {found.message}; it is unknown whether the policy matches it"
        return _rejection(policy, None, found.reason, text)
    if (left := memory.lost(policy)) is not None:
        return gone(*left)
    return _rejection(policy, None, Reason.NO_MATCHING_DEVICE, _none_matches(policy))


def _none_matches(policy: PolicyConfig) -> str:
    asked = [
        ", ".join(
            f"{_MATCHED.get(f.name) or camel(f.name)} {value}"
            for f in fields(matcher)
            if (value := getattr(matcher, f.name)) is not None
        )
        for matcher in policy.devices
    ]
    what, verb = ("function", "virtfn list --all") if policy.whole else ("SR-IOV device", "virtfn list")
    return f"no {what} of this node has {' or '.join(asked)}; `{verb}` shows those that are there"


def _check(policy: PolicyConfig, pf: Pf, inventory: Inventory, claims: PfClaims, original: Original | None) -> None:
    """Raise RefusalError if the policy cannot claim any VF of this PF."""
    if claims.whole is not None:
        raise RefusalError(Reason.FUNCTION_TAKEN, f"is handed out whole by policy {claims.policies[0]}; {_LEAVE}")
    count = policy.count
    if count is not None and claims.count is not None and count != claims.count:
        text = f"wants {count} VFs, but policy {claims.count_policy} has set count to {claims.count}"
        raise RefusalError(Reason.COUNT_CONFLICT, f"{text}; ask for the same count, or leave count out")
    if count:
        _refuse(offers_no_vfs(pf.total_vfs))
    if count is not None and count > pf.total_vfs:
        text = f"wants {count} VFs, the device offers {pf.total_vfs} (sriov_totalvfs); ask for fewer"
        raise RefusalError(Reason.TOO_MANY_VFS, text)
    handed_out = original is not None and original.own is not None  # then it gets its own driver back first
    if count and not handed_out:
        _refuse(no_pf_driver(pf.driver, vfio_bound=pf.vfio_bound))
    if any(pool.driver != KERNEL_DRIVER for pool in policy.pools):
        _refuse(no_iommu(pf.iommu_group, inventory, allowed=policy.allow_unsafe_no_iommu))
        _refuse(first(behind_port(pf.address, inventory.group(pf.iommu_group)), vf_token(pf, inventory)))
    _refuse(first(no_link(pf, (pool.link for pool in policy.pools)), no_mtu(pf, policy.mtu)))


def _refuse(found: Hindrance | None) -> None:
    if found is not None:
        raise RefusalError(found.reason, found.text)


def _claim_whole(
    policy: PolicyConfig,
    whole: WholeRequest,
    pf: Function,
    inventory: Inventory,
    claims: PfClaims,
    original: Original | None,
    drivers: _Names,
) -> None:
    """Claim the function itself, or raise RefusalError."""
    if claims.policies:
        what = "is handed out whole by" if claims.whole else "has its VFs claimed by"
        raise RefusalError(Reason.FUNCTION_TAKEN, f"{what} policy {claims.policies[0]}; {_LEAVE}")
    # If virtfn made its VFs, it removes them first.
    ours = original is not None and original.num_vfs == 0 and not original.number_untouched
    _refuse(first(needed(pf.needed_for), None if ours else has_vfs(pf.num_vfs)))
    if whole.driver != KERNEL_DRIVER:
        _refuse(no_iommu(pf.iommu_group, inventory, allowed=policy.allow_unsafe_no_iommu))
    if refusal := drivers.refusal(policy.name, whole.resource_name, whole.driver):
        raise RefusalError(*refusal)
    claims.policies.append(policy.name)
    claims.whole = whole
    claims.note_unsafe(policy)


def _claim_count(policy: PolicyConfig, claims: PfClaims) -> None:
    claims.policies.append(policy.name)
    claims.note_unsafe(policy)
    if policy.mtu is not None:
        claims.mtus[policy.name] = policy.mtu
    if policy.count is not None and claims.count is None:
        claims.count, claims.count_policy = policy.count, policy.name


def _claim_pools(policy: PolicyConfig, pf: Pf, claims: PfClaims, drivers: _Names) -> list[Rejected]:
    """Claim the VFs that the policy gets of this PF, and return the rejections of those that it does not get."""
    rejected = []
    number = pf.num_vfs if claims.count is None else claims.count
    named = {index for pool in policy.pools for index in pool.claimed(number)}
    for pool in policy.pools:
        if refusal := drivers.refusal(policy.name, pool.resource_name, pool.driver):
            rejected.append(_rejection(policy, pf, *refusal))
            continue
        wanted = range(number) if pool.indexes is None else pool.claimed(number)
        free = [i for i in wanted if i not in claims.vfs and (pool.indexes is not None or i not in named)]
        rejected += _unmet(policy, pf, pool, claims, free, number)
        claims.vfs |= dict.fromkeys(free, (policy.name, pool))
    return rejected


def _unmet(
    policy: PolicyConfig,
    pf: Pf,
    pool: PoolRequest,
    claims: PfClaims,
    free: list[int],
    number: int,
) -> list[Rejected]:
    """Return the rejections of the VFs that a pool asks for and does not get.

    Args:
        number: the VFs that the PF will have: a VF that is still to be made is there.
    """
    if pool.indexes is None:
        if free:
            return []
        text = f"no VF is left for {pool.resource_name}"
        if winners := sorted({name for name, _ in claims.vfs.values()}):
            text += f"; taken by {', '.join(winners)}"
        elif claims.count is not None and claims.count_policy != policy.name:
            text += f"; policy {claims.count_policy} has set count to {number}"
        return [_rejection(policy, pf, Reason.NOTHING_LEFT, f"{text}; raise count, or name another device")]
    lost: dict[str, list[int]] = defaultdict(list)
    for index in pool.claimed(number):
        if index in claims.vfs:
            lost[claims.vfs[index][0]].append(index)
    rejected = [
        _rejection(
            policy, pf, Reason.INDEX_TAKEN, f"VF {indexes_text(taken)} belongs to policy {winner}; name other indexes"
        )
        for winner, taken in sorted(lost.items())
    ]
    if beyond := Indexes(pool.ranges).beyond(number):
        why = f"the PF has {number} VFs"
        if claims.count is not None:
            why = f"policy {claims.count_policy} has set count to {number}"
        text = f"there is no VF {beyond}: {why}; ask for more (count), or name other indexes"
        rejected.append(_rejection(policy, pf, Reason.NOTHING_LEFT, text))
    return rejected


def _rejection(policy: PolicyConfig, pf: Function | None, reason: Reason, text: str) -> Rejected:
    device = str(pf.address) if pf else None
    message = f"{pf.address}: {text}" if pf else text
    return Rejected(policy=policy.name, device=device, reason=reason, message=message)

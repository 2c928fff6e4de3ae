"""VFs of a deleted policy are withdrawn at once, though another policy offers VFs of the PF by the same name."""

from dataclasses import replace

import pytest
from claiming import Claims, claimed, decided
from inventories import a_pf, a_pod, a_policy, an_inventory

from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.pools import pools
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import PolicyConfig
from virtfn_host.core.values.holders import Holder
from virtfn_host.core.values.model import InUse, Original, OriginalVf
from virtfn_host.core.values.offered import PoolSet
from virtfn_host.core.values.reasons import Reason

PF = a_pf(0, 7, autoprobe=True)
MACHINE = an_inventory(PF)
ORIGINAL = Original(
    address=PF.address,
    vendor="8086",
    device="10c9",
    num_vfs=7,
    autoprobe=True,
    vfs=tuple(OriginalVf(index=n, driver="igbvf", driver_override=None) for n in range(7)),
    number_untouched=True,
)
EMPTY = PoolSet(boot_id=MACHINE.boot_id, pools=())


def offers(name: str, *indexes: int, count: int | None = None, resource: str = "fast") -> PolicyConfig:
    policy = a_policy(name, count)
    pool = replace(policy.pools[0], resource_name=f"virtfn.dev/{resource}", indexes=indexes)
    return replace(policy, pools=(pool,))


def published(
    *policies: PolicyConfig,
    previous: PoolSet = EMPTY,
    noted: Claims = (),
    holders: tuple[Holder, ...] = (),
    left: frozenset[PciAddress] = frozenset(),
) -> PoolSet:
    desired = decided(MACHINE, *policies, noted=noted, originals=(ORIGINAL,)).desired
    in_use = InUse(holders=holders)
    made = plan(MACHINE, desired, in_use)
    look = {"inventory": MACHINE, "in_use": in_use, "plan": made, "withdrawn": frozenset(), "left": left}
    return pools(desired=desired, previous=previous, **look)  # type: ignore[arg-type]


def reasons(found: PoolSet) -> dict[int, Reason | None]:
    index = {vf.address: vf.index for vf in PF.vfs}
    return {index[device.address]: device.reason for pool in found.pools for device in pool.devices}


A, B = offers("a", 0, 1), offers("b", 2, 3)
DELETED: dict[str, tuple[tuple[PolicyConfig, ...], tuple[PolicyConfig, ...], set[int]]] = {
    "no count": ((A, B), (B,), {0, 1}),
    "both with a count": (
        (offers("a", 0, 1, count=7), offers("b", 2, 3, count=7)),
        (offers("b", 2, 3, count=7),),
        {0, 1},
    ),
    "the one that had the count": ((offers("a", 0, 1, count=7), B), (B,), {0, 1}),
    "two of three": ((A, B, offers("c", 4, 5)), (B,), {0, 1, 4, 5}),
    "made anew with other indexes": ((A, B), (replace(offers("a", 1, 4), uid="anew"), B), {0}),
    "its VFs end with an edit of the other": ((offers("a", 5, 6), B), (replace(B, count=4),), {5, 6}),
}


@pytest.mark.parametrize(("before", "after", "withdrawn"), DELETED.values(), ids=DELETED.keys())
@pytest.mark.parametrize("held", [False, True], ids=["waits for its turn", "waits for a pod"])
def test_what_it_had_is_offered_to_no_new_pod_and_leaves_when_it_is_free(
    before: tuple[PolicyConfig, ...], after: tuple[PolicyConfig, ...], withdrawn: set[int], held: bool
) -> None:
    noted = claimed(MACHINE, *before)
    served = published(*before, noted=noted)
    holders = (a_pod(PF.vfs[min(withdrawn)].address),) if held else ()
    found = published(*after, previous=served, noted=noted, holders=holders)
    assert {index for index, reason in reasons(found).items() if reason is not None} == withdrawn
    assert set(reasons(found)) >= set(reasons(served))
    again = published(
        *after,
        previous=found,
        noted=noted,
        holders=holders,
        left=frozenset(PF.vfs[index].address for index in withdrawn),
    )
    assert withdrawn & set(reasons(again)) == ({min(withdrawn)} if held else set())


STAYS: dict[str, tuple[tuple[PolicyConfig, ...], tuple[PolicyConfig, ...]]] = {
    "an edit takes indexes out": ((offers("a", 0, 1, 2), B), (replace(offers("a", 2), generation=2), B)),
    "an edit is refused and another policy was deleted": (
        (A, offers("b", 2, 3), offers("c", 4, 5)),
        (replace(offers("b", 2, 3, count=8), generation=2), offers("c", 4, 5)),
    ),
}


@pytest.mark.parametrize(("before", "after"), STAYS.values(), ids=STAYS.keys())
def test_what_an_edit_would_change_stays_on_offer(
    before: tuple[PolicyConfig, ...], after: tuple[PolicyConfig, ...]
) -> None:
    noted = claimed(MACHINE, *before)
    served = published(*before, noted=noted)
    assert published(*after, previous=served, noted=noted) == served

"""A deleted policy's functions are given back, though a policy that never had them is refused on the same PF."""

from dataclasses import replace

import pytest
from claiming import Claims, claimed, decided, holders, reasons, written
from inventories import a_pf, a_plain, a_pod, a_policy, a_vf, an_inventory

from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.pools import pools
from virtfn_host.core.turn.resolve import Resolution
from virtfn_host.core.values.desired import DeviceMatcher, PolicyConfig, PoolRequest, WholeRequest
from virtfn_host.core.values.model import InUse, Inventory, Original, OriginalOwn
from virtfn_host.core.values.offered import PoolSet
from virtfn_host.core.values.steps import Forget, NoteClaims, SetNumVfs

PF = a_pf(0, 4, autoprobe=False)
MACHINE = an_inventory(PF)
ORIGINAL = Original(address=PF.address, vendor="8086", device="10c9", num_vfs=0, autoprobe=True, vfs=())
DELETED = a_policy("deleted", 4)
NOTED = claimed(MACHINE, DELETED)
FREE = InUse(holders=())
WHOLE = a_policy("other", None, pools=(), whole=WholeRequest(resource_name="virtfn.dev/card", driver="vfio-pci"))
REFUSED: dict[str, tuple[PolicyConfig, Inventory, str]] = {
    "more VFs than the card makes": (a_policy("other", 8), MACHINE, "TooManyVfs"),
    "whole, and the machine needs it": (
        WHOLE,
        an_inventory(replace(PF, needed_for="the default route is by eth0")),
        "NeededByMachine",
    ),
    "without an IOMMU": (a_policy("other", 2), an_inventory(replace(PF, iommu_group=None)), "NoIommu"),
    "made anew under its name": (a_policy("deleted", 8, uid="anew"), MACHINE, "TooManyVfs"),
}
every_refusal = pytest.mark.parametrize(("other", "machine", "reason"), REFUSED.values(), ids=REFUSED.keys())


def after_deletion(other: PolicyConfig, machine: Inventory = MACHINE, noted: Claims = NOTED) -> Resolution:
    return decided(machine, other, noted=noted, originals=(ORIGINAL,))


def offered(machine: Inventory, found: Resolution, in_use: InUse) -> dict[str, list[bool]]:
    """Return the health of what is on offer by resource, after all four VFs were on offer before the deletion, and the
    kubelet has stopped to offer what was published as unhealthy."""
    first = decided(MACHINE, DELETED, noted=NOTED, originals=(ORIGINAL,)).desired
    before = PoolSet(boot_id=MACHINE.boot_id, pools=())
    for desired, look, use in ((first, MACHINE, FREE), *[(found.desired, machine, in_use)] * 2):
        before = pools(
            desired=desired,
            inventory=look,
            in_use=use,
            plan=plan(look, desired, use),
            previous=before,
            withdrawn=frozenset(),
            left=frozenset(device.address for pool in before.pools for device in pool.devices if not device.healthy),
        )
    return {pool.resource_name: [device.healthy for device in pool.devices] for pool in before.pools}


@every_refusal
def test_everything_is_given_back_and_the_claim_goes_last(other: PolicyConfig, machine: Inventory, reason: str) -> None:
    found = after_deletion(other, machine)
    assert reasons(found.rejected) == [reason]
    assert holders(found) == {PF.address: ()}
    (part,) = plan(machine, found.desired, FREE).pfs
    assert "policy deleted was deleted" in (part.cause or "")
    assert SetNumVfs(pf=PF.address, value=0, expects=4) in part.steps
    assert part.steps[-2:] == (Forget(pf=PF.address), NoteClaims(pf=PF.address, claims=()))
    assert offered(machine, found, FREE) == {}


@every_refusal
def test_what_is_held_gets_no_new_pod_and_the_claim_stays_noted(
    other: PolicyConfig, machine: Inventory, reason: str
) -> None:
    found = after_deletion(other, machine)
    held = InUse(holders=(a_pod(a_vf(0, 2).address),))
    assert plan(machine, found.desired, held).steps == ()
    assert offered(machine, found, held) == {"virtfn.dev/deleted": [False]}


def test_a_card_that_was_handed_out_whole_comes_back_too() -> None:
    card = a_plain(0, driver="vfio-pci", driver_override="vfio-pci", vfio_bound=True, netdevs=())
    own = OriginalOwn(driver="igb", driver_override=None, netdevs=("eth0",))
    noted = claimed(an_inventory(a_plain(0)), replace(WHOLE, name="deleted", uid="uid-deleted"))
    needed = an_inventory(replace(card, needed_for="its console is active"))
    found = decided(needed, WHOLE, noted=noted, originals=(replace(ORIGINAL, own=own),))
    assert reasons(found.rejected) == ["NeededByMachine"]
    assert [(pf.given_back, pf.own and pf.own.driver) for pf in found.desired.pfs] == [(True, "igb")]


def test_the_refused_edit_of_its_own_keeps_everything_whoever_else_is_refused() -> None:
    edited, other = replace(DELETED, generation=2, count=8), a_policy("other", 8)
    for policies in ((edited,), (edited, other), (other, edited)):
        found = decided(MACHINE, *policies, noted=NOTED, originals=(ORIGINAL,))
        assert [(pf.refused, pf.policies) for pf in found.desired.pfs] == [(True, ("deleted",))]
        assert plan(MACHINE, found.desired, FREE).steps == ()
        assert offered(MACHINE, found, FREE) == {"virtfn.dev/deleted": [True] * 4}


@pytest.mark.parametrize(
    "noted",
    [None, (), claimed(an_inventory(a_pf(1)), a_policy("elsewhere", 4))],
    ids=["claims are not known", "no claim is noted", "one is noted on another PF"],
)
def test_where_nothing_is_noted_it_is_unknown_who_had_it_so_a_refusal_keeps_it(noted: Claims | None) -> None:
    machine = an_inventory(PF, a_pf(1))
    other = a_policy("other", 8, devices=(DeviceMatcher(address=PF.address),))
    found = decided(machine, other, noted=noted, originals=(ORIGINAL,))  # type: ignore[arg-type]
    assert [pf.refused for pf in found.desired.pfs] == [True]


def test_a_claim_that_ended_stays_noted_while_the_refused_edit_of_another_keeps_all() -> None:
    """Whose the VFs are is not noted. They are given back once the edit is accepted, and then the cause is told."""
    first = a_policy("first", 4, pools=(PoolRequest(resource_name="a.b/x", indexes=(0, 1), driver="vfio-pci"),))
    second = a_policy("second", None, pools=(PoolRequest(resource_name="a.b/y", indexes=(2,), driver="vfio-pci"),))
    noted = claimed(MACHINE, first, second)
    refused = decided(MACHINE, replace(second, count=8), noted=noted, originals=(ORIGINAL,))
    assert plan(MACHINE, refused.desired, FREE).steps == ()
    accepted = decided(MACHINE, replace(second, count=4), noted=noted, originals=(ORIGINAL,))
    (part,) = plan(MACHINE, accepted.desired, FREE).pfs
    assert "policy first was deleted" in (part.cause or "")
    assert [type(step) for step in part.steps][-1] is NoteClaims
    assert [claim.policy for claim in written(accepted, noted)] == ["second"]

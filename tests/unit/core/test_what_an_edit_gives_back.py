"""An edit of a policy that goes on names the cause of what it gives back."""

from dataclasses import replace

import pytest
from claiming import claimed, decided
from inventories import a_pf, a_policy, an_inventory

from virtfn_host.core.turn.plan import plan
from virtfn_host.core.values.desired import PolicyConfig, PoolRequest, WholeRequest
from virtfn_host.core.values.model import InUse, Original, OriginalOwn

PF = a_pf(0, 4, autoprobe=False)
WHOLE_PF = replace(a_pf(0), driver="vfio-pci", driver_override="vfio-pci", vfio_bound=True, netdevs=())
ORIGINAL = Original(address=PF.address, vendor="8086", device="10c9", num_vfs=0, autoprobe=True, vfs=())
OWN = replace(ORIGINAL, own=OriginalOwn(driver="igb", driver_override=None, netdevs=("eth0",)))


def indexes(name: str, *asked: int, count: int | None = 4) -> PolicyConfig:
    pool = PoolRequest(resource_name=f"virtfn.dev/{name}", indexes=asked, driver="vfio-pci")
    return a_policy(name, count, pools=(pool,))


def cause(before: tuple[PolicyConfig, ...], after: tuple[PolicyConfig, ...]) -> str | None:
    noted = claimed(an_inventory(PF), *before)
    found = decided(an_inventory(PF), *after, noted=noted, originals=(ORIGINAL,))
    part = plan(an_inventory(PF), found.desired, InUse(holders=())).pf(PF.address)
    return None if part is None else part.cause


@pytest.mark.parametrize(
    ("asked", "said"),
    [((0, 1), "VF 2-3"), ((3,), "VF 0-2"), ((1, 3), "VF 0,2"), ((0, 1, 2, 3), None)],
)
def test_vfs_that_a_policy_does_not_name_any_more(asked: tuple[int, ...], said: str | None) -> None:
    text = None if said is None else f"policy fast does not ask for {said} any more"
    assert cause((indexes("fast", 0, 1, 2, 3),), (indexes("fast", *asked),)) == text


def test_vfs_that_none_of_several_policies_names_any_more() -> None:
    first, second = indexes("fast", 0, 1), indexes("slow", 2, 3, count=None)
    said = cause((first, second), (first, indexes("slow", 3, count=None)))
    assert said == "no policy asks for VF 2 any more"


def test_the_end_of_another_policy_is_the_cause_before_an_edit() -> None:
    first, second = indexes("fast", 0, 1), indexes("slow", 2, 3, count=None)
    assert "policy slow was deleted" in (cause((first, second), (first,)) or "")


def test_a_function_that_was_handed_out_whole_and_is_split_now() -> None:
    whole = a_policy("fast", None, pools=(), whole=WholeRequest(resource_name="virtfn.dev/card", driver="vfio-pci"))
    machine = an_inventory(WHOLE_PF)
    noted = claimed(machine, whole)
    found = decided(machine, indexes("fast", 0, count=1), noted=noted, originals=(OWN,))
    (wanted,) = found.desired.pfs
    assert wanted.cause == "policy fast does not ask for the whole function any more"
    after = an_inventory(a_pf(0))
    (wanted,) = decided(after, indexes("fast", 0, count=1), noted=noted, originals=(OWN,)).desired.pfs
    assert wanted.cause is None

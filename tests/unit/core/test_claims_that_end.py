"""A claim ends by the policy, and what is given back says by what."""

from dataclasses import replace

import pytest
from claiming import claimed, decided, holders, written
from inventories import a_pf, a_policy, an_inventory

from virtfn_host.core.turn.claims import MOST_TOLD, UNNOTED
from virtfn_host.core.turn.plan import plan
from virtfn_host.core.values.codec import decode, encode
from virtfn_host.core.values.desired import DeviceMatcher, PolicyConfig
from virtfn_host.core.values.model import InUse, Original
from virtfn_host.core.values.steps import MOST_CLAIMS, Forget, NoteClaims, Plan

PF = a_pf(0, 2, netdevs=("eth0",), autoprobe=False)
ORIGINAL = Original(address=PF.address, vendor="8086", device="10c9", num_vfs=0, autoprobe=True, vfs=())
ASKED = a_policy(count=2, devices=(DeviceMatcher(netdev="eth0"),))
NOTED = claimed(an_inventory(PF), ASKED)
EDITED = replace(ASKED, generation=2, devices=(DeviceMatcher(netdev="eth7"),))

CAUSES: dict[str, tuple[tuple[PolicyConfig, ...], str]] = {
    "deleted, or its selector or the labels changed": ((), "was deleted, or its nodeSelector or this node's labels"),
    "edited to another netdev": ((EDITED,), r"was edited (generation 1 claimed it, this is 2)"),
    "edited to another vendor": ((replace(EDITED, devices=(DeviceMatcher(vendor="15b3"),)),), "was edited"),
    "edited to another address": ((replace(EDITED, devices=(DeviceMatcher(address=a_pf(3).address),)),), "was edited"),
    "made anew under its name": ((replace(EDITED, uid="another"),), "was deleted and made anew"),
}


@pytest.mark.parametrize(("policies", "cause"), CAUSES.values(), ids=CAUSES.keys())
def test_what_ends_a_claim_is_the_cause_of_the_give_back(policies: tuple[PolicyConfig, ...], cause: str) -> None:
    machine = an_inventory(PF)
    found = decided(machine, *policies, noted=NOTED, originals=(ORIGINAL,))
    assert holders(found) == {PF.address: ()}
    part = plan(machine, found.desired, InUse(holders=())).pf(PF.address)
    assert part is not None
    assert f"policy fast {cause}" in (part.cause or "")
    assert [type(step) for step in part.steps[-2:]] == [Forget, NoteClaims]
    assert written(found, NOTED) == ()


@pytest.mark.parametrize("look", [{"netdevs": ("x0",)}, {"netdevs": ()}, {"driver": None, "netdevs": ()}])
def test_an_edit_that_names_neither_look_ends_the_claim_of_a_function_that_looks_otherwise(
    look: dict[str, object],
) -> None:
    machine = an_inventory(replace(PF, **look))  # type: ignore[arg-type]
    found = decided(machine, EDITED, noted=NOTED, originals=(ORIGINAL,))
    assert [pf.given_back for pf in found.desired.pfs] == [True]
    assert written(found, NOTED) == ()


def test_the_claim_of_one_policy_ends_and_another_stands() -> None:
    other = a_policy("slow", 2)
    noted = claimed(an_inventory(PF), ASKED, other)
    found = decided(an_inventory(PF), other, noted=noted, originals=(ORIGINAL,))
    assert holders(found) == {PF.address: ("slow",)}
    assert [claim.policy for claim in written(found, noted)] == ["slow"]


def test_vfs_that_one_of_two_policies_gives_back_name_the_cause() -> None:
    taken = replace(ASKED, count=2, pools=(replace(ASKED.pools[0], indexes=(0,)),))
    other = a_policy("slow", 2, pools=(replace(a_policy("slow").pools[0], indexes=(1,)),))
    machine = an_inventory(PF)
    noted = claimed(machine, taken, other)
    found = decided(machine, other, noted=noted, originals=(ORIGINAL,))
    (wanted,) = found.desired.pfs
    assert [vf.policy for vf in wanted.vfs] == [None, "slow"]
    assert "policy fast was deleted" in (wanted.cause or "")


def test_a_give_back_whose_claim_an_earlier_version_did_not_note_says_so() -> None:
    found = decided(an_inventory(PF), originals=(ORIGINAL,))
    assert [pf.cause for pf in found.desired.pfs] == [UNNOTED]


def test_the_claim_stays_noted_while_its_give_back_waits() -> None:
    from inventories import a_pod

    machine = an_inventory(PF)
    found = decided(machine, noted=NOTED, originals=(ORIGINAL,))
    held = InUse(holders=(a_pod(PF.vfs[0].address),))
    made = plan(machine, found.desired, held)
    assert made.steps == ()
    assert "policy fast was deleted" in (made.pfs[0].cause or "")


def test_nothing_that_a_policy_keeps_has_a_cause() -> None:
    found = decided(an_inventory(PF), ASKED, noted=NOTED, originals=(ORIGINAL,))
    assert [pf.cause for pf in found.desired.pfs] == [None]


def test_a_claim_on_a_function_that_is_gone_ends_with_its_policy() -> None:
    machine = an_inventory(a_pf(1))
    found = decided(machine, noted=NOTED)
    made = plan(machine, found.desired, InUse(holders=()))
    assert made.steps == (NoteClaims(pf=PF.address, claims=()),)


@pytest.mark.parametrize("number", [1, 20, 21, MOST_CLAIMS])
def test_a_plan_is_accepted_however_many_policies_with_long_names_end_at_once(number: int) -> None:
    names = [f"{n:02}-{'x' * 250}" for n in range(number)]
    policies = [replace(a_policy(name, 2, devices=ASKED.devices), uid=name[:3]) for name in names]
    machine = an_inventory(PF)
    found = decided(machine, noted=claimed(machine, *policies), originals=(ORIGINAL,))
    made = plan(machine, found.desired, InUse(holders=()))
    assert decode(Plan, encode(made), "plan") == made
    cause = made.pfs[0].cause or ""
    assert [name for name in names if f"policy {name} was deleted" in cause] == names[:MOST_TOLD]
    assert cause.endswith(f" (and {number - MOST_TOLD} more)") == (number > MOST_TOLD)


def test_edits_have_the_longest_texts_and_are_accepted_too() -> None:
    names = [f"{n:02}-{'x' * 250}" for n in range(MOST_CLAIMS)]
    policies = [replace(a_policy(name, 2, devices=ASKED.devices), uid=name[:3], generation=2**53 - 2) for name in names]
    edited = [replace(one, generation=2**53 - 1, devices=EDITED.devices) for one in policies]
    machine = an_inventory(PF)
    found = decided(machine, *edited, noted=claimed(machine, *policies), originals=(ORIGINAL,))
    made = plan(machine, found.desired, InUse(holders=()))
    assert decode(Plan, encode(made), "plan") == made
    assert (made.pfs[0].cause or "").count("was edited") == MOST_TOLD

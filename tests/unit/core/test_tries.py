"""What is planned after what was tried: used as it came, tried again when due, or left alone."""

from dataclasses import replace

import pytest
from inventories import a_pf, a_pod, a_policy, a_vf, an_inventory

from virtfn_host.core.turn.claims import UNNOTED
from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.turn.tries import FIRST, LIMIT, Judged, judged, pause_after, wish_of
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import DesiredPf, NodeConfig, PoolRequest
from virtfn_host.core.values.model import InUse, Observation, Original
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.steps import SetNumVfs, Unbind
from virtfn_host.core.values.tries import MOST, Destruction, Other, Repeat, Tried

PF = a_pf(0).address
FREE = InUse(holders=())
NOW = 10_000.0


def asking(count: int, *pools: tuple[str, tuple[int, ...] | None]) -> NodeConfig:
    requests = tuple(PoolRequest(resource_name=f"a.b/{name}", indexes=i, driver="vfio-pci") for name, i in pools)
    return NodeConfig(policies=(replace(a_policy(), count=count, pools=requests),))


def there(vfs: int, *tried: Tried, originals: tuple[Original, ...] = (), error: str | None = None) -> Observation:
    return Observation(
        inventory=an_inventory(a_pf(0, vfs)),
        evidence=FREE,
        originals=originals,
        journal_error=None,
        stuck=None,
        tries=tried,
        tries_error=error,
    )


def after(
    config: NodeConfig,
    vfs: int,
    *,
    number: Other | None = None,
    binding: Other | None = None,
    repeats: tuple[Repeat, ...] = (),
    in_use: InUse = FREE,
    wish: str | None = None,
    error: str | None = None,
    originals: tuple[Original, ...] = (),
) -> Judged:
    bare = there(vfs, originals=originals, error=error)
    desired = resolve(config, bare.inventory, originals).desired
    wish = wish_of(config, desired.pfs[0]) if wish is None else wish
    tried = Tried(pf=PF, wish=wish, standing="x", repeats=repeats, number=number, binding=binding)
    return judged(config, replace(bare, tries=(tried,)), desired, in_use, NOW)


def made(num_vfs: int | None, ago: float = 0.0, times: int = 1) -> Other:
    return Other(text=f"{PF}: asked for 8, the driver made {num_vfs}", times=times, at=NOW - ago, num_vfs=num_vfs)


def resizes(found: Judged) -> list[int]:
    return [step.value for step in found.plan.steps if isinstance(step, SetNumVfs)]


def test_the_pause_grows_to_an_hour() -> None:
    assert [pause_after(tries) for tries in range(8)] == [0, 60, 120, 240, 480, 960, 1920, 3600]
    assert pause_after(10**6) == LIMIT


# --- wishes ----------------------------------------------------------------------------------------------------------


def a_claim(*policies: str) -> DesiredPf:
    return DesiredPf(address=PF, num_vfs=2, autoprobe=False, vfs=(), policies=policies)


def of(**policies: int) -> NodeConfig:
    found = [
        replace(a_policy(), name=name, uid=f"u-{name}", generation=generation) for name, generation in policies.items()
    ]
    return NodeConfig(policies=tuple(found))


@pytest.mark.parametrize("other", [of(p=2), of(q=1), of(p=1, q=1), of()])
def test_an_edit_is_another_wish(other: NodeConfig) -> None:
    claims = a_claim(*(policy.name for policy in other.policies))
    assert wish_of(other, claims) != wish_of(of(p=1), a_claim("p"))


@pytest.mark.parametrize("others", [of(p=1, q=1), of(q=3, p=1), of(r=1, q=2, p=1)])
def test_policies_without_a_claim_on_the_pf_do_not_matter(others: NodeConfig) -> None:
    assert wish_of(others, a_claim("p")) == wish_of(of(p=1), a_claim("p"))


def test_the_order_of_policies_does_not_matter() -> None:
    assert wish_of(of(p=1, q=2), a_claim("p", "q")) == wish_of(of(q=2, p=1), a_claim("q", "p"))


@pytest.mark.parametrize("wish", ["", "give-back", "0123"])
def test_tries_for_another_wish_say_nothing(wish: str) -> None:
    found = after(asking(2, ("x", None)), 7, number=made(7), wish=wish)
    assert resizes(found) == [0, 2]
    assert found.notes == ()


# --- what came -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "pools", "comes", "claimed"),
    [
        (2, [("x", None)], 7, [0, 1]),
        (4, [("x", (0, 3))], 5, [0, 3]),
        (6, [("x", (1,)), ("y", None)], 3, [0, 1, 2]),
        (7, [("x", (0, 1, 2))], 3, [0, 1, 2]),
    ],
)
def test_what_is_enough_is_used(
    count: int, pools: list[tuple[str, tuple[int, ...] | None]], comes: int, claimed: list[int]
) -> None:
    found = after(asking(count, *pools), comes, number=made(comes))
    assert resizes(found) == []
    assert [vf.index for vf in found.desired.pfs[0].vfs] == claimed
    assert [note.reason for note in found.notes] == [Reason.DRIVER_MADE_OTHER]
    assert found.due_in is None


@pytest.mark.parametrize(
    ("count", "pools", "comes"),
    [
        (7, [("x", (0, 6))], 6),
        (3, [("x", None)], 0),
        (6, [("x", (0, 1, 2)), ("y", None)], 3),
    ],
)
def test_what_is_not_enough_waits_until_it_is_due(
    count: int, pools: list[tuple[str, tuple[int, ...] | None]], comes: int
) -> None:
    config = asking(count, *pools)
    waits = after(config, comes, number=made(comes, ago=FIRST - 1))
    assert waits.plan.steps == ()
    assert [blocked.reason for blocked in waits.plan.blocked] == [Reason.DRIVER_MADE_OTHER]
    assert waits.due_in == 1.0
    assert waits.desired.pfs[0].vfs == ()
    due = after(config, comes, number=made(comes, ago=FIRST))
    assert resizes(due) == [0, count] if comes else [count]
    assert due.plan.blocked == ()


def test_what_came_is_used_while_a_pod_holds_it() -> None:
    held = InUse(holders=(a_pod(a_vf(0, 0).address),))
    found = after(asking(2, ("x", None)), 7, number=made(7), in_use=held)
    assert found.plan.pfs == ()
    assert len(found.notes) == 1


CHANGED = [
    (4, ("x", (0, 3)), 2, 3),  # a driver that makes them one by one
    (4, ("x", (0, 3)), 3, 1),
    (7, ("x", (0, 6)), 3, 6),
    (4, ("x", None), 7, 0),  # a card that is reset after each try
    (4, ("x", (0, 3)), 3, 0),
    (1, ("x", (0,)), 7, 0),
    (2, ("x", (0, 1)), 7, 1),
]


@pytest.mark.parametrize("times", [1, 2, 9])
@pytest.mark.parametrize(("count", "pool", "came", "now_there"), CHANGED)
def test_a_number_that_changes_before_it_is_due_ends_no_pause(
    count: int, pool: tuple[str, tuple[int, ...] | None], came: int, now_there: int, times: int
) -> None:
    config, pause = asking(count, pool), pause_after(times)
    waits = after(config, now_there, number=made(came, ago=pause - 1, times=times))
    assert waits.plan.steps == ()
    assert f"the driver made {came}; there are {now_there} now; tried" in waits.plan.blocked[0].message
    assert waits.due_in == 1.0
    assert waits.desired.pfs[0].vfs == ()
    due = after(config, now_there, number=made(came, ago=pause, times=times))
    assert resizes(due) == ([0, count] if now_there else [count])
    assert due.plan.blocked == ()


@pytest.mark.parametrize(("came", "now_there"), [(7, 4), (7, 5), (5, 7), (0, 4), (1, 5), (3, 7)])
def test_a_number_that_changed_to_what_is_enough_is_used_until_it_is_due(came: int, now_there: int) -> None:
    config = asking(6, ("x", (0, 3)))
    waits = after(config, now_there, number=made(came, ago=FIRST - 1))
    assert resizes(waits) == []
    assert f"the driver made {came}; there are {now_there} now; VF 0,3 of these are used" in waits.notes[0].message
    assert waits.due_in == 1.0
    assert resizes(after(config, now_there, number=made(came, ago=FIRST))) == [0, 6]


@pytest.mark.parametrize("came", [0, 1, 3, 7])
def test_as_many_as_asked_are_taken_over_at_once(came: int) -> None:
    found = after(asking(4, ("x", (0, 3))), 4, number=made(came, ago=1, times=9))
    assert (found.plan.blocked, found.notes) == ((), ())
    assert [vf.index for vf in found.desired.pfs[0].vfs] == [0, 3]
    assert resizes(found) == []


@pytest.mark.parametrize(("came", "now_there"), [(2, 4), (7, 5)])
def test_a_policy_without_its_vfs_is_told_of_the_number_that_is_there_now(came: int, now_there: int) -> None:
    asked = {name: asking(6, (name, indexes)).policies for name, indexes in (("first", (0, 1)), ("second", (2, 5)))}
    both = tuple(replace(policy, name=name, uid=name) for name, (policy,) in asked.items())
    found = after(NodeConfig(policies=both), now_there, number=made(came, ago=1))
    assert [refused.policy for refused in found.rejected] == ["second"]
    assert f"there are {now_there} now; so VF 5 of this policy are missing" in found.rejected[0].message


@pytest.mark.parametrize("now_there", [3, 5, 7])
def test_a_number_that_cannot_be_repaired_any_more_is_used(now_there: int) -> None:
    spent = (Repeat(kind=Destruction.RESIZE, index=None, times=MOST),)
    found = after(asking(2, ("x", (0, 1))), now_there, number=made(4), repeats=spent)
    assert found.plan.steps == ()
    assert len(found.notes) == 1


# --- what is left alone ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [MOST, MOST + 1, 100])
def test_a_step_that_was_carried_out_often_enough_is_in_no_plan(times: int) -> None:
    spent = (Repeat(kind=Destruction.RESIZE, index=None, times=times),)
    found = after(asking(7, ("x", (0, 6))), 6, number=made(6, ago=1e6), repeats=spent)
    assert found.plan.steps == ()
    assert "left alone now: edit the policy" in found.plan.blocked[0].message
    assert found.due_in is None


@pytest.mark.parametrize("index", [0, 1, 2])
def test_an_unbind_is_counted_for_each_vf(index: int) -> None:
    pf = a_pf(0, vfs=3)
    wrong = replace(a_vf(0, index, "igbvf"), driver_override=None)
    config = asking(3, ("x", None))
    inventory = an_inventory(replace(pf, vfs=tuple(wrong if vf.index == index else vf for vf in pf.vfs)))
    desired = resolve(config, inventory, ()).desired
    assert [step.function.index for step in plan(inventory, desired, FREE).steps if isinstance(step, Unbind)] == [index]
    for counted in range(3):
        repeats = (Repeat(kind=Destruction.UNBIND, index=counted, times=MOST),)
        tried = Tried(pf=PF, wish=wish_of(config, desired.pfs[0]), standing="x", repeats=repeats)
        seen = replace(there(3, tried), inventory=inventory)
        assert bool(judged(config, seen, desired, FREE, NOW).plan.steps) is (counted != index)


@pytest.mark.parametrize("policies", [asking(2, ("x", None)), asking(7, ("x", (0,))), NodeConfig(policies=())])
def test_while_the_tries_cannot_be_read_no_number_of_vfs_is_written(policies: NodeConfig) -> None:
    original = Original(address=PF, vendor="8086", device="10c9", num_vfs=1, autoprobe=True, vfs=())
    found = after(policies, 3, error="tries.json cannot be read", originals=(original,), wish="another")
    assert found.plan.steps == ()
    assert [(blocked.reason, blocked.device) for blocked in found.plan.blocked] == [(Reason.UNREADABLE, PF)]
    assert "tries.json cannot be read" in found.plan.blocked[0].message


def test_a_pf_that_is_given_back_waits_too() -> None:
    original = Original(address=PF, vendor="8086", device="10c9", num_vfs=3, autoprobe=True, vfs=())
    nothing = NodeConfig(policies=())
    waits = after(nothing, 2, number=made(2, ago=1.0), originals=(original,))
    assert waits.plan.steps == ()
    assert [part.cause for part in waits.plan.pfs] == [UNNOTED]
    assert waits.due_in == FIRST - 1
    assert resizes(after(nothing, 2, number=made(2, ago=FIRST), originals=(original,))) == [0, 3]


def test_another_pf_goes_on() -> None:
    config = asking(2, ("x", (0, 1)))
    both = an_inventory(a_pf(0, 1), a_pf(1))
    desired = resolve(config, both, ()).desired
    tried = Tried(pf=PF, wish=wish_of(config, desired.pfs[0]), standing="x", number=made(1))
    found = judged(config, replace(there(0, tried), inventory=both), desired, FREE, NOW)
    assert {step.pf for step in found.plan.steps if isinstance(step, SetNumVfs)} == {PciAddress(0, 2, 0, 0)}
    assert all(part.wish for part in found.plan.pfs if part.steps)

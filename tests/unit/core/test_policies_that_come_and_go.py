"""A policy that comes or goes moves no VF of another one, but where another `count` comes to stand.

The limit is docs/decisions/0047: rank decides, without a memory of who was served.
"""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from inventories import a_pf, a_policy, an_inventory

from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.values.desired import NodeConfig, PolicyConfig, PoolRequest
from virtfn_host.core.values.reasons import Reason
from virtfn_host.linux.act.journal import original_of

SEEDS = 20
SETS = 50
"""Sets of policies for each seed."""

Policies = tuple[PolicyConfig, ...]


def asks(name: str, count: int | None, indexes: tuple[int, ...] | None) -> PolicyConfig:
    pool = PoolRequest(resource_name=f"a.b/{name}", indexes=indexes, driver="vfio-pci")
    return replace(a_policy(name, count), uid=name, pools=(pool,))


def some(chance: random.Random) -> Policies:
    """Two to five policies on one PF, in order of precedence, some with a number of VFs and some with indexes."""
    found = []
    for name in "abcde"[: chance.randint(2, 5)]:
        count = chance.choice([None, 4, 4, 4, 7])
        named = chance.random() < 0.6
        indexes = tuple(sorted(chance.sample(range(count or 4), chance.randint(1, 3)))) if named else None
        found.append(asks(name, count, indexes))
    return tuple(found)


def count_of(policies: Policies) -> int | None:
    return next((policy.count for policy in policies if policy.count is not None), None)


def owners(policies: Policies, vfs: int) -> dict[int, str]:
    """Who has which VF of a PF with so many VFs that virtfn made."""
    untouched = original_of(a_pf(0, 0))
    found = resolve(NodeConfig(policies=policies), an_inventory(a_pf(0, vfs)), (untouched,))
    return {vf.index: vf.policy for pf in found.desired.pfs for vf in pf.vfs if vf.policy is not None}


def moved(before: dict[int, str], after: dict[int, str], but: str) -> dict[int, str]:
    return {index: name for index, name in before.items() if name != but and after.get(index) != name}


@pytest.mark.parametrize("seed", range(SEEDS))
def test_one_that_comes_last_moves_nothing(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(SETS):
        *others, last = some(chance)
        if count_of(tuple(others)) is None:
            continue  # the number of VFs is not theirs, so the last one may set it
        vfs = count_of(tuple(others)) or 0
        assert moved(owners(tuple(others), vfs), owners((*others, last), vfs), last.name) == {}


@pytest.mark.parametrize("seed", range(SEEDS))
def test_one_that_goes_moves_nothing_while_the_number_of_vfs_stays(seed: int) -> None:
    chance, tried = random.Random(seed), 0
    for _ in range(SETS):
        policies = some(chance)
        number = chance.randrange(len(policies))
        left = policies[:number] + policies[number + 1 :]
        if count_of(left) not in (None, count_of(policies)):
            continue
        tried += 1
        vfs = count_of(policies) or 4
        assert moved(owners(policies, vfs), owners(left, vfs), policies[number].name) == {}
    assert tried > SETS / 2


@pytest.mark.parametrize(("first", "next_", "last"), [(4, 7, 4), (7, 4, 7), (2, 5, 2)])
def test_one_that_was_rejected_for_its_count_comes_before_a_lower_one_that_was_served(
    first: int, next_: int, last: int
) -> None:
    policies = (asks("p", first, (0,)), asks("q", next_, (0,)), asks("r", last, (1,)))
    assert owners(policies, first) == {0: "p", 1: "r"}
    assert owners(policies[1:], first) == {0: "q"}
    (refused,) = resolve(NodeConfig(policies=policies[1:]), an_inventory(a_pf(0, first)), ()).rejected
    assert (refused.policy, refused.reason) == ("r", Reason.COUNT_CONFLICT)
    assert "policy q" in refused.message

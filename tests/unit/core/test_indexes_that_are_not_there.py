"""A pool that names VFs which its PF does not have gets those that are there, and the others are told."""

import pytest
from inventories import a_pf, a_policy, an_inventory, pf_address

from virtfn_host.core.turn.resolve import Resolution, resolve
from virtfn_host.core.values.desired import NodeConfig, PolicyConfig, PoolRequest
from virtfn_host.core.values.indexes import read_indexes
from virtfn_host.core.values.model import Function
from virtfn_host.core.values.reasons import Reason


def naming(indexes: str, name: str = "b", count: int | None = None) -> PolicyConfig:
    pool = PoolRequest(resource_name=f"virtfn.dev/{name}", indexes=read_indexes(indexes), driver="vfio-pci")
    return a_policy(name, count, pools=(pool,))


def resolved(*policies: PolicyConfig, pfs: tuple[Function, ...] = (a_pf(0),)) -> Resolution:
    return resolve(NodeConfig(policies=policies), an_inventory(*pfs), ())


def told(resolution: Resolution) -> list[tuple[str, Reason, str]]:
    return [(r.policy, r.reason, r.message) for r in resolution.rejected]


def granted(resolution: Resolution, policy: str = "b") -> list[int]:
    return [vf.index for pf in resolution.desired.pfs for vf in pf.vfs if vf.policy == policy]


@pytest.mark.parametrize(
    ("indexes", "vfs", "lost", "got"),
    [
        ("0-3", 0, "0-3", []),
        ("0", 0, "0", []),
        ("4-7", 4, "4-7", []),
        ("2-5", 4, "4-5", [2, 3]),
        ("0,3,5,9-12", 4, "5,9-12", [0, 3]),
        ("0-65534", 4, "4-65534", [0, 1, 2, 3]),
    ],
)
def test_where_no_policy_sets_count_they_are_those_that_the_pf_does_not_have_now(
    indexes: str, vfs: int, lost: str, got: list[int]
) -> None:
    resolution = resolved(naming(indexes), pfs=(a_pf(0, vfs),))
    text = f"0000:01:00.0: there is no VF {lost}: the PF has {vfs} VFs"
    assert told(resolution) == [("b", Reason.NOTHING_LEFT, f"{text}; ask for more (count), or name other indexes")]
    assert granted(resolution) == got


@pytest.mark.parametrize("vfs", [0, 4, 7])
@pytest.mark.parametrize("first", [True, False])
def test_the_count_of_another_policy_decides_and_is_named_whatever_is_there_yet(vfs: int, first: bool) -> None:
    policies = (a_policy("a", 4), naming("3-7")) if first else (naming("3-7"), a_policy("a", 4))
    resolution = resolved(*policies, pfs=(a_pf(0, vfs),))
    text = "0000:01:00.0: there is no VF 4-7: policy a has set count to 4; ask for more (count), or name other indexes"
    assert ("b", Reason.NOTHING_LEFT, text) in told(resolution)
    assert granted(resolution) == ([] if first else [3])


@pytest.mark.parametrize("vfs", [0, 1, 4])
@pytest.mark.parametrize("indexes", ["0-3", "3"])
def test_those_that_a_policy_is_about_to_make_are_there(vfs: int, indexes: str) -> None:
    resolution = resolved(naming(indexes), a_policy("a", 5), pfs=(a_pf(0, vfs),))
    assert told(resolution) == []
    assert granted(resolution) == list(read_indexes(indexes))


def test_each_pf_counts_for_itself() -> None:
    resolution = resolved(naming("0-3"), pfs=(a_pf(0, 4), a_pf(1, 2)))
    assert [(r.device, r.reason) for r in resolution.rejected] == [(str(pf_address(1)), Reason.NOTHING_LEFT)]
    assert granted(resolution) == [0, 1, 2, 3, 0, 1]


def test_what_another_policy_has_and_what_is_not_there_are_told_apart() -> None:
    resolution = resolved(naming("0-1", "a", 4), naming("1-5"))
    assert [(policy, reason) for policy, reason, _ in told(resolution)] == [
        ("b", Reason.INDEX_TAKEN),
        ("b", Reason.NOTHING_LEFT),
    ]
    assert granted(resolution) == [2, 3]

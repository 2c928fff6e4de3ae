"""Who holds what is named in full, or the text says how many more there are."""

from typing import Any

import pytest
from inventories import a_pf, an_inventory

from virtfn_host.core.turn.resolve import Resolution
from virtfn_host.core.values.desired import Desired, NodeConfig
from virtfn_host.core.values.holders import Cause, Holder, Pod
from virtfn_host.core.values.model import InUse, Inventory, Observation
from virtfn_host.core.values.offered import PoolSet
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.steps import Blocked, PfPlan, Plan
from virtfn_operator.agent.damping import NAMED, _who
from virtfn_operator.agent.found import Done, Found
from virtfn_operator.agent.naming import NAME_LIMIT
from virtfn_operator.agent.report import LIST_LIMIT, StatusFacts, node_status
from virtfn_operator.api.node_state import NodeSpec
from virtfn_operator.lifecycle.leaving import Left, left_on

NOW = "2026-01-01T00:00:00Z"
GIVEN_UP = {"policies": [], "mayChange": True}


def in_use(machine: Inventory, pods: int) -> tuple[Holder, ...]:
    """The VFs of a machine as they look while pods use them: each has its vfio device open."""
    vfs = [vf for pf in machine.pfs for vf in pf.vfs][:pods]
    named = [
        Holder(address=vf.address, cause=Cause.KUBELET, pod=Pod(namespace="default", name=f"p{n}"))
        for n, vf in enumerate(vfs)
    ]
    return (*(Holder(address=vf.address, cause=Cause.ENABLED) for vf in vfs), *named)


def waits(machine: Inventory, holders: tuple[Holder, ...]) -> Plan:
    """Every PF waits for those that hold its VFs."""
    return Plan(
        pfs=tuple(
            PfPlan(
                pf=pf.address,
                steps=(),
                blocked=(
                    Blocked(
                        device=pf.address,
                        reason=Reason.VFS_IN_USE,
                        message="in use",
                        holders=tuple(h for h in holders if h.address in {vf.address for vf in pf.vfs}),
                    ),
                ),
            )
            for pf in machine.pfs
        )
    )


def inventory(pfs: int = 1, vfs: int = 4) -> Inventory:
    return an_inventory(*(a_pf(bus, vfs=vfs) for bus in range(pfs)))


def told(machine: Inventory, pods: int) -> dict[str, Any]:
    return said(machine, in_use(machine, pods))


def found_on(machine: Inventory, holders: tuple[Holder, ...]) -> Found:
    used = InUse(holders=holders)
    return Found(
        config=NodeConfig(policies=()),
        observation=Observation(inventory=machine, evidence=used, originals=(), journal_error=None, stuck=None),
        in_use=used,
        kubelet_error=None,
        ledger_error=None,
        resolution=Resolution(desired=Desired(pfs=()), rejected=()),
        plan=waits(machine, holders),
        mismatches=(),
    )


def said(machine: Inventory, holders: tuple[Holder, ...]) -> dict[str, Any]:
    """The status of a node that is given up and waits."""
    found = found_on(machine, holders)
    facts = StatusFacts(
        spec=NodeSpec(config=found.config, may_change=True),
        generation=3,
        found=found,
        done=Done(),
        published=PoolSet(boot_id=machine.boot_id, pools=()),
        changing=None,
        agent_version="1",
    )
    return node_status(facts, {}, NOW)


def left(status: dict[str, Any]) -> tuple[Left, tuple[str, ...]]:
    found = left_on({"metadata": {"name": "n1", "generation": 3}, "spec": GIVEN_UP, "status": status})
    return found.left, found.lines


@pytest.mark.parametrize("pods", [1, NAME_LIMIT, NAME_LIMIT + 1, 64])
def test_a_plan_names_pods_and_says_how_many_more_there_are(pods: int) -> None:
    (blocked,) = told(inventory(vfs=64), pods)["plan"]["blocked"]
    names = [f"pod default/p{n}" for n in range(min(pods, NAME_LIMIT))]
    assert blocked["pods"] == names + ([f"and {pods - NAME_LIMIT} more"] if pods > NAME_LIMIT else [])


@pytest.mark.parametrize("pods", [1, 7, 8, 9, 17, 64, 128])
def test_an_uninstallation_names_every_pod_of_a_pf(pods: int) -> None:
    stands, (line,) = left(told(inventory(vfs=128), pods))
    assert stands is Left.HELD
    assert line == "0000:01:00.0: held by " + ", ".join(f"pod default/p{n}" for n in range(pods))


def test_beyond_what_a_status_names_it_says_so() -> None:
    lines = left(told(inventory(pfs=8, vfs=128), 1024))[1]
    assert lines[-1].startswith("0000:08:00.0: held by pod default/p896, ")
    assert lines[-1].endswith(", and 120 more")


@pytest.mark.parametrize("pfs", [LIST_LIMIT, LIST_LIMIT + 1, 100])
def test_changes_that_are_not_listed_are_counted(pfs: int) -> None:
    machine = inventory(pfs=pfs, vfs=1)
    status = told(machine, pfs)
    assert status["plan"]["waiting"] == pfs
    _, lines = left(status)
    last = "0000:20:00.0: held by pod default/p31" if pfs == LIST_LIMIT else f"and {pfs - LIST_LIMIT} more changes wait"
    assert lines[-1] == last


def test_that_a_device_is_open_is_told_where_no_pod_is_known() -> None:
    machine = inventory(vfs=2)
    status = said(machine, in_use(machine, 2)[:3])  # of VF 1 no pod is known
    assert status["plan"]["blocked"][0]["pods"] == ["its vfio device is open", "pod default/p0"]
    assert [run["heldBy"] for run in status["functions"][0]["vfs"]] == [["pod default/p0"], ["its vfio device is open"]]


def test_a_change_that_waits_for_something_else_is_not_called_held() -> None:
    status = told(inventory(vfs=4), 2)
    status["plan"]["blocked"][0] |= {"reason": "Stuck", "message": "a write does not return", "pods": []}
    stands, lines = left(status)
    assert stands is Left.SOMETHING
    assert lines[-1] == "0000:01:00.0: a write does not return"


@pytest.mark.parametrize("odd", [None, 7, "x", [7], [[7]], [{"address": "0000:01:00.0", "vfs": [{"heldBy": 7}]}]])
def test_functions_that_cannot_be_read_name_no_holder(odd: Any) -> None:
    status = told(inventory(vfs=4), 2) | {"functions": odd}
    assert left(status)[1] == ("0000:01:00.0: held by pod default/p0, pod default/p1",)


@pytest.mark.parametrize("more", [0, 1, 60])
def test_who_may_have_changed_a_function_is_counted(more: int) -> None:
    machine = inventory(vfs=NAMED + more)
    opened = tuple(Holder(address=vf.address, cause=Cause.ENABLED) for vf in machine.pfs[0].vfs)
    text = _who(machine.pfs[0], found_on(machine, opened))
    assert text.count("its vfio device is open") == NAMED
    assert text.endswith(f" and {more} more" if more else "its vfio device is open")

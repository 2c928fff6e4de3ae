"""A status stays small whatever pods are called, and says how many holders it does not name."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from inventories import a_pf, a_policy, an_inventory

from virtfn_host.core.turn.resolve import Resolution
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import Desired, DesiredPf, NodeConfig, WhenInUse
from virtfn_host.core.values.holders import Cause, Holder, Pod
from virtfn_host.core.values.model import InUse, Inventory, Observation, Pf
from virtfn_host.core.values.offered import DevicePool, PoolSet, offer
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.steps import Blocked, PfPlan, Plan
from virtfn_operator.agent.found import Done, Found
from virtfn_operator.agent.report import StatusFacts, node_status
from virtfn_operator.api.node_state import NodeSpec

PROMISED = 64 * 1024


def machine(pfs: int, vfs: int) -> Inventory:
    return an_inventory(*(_pf(number, vfs) for number in range(pfs)))


def _pf(number: int, vfs: int) -> Pf:
    one = a_pf(0, 1)
    made = (
        replace(
            one.vfs[0],
            address=PciAddress(number, 1 + index // 256, index // 8 % 32, index % 8),
            pf=PciAddress(number, 0, 0, 0),
            index=index,
            iommu_group=None,
        )
        for index in range(vfs)
    )
    return replace(one, address=PciAddress(number, 0, 0, 0), iommu_group=None, vfs=tuple(made))


def held(found: Inventory, name: int, per_vf: int = 1, namespace: int = 63) -> tuple[Holder, ...]:
    """Each VF by pods of its own."""
    return tuple(
        Holder(
            address=vf.address,
            cause=Cause.KUBELET,
            pod=Pod(namespace="n" * namespace, name=f"{vf.address}-{number}".replace(":", "-").ljust(name, "x")),
        )
        for pf in found.pfs
        for vf in pf.vfs
        for number in range(per_vf)
    )


def told(found: Inventory, holders: tuple[Holder, ...], resource: str = "virtfn.dev/fast") -> dict[str, Any]:
    """The status of a node where every PF waits for its holders, which are to be evicted."""
    by_pf = [(pf, tuple(h for h in holders if h.address.domain == pf.address.domain)) for pf in found.pfs]
    plan = Plan(pfs=tuple(PfPlan(pf=pf.address, steps=(), blocked=(_blocked(pf, whom),)) for pf, whom in by_pf))
    wanted = (DesiredPf(address=pf.address, num_vfs=1, autoprobe=None, vfs=(), policies=("fast",)) for pf in found.pfs)
    in_use = InUse(holders=holders)
    seen = Found(
        config=NodeConfig(policies=(a_policy(when_in_use=WhenInUse.EVICT),)),
        observation=Observation(inventory=found, evidence=in_use, originals=(), journal_error=None, stuck=None),
        in_use=in_use,
        kubelet_error=None,
        ledger_error=None,
        resolution=Resolution(desired=Desired(pfs=tuple(wanted)), rejected=()),
        plan=plan,
        mismatches=(),
    )
    devices = tuple(offer(vf, "vfio-pci") for pf in found.pfs for vf in pf.vfs)
    facts = StatusFacts(
        spec=NodeSpec(config=seen.config, may_change=False),
        generation=1,
        found=seen,
        done=Done(),
        published=PoolSet(boot_id="boot-1", pools=(DevicePool(resource_name=resource, devices=devices),)),
        changing=None,
        agent_version="1",
    )
    return node_status(facts, {}, "2026-01-01T00:00:00Z")


def _blocked(pf: Pf, holders: tuple[Holder, ...]) -> Blocked:
    text = f"{pf.address}: cannot go from 1 to 2 VFs while " + ", ".join(f"pod {h.pod} holds it" for h in holders[:3])
    return Blocked(device=pf.address, reason=Reason.VFS_IN_USE, message=text, holders=holders)


@pytest.mark.parametrize("name", [20, 60, 120, 253])
@pytest.mark.parametrize(("pfs", "vfs"), [(1, 2048), (16, 128), (32, 64), (64, 32)])
@pytest.mark.parametrize("per_vf", [1, 3])
def test_a_node_with_2048_held_vfs_stays_under_64_kib(name: int, pfs: int, vfs: int, per_vf: int) -> None:
    found = machine(pfs, vfs)
    status = told(found, held(found, name, per_vf))
    assert len(json.dumps(status)) < PROMISED
    assert status["summary"]["inUse"] == 2048
    assert status["plan"]["evict"]["pods"]


@pytest.mark.parametrize("name", [20, 253])
def test_so_it_does_with_a_long_resource_name(name: int) -> None:
    found = machine(16, 128)
    assert len(json.dumps(told(found, held(found, name), "d" * 253 + "/" + "r" * 63))) < PROMISED


@pytest.mark.parametrize("name", [20, 120, 253])
@pytest.mark.parametrize(("pfs", "vfs"), [(1, 2048), (16, 128)])
def test_every_holder_is_named_or_counted(name: int, pfs: int, vfs: int) -> None:
    found = machine(pfs, vfs)
    runs = [run for function in told(found, held(found, name))["functions"] for run in function["vfs"]]
    texts = [text for run in runs for text in run["heldBy"]]
    counted = [int(one[1]) for text in texts if (one := re.fullmatch(r"(\d+) holders? \(too many to list\)", text))]
    by_name = [text for text in texts if text.startswith("pod ")]
    assert len(by_name) + sum(counted) == 2048
    assert len(by_name) >= (100 if name == 20 else 32)
    assert counted


@pytest.mark.parametrize(("holders", "more"), [(8, []), (9, ["and 1 more"]), (40, ["and 32 more"])])
def test_of_many_holders_of_one_function_the_first_are_named(holders: int, more: list[str]) -> None:
    found = machine(1, 1)
    status = told(found, held(found, 20, holders))
    for texts in (status["functions"][0]["vfs"][0]["heldBy"], status["plan"]["blocked"][0]["pods"]):
        assert [text for text in texts if not text.startswith("pod ")] == more
        assert len(texts) == 8 + len(more)


@pytest.mark.parametrize(("name", "least"), [(20, 64), (253, 24)])
def test_the_pods_to_evict_that_are_not_named_yet_are_named_when_the_first_have_gone(name: int, least: int) -> None:
    found = machine(1, 256)
    holders, gone = list(held(found, name)), []
    while holders:
        named = told(found, tuple(holders))["plan"]["evict"]["pods"]
        assert len(named) >= min(least, len(holders))
        gone += [pod["name"] for pod in named]
        holders = [h for h in holders if h.pod and h.pod.name not in gone]
    assert len(gone) == len(set(gone)) == 256

"""SriovNode.status: fits the CRD, stays small, says the same of the same, and recalls what was published."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from virtfn_host.core.turn.resolve import Resolution
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import Desired, NodeConfig
from virtfn_host.core.values.holders import Cause, Holder, Pod
from virtfn_host.core.values.model import (
    InUse,
    Inventory,
    IommuGroup,
    Observation,
    Pf,
    Preflight,
    Stuck,
    Vf,
)
from virtfn_host.core.values.offered import DevicePool, PoolSet, offer
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.steps import Blocked, PfPlan, Plan
from virtfn_operator.agent.found import Done, Found
from virtfn_operator.agent.report import StatusFacts, node_status, recall
from virtfn_operator.api.node_state import NodeSpec

CRD = Path(__file__).resolve().parents[3] / "crds" / "sriovnodes.yaml"
NOW = "2026-01-01T00:00:00Z"
NOTHING = Plan(pfs=())


def inventory(pfs: int = 1, vfs: int = 4) -> Inventory:
    functions = tuple(function(n, vfs) for n in range(pfs))
    return Inventory(boot_id="b1", kernel="6.1", drivers=(), groups=(), unreadable=(), functions=functions)


def function(bus: int, vfs: int) -> Pf:
    return Pf(
        address=PciAddress(0, bus, 0, 0),
        vendor="8086",
        device="10c9",
        class_code="020000",
        driver="igb",
        driver_override=None,
        vfio_bound=False,
        netdevs=(f"ens{bus}",),
        numa_node=None,
        iommu_group=1,
        total_vfs=vfs,
        autoprobe=False,
        vfs=tuple(virtual(bus, n) for n in range(vfs)),
    )


def virtual(bus: int, index: int) -> Vf:
    return Vf(
        address=PciAddress(0, bus, 1 + index // 8, index % 8),
        pf=PciAddress(0, bus, 0, 0),
        index=index,
        vendor="8086",
        device="10ca",
        class_code="020000",
        numa_node=None,
        driver="vfio-pci",
        driver_override="vfio-pci",
        iommu_group=100 + index,
        vfio_bound=True,
        netdevs=(),
    )


def turn(machine: Inventory, holders: tuple[Holder, ...] = (), plan: Plan = NOTHING, **observed: Any) -> StatusFacts:
    whole = {"journal_error": None, "stuck": None, **observed}
    in_use = InUse(holders=holders)
    found = Found(
        config=NodeConfig(policies=()),
        observation=Observation(inventory=machine, evidence=in_use, originals=(), **whole),
        in_use=in_use,
        kubelet_error=None,
        ledger_error=None,
        resolution=Resolution(desired=Desired(pfs=()), rejected=()),
        plan=plan,
        mismatches=(),
    )
    devices = tuple(offer(vf, "vfio-pci") for pf in machine.pfs for vf in pf.vfs)
    return StatusFacts(
        spec=NodeSpec(config=found.config, may_change=False),
        generation=3,
        found=found,
        done=Done(),
        published=PoolSet(boot_id="b1", pools=(DevicePool(resource_name="virtfn.dev/fast", devices=devices),)),
        changing=None,
        agent_version="1",
    )


def held(machine: Inventory, cause: Cause = Cause.KUBELET) -> tuple[Holder, ...]:
    """Each VF by a pod of its own: the worst that a node can be."""
    return tuple(
        Holder(
            address=vf.address,
            cause=cause,
            pod=Pod(namespace="namespace-of-some-team", name=f"workload-with-a-name-{vf.address}"),
        )
        for pf in machine.pfs
        for vf in pf.vfs
    )


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, refusing fields it does not know: the API server would drop them."""
    properties = {name: closed(part) for name, part in schema.get("properties", {}).items()}
    inner = {"items": closed(schema["items"])} if "items" in schema else {}
    fixed = {"properties": properties, "additionalProperties": False} if properties else {}
    return {**schema, **inner, **fixed}


def check(status: dict[str, Any]) -> None:
    schema = yaml.safe_load(CRD.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    jsonschema.validate(status, closed(schema["properties"]["status"]))


def test_alike_vfs_are_one_run() -> None:
    machine = inventory(vfs=4)
    status = node_status(turn(machine, held(machine)[2:3]), {}, NOW)
    check(status)
    assert status["functions"][0]["vfs"] == [
        {"indexes": "0-1,3", "driver": "vfio-pci", "pool": "virtfn.dev/fast", "heldBy": []},
        {
            "indexes": "2",
            "driver": "vfio-pci",
            "pool": "virtfn.dev/fast",
            "heldBy": ["pod namespace-of-some-team/workload-with-a-name-0000:00:01.2"],
        },
    ]
    assert status["pools"] == [{"resourceName": "virtfn.dev/fast", "capacity": 4, "healthy": 4, "inUse": 1}]
    assert "numaNode" not in status["functions"][0]


def test_a_node_with_2048_held_vfs_stays_under_64_kib() -> None:
    machine = inventory(pfs=16, vfs=128)
    blocked = (
        Blocked(device=pf.address, reason=Reason.VFS_IN_USE, message="x" * 300, holders=held(machine))
        for pf in machine.pfs
    )
    plan = Plan(pfs=tuple(PfPlan(pf=one.device, steps=(), blocked=(one,)) for one in blocked))
    status = node_status(turn(machine, held(machine), plan), {}, NOW)
    check(status)
    assert len(json.dumps(status)) < 64 * 1024
    assert status["summary"]["inUse"] == 2048


def test_the_same_is_told_the_same_and_the_time_stays() -> None:
    machine = inventory()
    first = node_status(turn(machine, held(machine)), {}, NOW)
    assert node_status(turn(machine, held(machine)), first, "2027-01-01T00:00:00Z") == first


def test_that_nobody_can_tell_is_not_a_holder_of_each() -> None:
    machine = inventory()
    status = node_status(turn(machine, held(machine, Cause.KUBELET_SILENT)), {}, NOW)
    assert status["summary"]["inUse"] == 0


def test_a_stuck_write_comes_before_everything() -> None:
    stuck = Stuck(path="/sys/x", value="0", seconds=130.0, text="pod a/b has it open")
    status = node_status(turn(inventory(), stuck=stuck), {}, NOW)
    check(status)
    assert [(c["type"], c["status"], c["reason"]) for c in status["conditions"]] == [
        ("Ready", "False", "Stuck"),
        ("Preflight", "False", "Stuck"),
    ]
    assert "130" not in json.dumps(status)  # its age would make a new status every turn


def preflight_of(status: dict[str, Any]) -> tuple[str, str, str]:
    found = next(c for c in status["conditions"] if c["type"] == "Preflight")
    return found["status"], found["reason"], found["message"]


def test_preflight_says_what_is_missing_one_thing_at_a_time() -> None:
    good = replace(inventory(), groups=(IommuGroup(number=1, members=()),), drivers=("vfio-pci",))
    assert preflight_of(node_status(turn(good), {}, NOW))[:2] == ("True", "Converged")
    assert preflight_of(node_status(turn(inventory()), {}, NOW))[:2] == ("False", "NoIommu")
    locked = Preflight(lock_error="opening /dev/vfio/vfio: Operation not permitted")
    status, reason, message = preflight_of(node_status(turn(good, preflight=locked), {}, NOW))
    assert (status, reason) == ("False", "Unreadable")
    assert "Operation not permitted" in message
    bare = replace(good, drivers=("igb",), loadable=())
    assert preflight_of(node_status(turn(bare), {}, NOW))[:2] == ("False", "ModuleMissing")
    assert preflight_of(node_status(turn(replace(bare, loadable=("vfio-pci",))), {}, NOW))[0] == "True"


def test_kubelet_and_ledger_are_two_facts_and_the_kubelet_is_told_first() -> None:
    now = turn(inventory())
    for kubelet, ledger, told in (
        ("no kubelet", None, ("False", "KubeletUnreachable", "no kubelet; every function counts as in use")),
        (None, "half a ledger", ("False", "PoolFileUnreadable", "half a ledger; every function counts as in use")),
        ("no kubelet", "half", ("False", "KubeletUnreachable", "no kubelet; every function counts as in use")),
    ):
        found = replace(now.found, kubelet_error=kubelet, ledger_error=ledger)
        assert preflight_of(node_status(replace(now, found=found), {}, NOW)) == told


def test_what_was_published_is_recalled() -> None:
    machine = inventory(pfs=2)
    now = turn(machine, held(machine)[1:3])
    status = node_status(now, {}, NOW)
    assert recall(status, machine) == now.published
    assert recall(status, replace(machine, boot_id="b2")) is None
    assert recall({}, machine) is None

"""The status says which functions no new pod gets and why, and what should be known of those that pods do get."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from inventories import a_pf, a_policy, a_vf, an_inventory

from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.pools import pools
from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.turn.verify import verify
from virtfn_host.core.values.desired import NodeConfig, PolicyConfig
from virtfn_host.core.values.model import InUse, Inventory, IommuGroup, Observation
from virtfn_host.core.values.offered import PoolSet
from virtfn_host.core.values.parts import Part
from virtfn_operator.agent.found import Done, Found
from virtfn_operator.agent.report import StatusFacts, node_status
from virtfn_operator.api.node_state import NodeSpec

CRD = Path(__file__).resolve().parents[3] / "crds" / "sriovnodes.yaml"
NOBODY = InUse(holders=())
PF = a_pf(0, vfs=7)
KERNEL = tuple(replace(pool, driver="kernel") for pool in a_policy().pools)


def status(inventory: Inventory, *policies: PolicyConfig) -> dict[str, Any]:
    """The status of a node where all is as these policies ask; it must fit the schema."""
    config = NodeConfig(policies=policies)
    resolution = resolve(config, inventory, ())
    made = plan(inventory, resolution.desired, NOBODY)
    found = Found(
        config=config,
        observation=Observation(inventory=inventory, evidence=NOBODY, originals=(), journal_error=None, stuck=None),
        in_use=NOBODY,
        kubelet_error=None,
        ledger_error=None,
        resolution=resolution,
        plan=made,
        mismatches=verify(resolution.desired, inventory),
    )
    published = pools(
        desired=resolution.desired,
        inventory=inventory,
        in_use=NOBODY,
        plan=made,
        previous=PoolSet(boot_id=inventory.boot_id, pools=()),
        withdrawn=frozenset(),
    )
    facts = StatusFacts(
        spec=NodeSpec(config=config, may_change=True),
        generation=1,
        found=found,
        done=Done(),
        published=published,
        changing=None,
        agent_version="1",
    )
    told = node_status(facts, {}, "2026-01-01T00:00:00Z")
    schema = yaml.safe_load(CRD.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    jsonschema.validate(told, schema["properties"]["status"])
    return told


def condition(told: dict[str, Any], kind: str) -> tuple[str, str, str]:
    (found,) = (one for one in told["conditions"] if one["type"] == kind)
    return found["status"], found["reason"], found["message"]


def test_a_node_where_all_can_be_used_has_nothing_to_add() -> None:
    told = status(an_inventory(PF), a_policy())
    assert "withheld" not in told["pools"][0]
    assert "notes" not in told["functions"][0]
    assert condition(told, "Ready") == ("True", "Converged", "everything is as the policies ask")


@pytest.mark.parametrize(
    ("part", "driver", "text"),
    [
        (Part.NODE, "vfio-pci", "has no device node"),
        (Part.CONTAINER, "vfio-pci", "has no /dev/vfio/vfio"),
        (Part.NETDEV, "igbvf", "has no netdev"),
    ],
)
def test_a_function_that_no_pod_could_use_is_not_ready_and_named(part: Part, driver: str, text: str) -> None:
    pf = a_pf(0, vfs=7, driver=driver)
    pf = replace(pf, vfs=(replace(pf.vfs[0], lacks=(part,)), *pf.vfs[1:]))
    policy = a_policy() if driver == "vfio-pci" else a_policy(pools=KERNEL)
    told = status(an_inventory(pf), policy)
    (pool,) = told["pools"]
    assert (pool["capacity"], pool["healthy"]) == (7, 6)
    (withheld,) = pool["withheld"]
    assert (withheld["devices"], withheld["number"]) == ([str(a_vf(0, 0).address)], 1)
    assert withheld["reason"] == "NotUsable"
    assert text in withheld["message"]
    ready, reason, message = condition(told, "Ready")
    assert (ready, reason) == ("False", "NotUsable")
    assert message.startswith(f"{a_vf(0, 0).address}: ")
    (policy_there,) = told["policies"]
    assert (policy_there["state"], policy_there["reason"]) == ("Failed", "NotUsable")


def shared(*indexes: int) -> Inventory:
    """A machine where these VFs share the IOMMU group of the first."""
    vfs = tuple(replace(vf, iommu_group=100) if vf.index in indexes else vf for vf in PF.vfs)
    inventory = an_inventory(replace(PF, vfs=vfs))
    members = tuple(member for group in inventory.groups if group.number == 100 for member in group.members)
    others = tuple(group for group in inventory.groups if group.number != 100)
    return replace(inventory, groups=(*others, IommuGroup(number=100, members=members)))


@pytest.mark.parametrize("indexes", [(0, 1), (0, 3, 5), (0, 1, 2, 3, 4, 5, 6)])
def test_functions_that_share_a_group_are_ready_and_told_of(indexes: tuple[int, ...]) -> None:
    """No policy edit gives them groups of their own, so it is no failure, but nobody should have to search for it."""
    told = status(shared(*indexes), a_policy())
    (pool,) = told["pools"]
    assert pool["capacity"] - pool["healthy"] == len(indexes) - 1
    (withheld,) = pool["withheld"]
    assert withheld["number"] == len(indexes) - 1
    assert f"shares IOMMU group 100 with {a_vf(0, 0).address}" in withheld["message"]
    ready, reason, message = condition(told, "Ready")
    assert (ready, reason) == ("True", "Converged")
    assert f"{a_vf(0, indexes[1]).address} shares IOMMU group 100" in message


@pytest.mark.parametrize(("part", "text"), [(Part.UP, "eth0 is down"), (Part.CARRIER, "eth0 has no carrier")])
def test_a_missing_link_is_a_note_unless_the_policy_requires_one(part: Part, text: str) -> None:
    inventory = an_inventory(replace(PF, lacks=(part,)))
    told = status(inventory, a_policy())
    assert f"its VFs have no link: netdev {text}" in told["functions"][0]["notes"][0]
    assert condition(told, "Ready")[1] == "Converged"
    required = a_policy(pools=tuple(replace(pool, require_link=True) for pool in a_policy().pools))
    told = status(inventory, required)
    assert told["pools"][0]["healthy"] == 0
    assert condition(told, "Ready")[:2] == ("False", "NotUsable")


def test_a_pf_that_no_policy_claims_has_no_notes() -> None:
    told = status(an_inventory(replace(PF, lacks=(Part.UP,))))
    assert "notes" not in told["functions"][0]


@pytest.mark.parametrize("number", [1, 3, 7])
def test_vfio_without_an_iommu_is_said_to_be_unsafe(number: int) -> None:
    pf = a_pf(0, vfs=number, iommu_group=None)
    groups = tuple(100 + index for index in range(number))
    inventory = replace(an_inventory(pf), noiommu=True, noiommu_groups=groups)
    told = status(inventory, a_policy(count=number, allow_unsafe_no_iommu=True))
    assert told["pools"][0]["healthy"] == number
    assert told["functions"][0]["notes"][0].startswith("UNSAFE: ")
    assert condition(told, "Preflight")[:2] == ("True", "Converged")
    assert "UNSAFE" in condition(told, "Preflight")[2]
    refused = status(inventory, a_policy(count=number))
    assert refused["pools"] == []
    assert condition(refused, "Preflight")[1] == "NoIommu"
    assert "allowUnsafeNoIommu: true" in refused["rejected"][0]["message"]


def test_a_node_where_nothing_can_be_used_has_a_small_status() -> None:
    pfs = [a_pf(number, vfs=7) for number in range(64)]
    pfs = [replace(pf, vfs=tuple(replace(vf, lacks=(Part.NODE,)) for vf in pf.vfs)) for pf in pfs]
    told = status(an_inventory(*pfs), a_policy())
    assert told["pools"][0]["withheld"][0]["number"] == 64 * 7
    assert len(json.dumps(told)) < 65536

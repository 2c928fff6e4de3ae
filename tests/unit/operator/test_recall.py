"""What was published is recalled from a status that anybody may have written: one bad entry loses only itself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from inventories import a_pf, an_inventory

from virtfn_host.core.values.model import Inventory
from virtfn_operator.agent.recall import recalled

if TYPE_CHECKING:
    from tests.unit.operator.conftest import FakeNode

PF = "0000:01:00.0"
GOOD = {"indexes": "0-1", "driver": "vfio-pci", "pool": "virtfn.dev/fast"}


@pytest.fixture
def machine() -> Inventory:
    return an_inventory(a_pf(0, vfs=4))


def offered(inventory: Inventory, *runs: Any, **function: Any) -> dict[str, list[int]]:
    status = {"bootId": inventory.boot_id, "functions": [{"address": PF, "vfs": list(runs), **function}]}
    found = recalled(status, inventory).pools
    assert found is not None
    indexes = {vf.address: vf.index for vf in inventory.pfs[0].vfs}
    return {pool.resource_name: [indexes[device.address] for device in pool.devices] for pool in found.pools}


@pytest.mark.parametrize(
    "bad",
    [
        {"pool": "virtfn.dev/x"},
        {"pool": "virtfn.dev/x", "indexes": None},
        {"pool": "virtfn.dev/x", "indexes": "abc"},
        {"pool": "virtfn.dev/x", "indexes": "5-1"},
        {"pool": "virtfn.dev/x", "indexes": 7},
        {"pool": "virtfn.dev/x", "indexes": ["0"]},
        {"pool": "../x", "indexes": "2"},
        {"pool": ["virtfn.dev/x"], "indexes": "2"},
        {"indexes": "2"},
        None,
        7,
        [],
    ],
)
def test_one_bad_run_loses_only_itself(machine: Inventory, bad: Any) -> None:
    assert offered(machine, bad, GOOD) == {"virtfn.dev/fast": [0, 1]}
    assert offered(machine, GOOD, bad) == {"virtfn.dev/fast": [0, 1]}


def test_a_vf_is_in_one_pool_only_and_its_function_counts_once(machine: Inventory) -> None:
    other = {**GOOD, "indexes": "1-3", "pool": "virtfn.dev/other"}
    assert offered(machine, GOOD, other) == {"virtfn.dev/fast": [0, 1], "virtfn.dev/other": [2, 3]}
    twice = {"address": PF, "vfs": [GOOD]}
    found = recalled({"bootId": machine.boot_id, "functions": [twice, twice]}, machine).pools
    assert found is not None
    assert [len(pool.devices) for pool in found.pools] == [2]


@pytest.mark.parametrize("functions", [None, 7, "x", {}, [], [None], [7, []]])
def test_functions_that_are_none_are_no_recollection(machine: Inventory, functions: Any) -> None:
    assert recalled({"bootId": machine.boot_id, "functions": functions}, machine).pools is None


def test_what_could_not_be_read_is_told_in_short(machine: Inventory) -> None:
    runs = [{"pool": "virtfn.dev/x", "indexes": "y" * 10_000}]
    (line,) = recalled({"bootId": machine.boot_id, "functions": [{"address": PF, "vfs": runs}]}, machine).unread
    assert line.startswith(f"{PF}: VFs 'yyy")
    assert len(line) < 300


def test_a_status_as_large_as_an_object_may_be_costs_little(machine: Inventory) -> None:
    huge = {**GOOD, "indexes": ",".join(["0-65534"] * 160)}
    many = {"address": PF, "vfs": [{**GOOD, "indexes": "9-65534"}] * 20_000}
    began = time.process_time()
    recalled({"bootId": machine.boot_id, "functions": [{"address": PF, "vfs": [huge] * 500}] + [many] * 500}, machine)
    assert time.process_time() - began < 2


async def test_an_agent_with_garbage_in_its_status_goes_on(fake_node: type[FakeNode]) -> None:
    node = fake_node("vfio-pci", "vfio-pci")
    node.ask(node.config(2))
    run = {"pool": "virtfn.dev/fast", "driver": "vfio-pci"}
    node.body = {**node.body, "status": {"bootId": node.boot_id, "functions": [{"address": PF, "vfs": [run, 7]}, None]}}
    await node.agent().turn()
    assert node.healthy == 2
    assert node.ready() == ("True", "Converged")


@pytest.mark.parametrize(
    "spec", [7, [], {"policies": {}}, {"policies": [7]}, {"policies": [{"name": 1}]}, {"policies": None}]
)
async def test_an_agent_with_garbage_in_its_spec_gives_nothing_back(fake_node: type[FakeNode], spec: Any) -> None:
    node = fake_node()
    node.ask(node.config(2))
    agent = node.agent()
    await agent.turn()
    assert node.healthy == 2
    node.body = {**node.body, "spec": spec, "metadata": {"name": "n1", "generation": "x"}}
    agent.see(node.body)
    before = list(node.applied)
    await agent.turn()
    assert (node.healthy, node.drivers, node.applied) == (2, ["vfio-pci", "vfio-pci"], before)


async def test_a_domain_that_is_not_allowed_is_carried_out_and_not_offered(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    body = node.ask(node.config(2))
    body["spec"]["policies"][0]["pools"][0]["resourceName"] = "nvidia.com/gpu"
    await node.agent().turn()
    assert node.drivers == ["vfio-pci", "vfio-pci"]
    assert node.file is not None
    assert node.file.pools == ()
    assert node.status["policies"][0]["state"] == "Rejected"
    assert "resourceDomains" in node.status["rejected"][0]["message"]

"""`virtfn-operator preview`: its answer is what the agent then reports and does, and an error where it cannot tell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from evicting import evicting

from virtfn_host.core.values.desired import NodeConfig
from virtfn_operator.agent.machine import NodeMachine
from virtfn_operator.agent.ports import Patience
from virtfn_operator.agent.preview_process import answered
from virtfn_operator.api.node_state import write_spec


async def asked(node: Any, config: NodeConfig, *, may_change: bool = False, **more: Any) -> Any:
    machine = NodeMachine(host=node, kubelet=node, files=node, patience=Patience(), now=lambda: node.now)
    request = {"generation": 5, "spec": {**write_spec(config, may_change), **more}}
    found = await answered(machine, json.dumps(request).encode(), version="1", domains=frozenset())
    json.dumps(found)  # it is a document
    return found


async def test_a_free_node_would_make_its_vfs_at_once(fake_node: Any) -> None:
    node = fake_node()
    found = await asked(node, node.config(2))
    (part,) = found["pfs"]
    assert (part["calm"], part["displaces"], found["evict"], found["hindered"]) == (True, [], [], None)
    assert part["steps"][:2] == [
        "0000:01:00.0: set sriov_drivers_autoprobe 1 -> 0",
        "0000:01:00.0: set sriov_numvfs 0 -> 2",
    ]
    assert node.applied == []
    assert node.file is None


@pytest.mark.parametrize("turn", [True, False])
async def test_the_status_is_the_first_that_the_agent_reports(fake_node: Any, turn: bool) -> None:
    node = fake_node("vfio-pci", "igbvf")
    found = await asked(node, node.config(3), may_change=turn)
    agent = node.agent()
    agent.see(node.ask(node.config(3), may_change=turn))
    await agent.turn()
    for field in ("policies", "plan"):
        assert found["status"][field] == node.statuses[0][field]
    for mine, real in zip(found["status"]["conditions"], node.statuses[0]["conditions"], strict=True):
        assert (mine["status"], mine["reason"], mine["message"]) == (real["status"], real["reason"], real["message"])


async def test_a_held_vf_blocks_and_what_follows_is_told(fake_node: Any) -> None:
    node = fake_node("vfio-pci", "vfio-pci")
    node.hold(0)
    found = await asked(node, node.config(3))
    (part,) = found["pfs"]
    assert [wait["reason"] for wait in part["blocked"]] == ["VfsInUse"]
    assert "default/dpdk-0" in part["blocked"][0]["message"]
    assert part["later"][0] == "0000:01:00.0: set sriov_numvfs 2 -> 0, detaching every VF"
    assert not any("sriov_numvfs" in step for step in part["steps"])


async def test_the_pod_of_an_init_container_would_be_evicted_and_a_program_of_the_host_is_named(fake_node: Any) -> None:
    node = fake_node("vfio-pci", "vfio-pci")
    node.open(0)
    (part,) = (await asked(node, evicting(1)))["pfs"]
    assert "process 4242 (python3) has its group open" in part["blocked"][0]["message"]
    uid = "8d2c1e5a-0000-1111-2222-333344445555"
    (node.kernel.root / "proc/4242/cgroup").write_text(f"0::/kubepods/burstable/pod{uid}/1f\n")
    assert (await asked(node, evicting(1)))["evict"] == [f"with uid {uid}"]


async def test_a_kubelet_that_does_not_answer_makes_everything_count_as_in_use(fake_node: Any) -> None:
    node = fake_node("vfio-pci")
    node.kubelet_away = True
    (part,) = (await asked(node, node.config(3)))["pfs"]
    assert part["blocked"]


async def test_what_is_converged_has_no_steps(fake_node: Any) -> None:
    node = fake_node()
    agent = node.agent()
    agent.see(node.ask(node.config(2)))
    await agent.turn()
    found = await asked(node, node.config(2))
    assert found["pfs"] == []
    assert found["status"]["conditions"][0]["reason"] == "Converged"


async def test_a_node_where_nothing_may_be_touched_would_do_nothing(fake_node: Any) -> None:
    node = fake_node("vfio-pci")
    node.open(0)
    node.write_gets_blocked()
    found = await asked(node, node.config(3), may_change=True)
    assert found["pfs"] == []
    assert found["status"]["conditions"][0]["reason"] == "Stuck"


async def test_a_policy_that_this_version_cannot_read_leaves_everything(fake_node: Any) -> None:
    node = fake_node("vfio-pci")
    found = await asked(node, node.config(3), needs=["policies.unheardOf"])
    assert found["pfs"] == []
    assert found["status"]["conditions"][0]["reason"] == "InvalidPolicy"


async def test_a_host_process_that_is_away_is_an_error(fake_node: Any) -> None:
    node = fake_node()
    node.host_away = True
    assert (await asked(node, node.config(1)))["error"]["reason"] == "HostUnreachable"


@pytest.mark.parametrize(
    "request_",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"generation": 1}',
        b'{"spec": {"policies": []}}',
        b'{"generation": -1, "spec": {"policies": []}}',
    ],
)
async def test_a_request_that_is_none_is_an_error(fake_node: Any, request_: bytes) -> None:
    node = fake_node()
    machine = NodeMachine(host=node, kubelet=node, files=node, patience=Patience())
    found: Any = await answered(machine, request_, version="1", domains=frozenset())
    assert found["error"]["reason"] == "InvalidPolicy"


def test_the_program_answers_one_document_and_ends_with_1_where_it_cannot_tell(tmp_path: Path) -> None:
    environ = {**os.environ, "NODE_NAME": "n1", "VIRTFN_API_URL": "http://127.0.0.1:1"}
    environ["VIRTFN_HOST_SOCKET"] = str(tmp_path / "host.sock")
    done = subprocess.run(
        [sys.executable, "-m", "virtfn_operator", "preview", "--log-level=error"],
        input=json.dumps({"generation": 1, "spec": {"policies": []}}),
        capture_output=True,
        text=True,
        env={**environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=50,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert json.loads(done.stdout)["error"]["reason"] == "HostUnreachable"


def test_it_loads_neither_kopf_nor_an_http_client() -> None:
    """It runs within the agent's memory limit, beside the agent."""
    heavy = "{'kopf', 'aiohttp', 'kubernetes'}"
    code = f"import sys, virtfn_operator.agent.preview_process; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=50,
        check=True,
    )
    assert done.stdout == "[]\n"

"""The agent's loop on a machine that reacts: two beats, holders, turns, failures, restarts. No clock is waited for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from inventories import a_pf

from virtfn_host.core.values.desired import NodeConfig
from virtfn_host.core.values.offered import PoolSet
from virtfn_host.core.values.reasons import Reason
from virtfn_host.process.client import HostUnreachable
from virtfn_operator.agent.ports import Patience

if TYPE_CHECKING:
    from tests.unit.operator.conftest import FakeNode

SWIFT_BLOCKED = 0.01
"""Seconds that the fake node's agent waits while something is in the way."""


async def test_an_empty_pf_gets_its_vfs_without_waiting_for_a_turn(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    node.ask(node.config(2), may_change=False)
    await node.agent().turn()
    assert node.drivers == ["vfio-pci", "vfio-pci"]
    assert node.healthy == 2
    assert node.ready() == ("True", "Converged")
    assert node.readies() == ["Changing", "Converged"]
    assert node.status["policies"][0]["state"] == "Ready"
    assert node.status["summary"] == {"pfs": 1, "vfs": 2, "inUse": 0, "pools": "virtfn.dev/fast=2/2"}


async def test_a_converged_node_is_left_alone(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    node.ask(node.config(2))
    agent = node.agent()
    await agent.turn()
    before = (list(node.applied), list(node.statuses), list(node.published_sets))
    assert await agent.turn() > 0.01
    assert (node.applied, node.statuses, node.published_sets) == before


async def test_without_a_spec_nothing_is_touched_and_nothing_published(fake_node: type[FakeNode]) -> None:
    node = fake_node("vfio-pci", "vfio-pci")
    node.host.machine.journal.remember(a_pf(0))  # they were made by a process before this one
    await node.agent().turn()
    assert node.applied == []
    assert node.file is None
    assert node.ready() == ("Unknown", "Changing")
    assert node.status["functions"][0]["numVfs"] == 2


async def test_an_object_made_anew_gives_nothing_back_and_the_last_spec_stands(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    node.ask(node.config(2))
    agent = node.agent()
    await agent.turn()
    agent.see({"metadata": {"generation": 1}})
    node.unbind(1)
    await agent.turn()
    assert node.drivers == ["vfio-pci", "vfio-pci"]


async def test_a_spec_that_cannot_be_read_changes_nothing(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    node.ask(node.config(2))
    agent = node.agent()
    await agent.turn()
    body = node.ask(node.config(2))
    body["spec"]["policies"][0]["pools"][0]["link"] = {"vlan": 5000}
    agent.see(body)
    await agent.turn()
    assert node.drivers == ["vfio-pci", "vfio-pci"]
    assert node.ready() == ("False", "InvalidPolicy")


async def test_link_settings_are_looked_at_only_where_a_policy_has_some(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    node.ask(node.config(2))
    agent = node.agent()
    await agent.turn()
    assert set(node.links_asked) == {False}
    node.links_asked.clear()
    body = node.ask(node.config(2))
    body["spec"]["policies"][0]["pools"][0]["link"] = {}
    agent.see(body)
    await agent.turn()
    assert set(node.links_asked) == {True}


async def test_a_disruptive_plan_withdraws_first_and_applies_the_second_plan(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    node.ask(node.config(2))
    agent = node.agent()
    await agent.turn()
    agent.see(node.ask(node.config(4)))
    offered: list[int] = []
    node.on_publish = lambda _: offered.append(node.healthy)
    await agent.turn()
    assert offered == [0, 4]
    assert node.drivers == ["vfio-pci"] * 4
    assert node.ready() == ("True", "Converged")


async def test_a_vf_that_a_pod_got_between_the_beats_is_not_touched(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    node.ask(node.config(2))
    agent = node.agent()
    await agent.turn()
    agent.see(node.ask(node.config(4)))
    node.on_publish = lambda _: node.hold(1)
    await agent.turn()
    assert len(node.vfs) == 2
    assert node.ready() == ("False", "VfsInUse")
    assert node.status["plan"]["blocked"][0]["pods"] == ["pod default/dpdk-0"]
    assert node.status["policies"][0]["state"] == "Blocked"


async def test_what_was_not_withdrawn_is_not_disturbed(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    node.ask(node.config(2))
    agent = node.agent()
    await agent.turn()
    agent.see(node.ask(node.config(4)))

    def meddle(_: PoolSet) -> None:
        node.remake("vfio-pci", "vfio-pci", "vfio-pci")
        node.on_publish = lambda _: None

    node.on_publish = meddle
    before = list(node.applied)
    await agent.turn()
    assert (node.drivers, node.applied) == (["vfio-pci"] * 3, before)
    assert node.ready() == ("False", "StaleSnapshot")


async def test_without_the_journal_nothing_is_touched(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    node.ask(node.config(2))
    node.host.machine.journal.path.write_text('{"version": 1, "origin')
    await node.agent().turn()
    assert node.kernel.writes == []
    assert node.ready() == ("False", "JournalUnreadable")


async def test_a_blocked_node_converges_when_the_pod_ends(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    node.ask(node.config(2))
    agent = node.agent()
    await agent.turn()
    node.hold(0)
    agent.see(node.ask(node.config(4)))
    running = asyncio.create_task(node.until(agent, lambda: len(node.vfs) == 4 and node.ready()[0] == "True"))
    while node.ready() != ("False", "VfsInUse"):
        await asyncio.sleep(0)
    node.release()
    await running
    assert node.healthy == 4


async def test_a_disruptive_plan_waits_for_its_turn(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    node.ask(node.config(2))
    agent = node.agent()
    await agent.turn()
    agent.see(node.ask(node.config(4), may_change=False))
    await agent.turn()
    assert len(node.vfs) == 2
    assert node.healthy == 2
    assert node.ready() == ("False", "WaitingForTurn")
    assert node.status["plan"]["disruptive"] is True
    agent.see(node.ask(node.config(4), may_change=True))
    await agent.turn()
    assert len(node.vfs) == 4
    assert "plan" not in node.status


async def test_a_kubelet_that_goes_on_offering_calls_the_change_off(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    node.ask(node.config(2))
    agent = node.agent()
    await agent.turn()
    node.plugin_away = True
    agent.see(node.ask(node.config(4)))
    await agent.turn()
    assert len(node.vfs) == 2
    assert node.healthy == 2
    assert node.ready() == ("False", "VfsInUse")
    assert node.status["policies"][0]["state"] == "Blocked"


async def test_without_the_kubelet_nothing_is_disturbed(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    node.ask(node.config(2))
    agent = node.agent()
    await agent.turn()
    node.kubelet_away = True
    agent.see(node.ask(node.config(4)))
    await agent.turn()
    assert len(node.vfs) == 2
    assert node.ready() == ("False", "KubeletUnreachable")
    assert node.status["summary"]["inUse"] == 0


async def test_drift_is_repaired_and_told_of(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    node.ask(node.config(2))
    agent = node.agent()
    await agent.turn()
    node.unbind(1)
    await agent.turn()
    assert node.drivers == ["vfio-pci", "vfio-pci"]
    assert node.readies()[-2:] == ["Drifted", "Converged"]


async def test_a_failure_is_reported_and_tried_again(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    node.ask(node.config(2))
    node.refuse_bind()
    agent = node.agent()
    await agent.turn()
    assert node.ready() == ("False", "BindFailed")
    assert node.status["policies"][0]["state"] == "Failed"
    agent.stir()
    assert not agent._woken.is_set()  # what we do ourselves must not defeat the back-off
    await node.until(agent, lambda: node.ready() == ("True", "Converged"))


async def test_no_policy_any_more_gives_everything_back(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    node.ask(node.config(2))
    agent = node.agent()
    await agent.turn()
    agent.see(node.ask(NodeConfig(policies=())))
    await agent.turn()
    assert (node.pf.num_vfs, node.pf.autoprobe, node.original) == (0, True, None)
    assert node.file == PoolSet(boot_id=node.boot_id, pools=())


@pytest.mark.parametrize("writes", range(10))
async def test_a_restart_at_any_point_converges(fake_node: type[FakeNode], writes: int) -> None:
    node = fake_node("igbvf")
    node.ask(node.config(3))
    node.kernel.killed_after = writes
    with pytest.raises(HostUnreachable):
        await node.agent().turn()
    node.host.restart()
    await node.until(node.agent(), lambda: bool(node.statuses) and node.ready() == ("True", "Converged"))
    assert node.drivers == ["vfio-pci"] * 3
    assert node.healthy == 3


async def test_the_host_process_away_keeps_what_was_published(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    node.ask(node.config(2))
    agent = node.agent()
    await agent.turn()
    node.host_away = True
    published = node.file
    running = asyncio.create_task(node.until(agent, lambda: len(node.statuses) > 3 and node.ready()[0] == "True"))
    while node.ready() != ("Unknown", "HostUnreachable"):
        await asyncio.sleep(0)
    assert node.file == published
    assert node.status["summary"]["vfs"] == 2
    node.host_away = False
    await running


async def test_without_the_api_server_the_last_spec_is_carried_out(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    agent = node.agent()
    agent.see(node.ask(node.config(2)))
    node.api_away = True
    await agent.turn()
    assert node.drivers == ["vfio-pci", "vfio-pci"]
    assert node.healthy == 2
    node.api_away = False
    await node.until(agent, lambda: bool(node.statuses) and node.ready() == ("True", "Converged"))


async def test_a_restart_without_pool_file_remembers_what_pods_hold(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    node.ask(node.config(2))
    await node.agent().turn()
    node.hold(0)
    node.file = None
    node.ask(NodeConfig(policies=()))
    agent = node.agent()
    for _ in range(2):
        await agent.turn()
    assert node.file is not None
    held = {d.address: d.reason for pool in node.file.pools for d in pool.devices}
    assert held == {node.vfs[0]: Reason.VFS_IN_USE}


async def test_a_stuck_write_is_told_once_with_its_pod_and_all_resumes_by_itself(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    node.ask(node.config(2))
    agent = node.agent()
    await agent.turn()
    node.hold(0)
    node.write_gets_blocked()
    assert len(node.vfs) == 1  # the removal of the other has begun
    agent.see(node.ask(node.config(4)))
    written, applied = len(node.statuses), len(node.applied)
    for _ in range(3):
        pause = await agent.turn()
        await asyncio.sleep(0.1)  # it is blocked longer each time
    assert pause == SWIFT_BLOCKED
    assert node.ready() == ("False", "Stuck")
    message = next(c["message"] for c in node.status["conditions"] if c["type"] == "Ready")
    assert "process 4242 (python3)" in message
    assert "pod default/dpdk-0" in message
    assert (len(node.statuses), len(node.applied)) == (written + 1, applied)
    node.release()
    await node.until(agent, lambda: node.ready() == ("True", "Converged"))
    assert node.drivers == ["vfio-pci"] * 4


async def test_without_the_lock_what_disturbs_nobody_is_done_and_the_rest_is_not(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    node.ask(node.config(2))
    (node.kernel.root / "sys/class/misc/vfio").mkdir(parents=True)  # and no node to it: /dev is not the host's
    agent = node.agent()
    await agent.turn()
    assert node.drivers == ["vfio-pci", "vfio-pci"]
    (node.kernel.root / "dev/vfio/vfio").unlink()  # the fake kernel makes it at the first bind
    agent.see(node.ask(node.config(4)))
    await agent.turn()
    assert len(node.vfs) == 2
    assert node.healthy == 0  # a container would lack the node, too
    assert node.ready() == ("False", "Unreadable")
    (node.kernel.root / "dev/vfio/vfio").touch()
    await node.until(agent, lambda: node.ready() == ("True", "Converged"))
    assert len(node.vfs) == 4


def test_no_pause_is_longer_than_a_fault_may_stay_unseen() -> None:
    """Ten seconds from a fault without event to its condition; what is left is for the look and the word."""
    patience = Patience()
    assert patience.idle * 1.2 + patience.settle <= 8
    assert max(patience.in_use, patience.blocked, patience.retry_limit) <= 8

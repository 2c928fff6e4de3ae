"""A VF that is open and that no pod is known to have: its process is named, and it is offered to no pod."""

from typing import Any

from evicting import evicting

from virtfn_host.core.values.holders import Pod

UID = "8d2c1e5a-0000-1111-2222-333344445555"


async def serving(fake_node: Any, count: int = 2) -> Any:
    """A node that offers two VFs."""
    node = fake_node("vfio-pci", "vfio-pci")
    agent = node.agent()
    agent.see(node.ask(evicting(count)))
    await agent.turn()
    assert node.healthy == 2
    return node, agent


async def turns(agent: Any, number: int) -> None:
    for _ in range(number):
        await agent.turn()


def in_a_pod(node: Any) -> None:
    """Put the fake kernel's program into the cgroup of a pod."""
    folder = node.kernel.root / "proc/4242"
    (folder / "cgroup").write_text(f"0::/kubepods.slice/kubepods-pod{UID.replace('-', '_')}.slice/cri-1f.scope\n")


def withheld(node: Any) -> list[dict[str, Any]]:
    (pool,) = node.status["pools"]
    return list(pool.get("withheld", []))


async def test_what_a_program_of_the_host_has_open_is_withheld_and_says_which(fake_node: Any) -> None:
    node, agent = await serving(fake_node)
    node.open(0)
    await turns(agent, 3)
    assert node.healthy == 1
    (entry,) = withheld(node)
    assert (entry["devices"], entry["reason"]) == ([str(node.vfs[0])], "NotUsable")
    assert "is in use, by no pod: process 4242 (python3) has its group open; end that process" in entry["message"]
    assert node.ready() == ("True", "NotUsable")
    (outcome,) = node.status["policies"]
    assert (outcome["state"], outcome["reason"], outcome["device"]) == ("Ready", "NotUsable", str(node.vfs[0]))
    assert "process 4242 (python3)" in outcome["message"]
    node.release()
    await agent.turn()
    assert node.healthy == 2
    assert withheld(node) == []


async def test_a_pod_that_has_just_ended_withholds_nothing(fake_node: Any) -> None:
    node, agent = await serving(fake_node)
    node.open(0)
    await turns(agent, 2)
    node.release()
    await turns(agent, 3)
    assert all(device.healthy for pools in node.published_sets for pool in pools.pools for device in pool.devices)


async def test_what_a_pod_has_is_offered_as_before(fake_node: Any) -> None:
    node, agent = await serving(fake_node)
    node.hold(0)
    await turns(agent, 4)
    assert node.healthy == 2


async def test_what_an_init_container_has_is_offered_as_before(fake_node: Any) -> None:
    node, agent = await serving(fake_node)
    in_a_pod(node)
    node.open(0)
    await turns(agent, 4)
    assert node.healthy == 2


async def test_a_silent_kubelet_brings_it_not_back_on_offer(fake_node: Any) -> None:
    node, agent = await serving(fake_node)
    node.open(0)
    await turns(agent, 3)
    node.kubelet_away = True
    await turns(agent, 3)
    assert node.healthy == 1


async def test_a_change_that_waits_for_a_program_of_the_host_names_it(fake_node: Any) -> None:
    node, agent = await serving(fake_node)
    node.open(1)
    agent.see(node.ask(evicting(1)))
    await turns(agent, 2)
    assert node.ready() == ("False", "VfsInUse")
    assert "process 4242 (python3) has its group open" in node.status["policies"][0]["message"]
    assert "evict" not in node.status["plan"]


async def test_the_pod_of_an_init_container_is_evicted_by_its_uid(fake_node: Any) -> None:
    node, agent = await serving(fake_node)
    in_a_pod(node)
    node.open(0)
    await agent.turn()
    agent.see(node.ask(evicting(1)))
    await turns(agent, 2)
    assert node.status["plan"]["evict"] == {"withdrawn": True, "pods": [{"device": "0000:01:00.0", "uid": UID}]}
    node.release()
    await agent.turn()
    assert node.drivers == ["vfio-pci"]


async def test_where_pods_explain_every_holder_no_process_is_looked_for(fake_node: Any) -> None:
    node, agent = await serving(fake_node)
    node.hold(0)
    node.pods[str(node.vfs[1])] = (Pod(namespace="default", name="dpdk-1"),)
    node.open(1)
    await turns(agent, 3)
    assert [asked for asked in node.users_asked if asked] == []

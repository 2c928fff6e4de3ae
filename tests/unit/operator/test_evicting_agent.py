"""The agent where a policy says Evict: it asks for a turn, withdraws, names the pods, and changes what they leave."""

from typing import Any

from evicting import evicting

from virtfn_host.core.values.holders import Pod


async def serving(fake_node: Any) -> Any:
    """A node that offers two VFs, one of them held by a pod."""
    node = fake_node("vfio-pci", "vfio-pci")
    agent = node.agent()
    agent.see(node.ask(evicting(2)))
    await agent.turn()
    assert node.healthy == 2
    node.hold(0)
    return node, agent


async def test_without_a_turn_it_asks_for_one_and_everything_stays_on_offer(fake_node: Any) -> None:
    node, agent = await serving(fake_node)
    agent.see(node.ask(evicting(1), may_change=False))
    await agent.turn()
    assert node.ready() == ("False", "WaitingForTurn")
    assert node.status["plan"]["disruptive"] is True
    assert node.status["plan"]["evict"]["withdrawn"] is False
    assert node.healthy == 2


async def test_in_its_turn_it_withdraws_all_that_is_changed_and_then_names_the_pods(fake_node: Any) -> None:
    node, agent = await serving(fake_node)
    agent.see(node.ask(evicting(1)))
    await agent.turn()
    assert node.healthy == 0
    assert node.status["plan"]["evict"] == {
        "withdrawn": True,
        "pods": [{"device": "0000:01:00.0", "namespace": "default", "name": "dpdk-0"}],
    }
    assert node.ready() == ("False", "Evicting")
    assert "pods default/dpdk-0 must leave first" in node.status["policies"][0]["message"]
    assert node.drivers == ["vfio-pci", "vfio-pci"]


async def test_while_the_kubelet_still_offers_a_function_nothing_counts_as_withdrawn(fake_node: Any) -> None:
    node, agent = await serving(fake_node)
    node.plugin_away = True
    agent.see(node.ask(evicting(1)))
    await agent.turn()
    assert node.status["plan"]["evict"]["withdrawn"] is False
    assert "is the device plugin running?" in node.status["policies"][0]["message"]
    node.plugin_away = False
    await agent.turn()
    assert node.status["plan"]["evict"]["withdrawn"] is True


async def test_when_the_pods_have_left_it_changes_and_no_function_was_on_offer_in_between(fake_node: Any) -> None:
    node, agent = await serving(fake_node)
    agent.see(node.ask(evicting(1)))
    await agent.turn()
    seen = len(node.published_sets)
    node.release()
    await agent.turn()
    assert node.drivers == ["vfio-pci"]
    assert node.ready() == ("True", "Converged")
    assert "plan" not in node.status
    before = [d.healthy for pools in node.published_sets[seen:-1] for pool in pools.pools for d in pool.devices]
    assert not any(before)


async def test_when_the_turn_ends_everything_is_offered_again(fake_node: Any) -> None:
    node, agent = await serving(fake_node)
    agent.see(node.ask(evicting(1)))
    await agent.turn()
    agent.see(node.ask(evicting(1), may_change=False))
    await agent.turn()
    assert node.healthy == 2


async def test_when_the_policy_changes_its_mind_everything_is_offered_again(fake_node: Any) -> None:
    node, agent = await serving(fake_node)
    agent.see(node.ask(evicting(1)))
    await agent.turn()
    agent.see(node.ask(evicting(1, "Wait")))
    await agent.turn()
    assert node.healthy == 2
    assert node.ready() == ("False", "VfsInUse")
    assert "evict" not in node.status["plan"]


async def test_a_kubelet_that_is_silent_meanwhile_brings_nothing_back_on_offer(fake_node: Any) -> None:
    node, agent = await serving(fake_node)
    agent.see(node.ask(evicting(1)))
    await agent.turn()
    node.kubelet_away = True
    await node.agent().turn()  # and an agent that starts anew
    assert node.healthy == 0
    agent = node.agent()
    agent.see(node.body)
    await agent.turn()
    assert node.healthy == 0
    assert "evict" not in node.status["plan"]


async def test_a_process_of_no_pod_is_named_and_no_pod_is(fake_node: Any) -> None:
    node, agent = await serving(fake_node)
    node.open(1)
    agent.see(node.ask(evicting(1)))
    await agent.turn()
    assert node.ready() == ("False", "VfsInUse")
    assert "evict" not in node.status["plan"]
    assert node.healthy == 2


async def test_a_pod_that_holds_nothing_affected_is_not_named(fake_node: Any) -> None:
    node, agent = await serving(fake_node)
    node.pods["0000:09:00.0"] = (Pod(namespace="default", name="other"),)
    agent.see(node.ask(evicting(1)))
    await agent.turn()
    assert [pod["name"] for pod in node.status["plan"]["evict"]["pods"]] == ["dpdk-0"]

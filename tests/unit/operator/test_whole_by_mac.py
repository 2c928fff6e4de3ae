"""A policy that hands a card out whole by its permanent MAC is Ready afterwards: the MAC goes with the netdev."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from virtfn_host.core.turn.policy import policy_config
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import NodeConfig, PolicyConfig

if TYPE_CHECKING:
    from tests.unit.operator.conftest import FakeNode

PF, NETDEV, MAC = PciAddress(0, 1, 0, 0), "eth1v00", "52:54:00:00:01:00"


def asked(uid: str = "u1") -> NodeConfig:
    spec = {"devices": [{"permanentMac": MAC}], "wholeFunctions": {"resourceName": "card"}}
    policy = policy_config(name="card", uid=uid, generation=1, spec=spec)
    assert isinstance(policy, PolicyConfig), policy
    return NodeConfig(policies=(policy,))


async def standing(node: FakeNode, config: NodeConfig) -> tuple[str, str]:
    node.ask(config)
    agent = node.agent()
    for _ in range(3):
        await agent.turn()
    (outcome,) = node.status["policies"]
    return outcome["state"], outcome["reason"]


@pytest.mark.parametrize("hidden", [False, True], ids=["its address is the permanent one", "it has another address"])
async def test_it_is_ready_and_so_is_the_policy_made_anew(fake_node: type[FakeNode], hidden: bool) -> None:
    node = fake_node()
    folder = node.kernel.devices / str(PF) / "net" / NETDEV
    if hidden:  # so that only rtnetlink tells the permanent one
        (folder / "addr_assign_type").write_text("3\n")
        (folder / "address").write_text("52:54:00:00:77:77\n")
    assert await standing(node, asked()) == ("Ready", "Converged")
    assert (node.host.machine.sysfs.bound_driver(PF), folder.exists()) == ("vfio-pci", False)
    before = list(node.kernel.writes)
    assert await standing(node, asked()) == ("Ready", "Converged")
    assert await standing(node, asked("made anew")) == ("Ready", "Converged")
    assert node.kernel.writes == before
    assert [claim.uid for claim in node.host.machine.journal.claims()] == ["made anew"]

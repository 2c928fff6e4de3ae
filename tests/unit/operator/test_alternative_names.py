"""A policy names a PF by an alternative name of its netdev, and the agent finds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.unit.operator.conftest import FakeNode


def named(node: FakeNode, netdev: str) -> dict[str, Any]:
    """A spec with one policy, which names its device by the netdev alone."""
    body = node.ask(node.config(2))
    body["spec"]["policies"][0]["devices"] = [{"netdev": netdev}]
    return body


@pytest.mark.parametrize("other", ["enp1s0f0np0", "enx525400000100", "a-name-that-is-longer-than-fifteen-bytes"])
async def test_the_pf_is_found_by_its_alternative_name(fake_node: type[FakeNode], other: str) -> None:
    node = fake_node()
    node.rename_netdev("eth7")
    node.kernel.other_names["eth7"] = (other,)
    body = named(node, other)
    agent = node.agent()
    agent.see(body)
    await agent.turn()
    assert node.drivers == ["vfio-pci", "vfio-pci"]


async def test_a_name_that_nothing_has_matches_nothing(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    node.kernel.other_names["eth7"] = ("enp1s0f0np0",)
    body = named(node, "enp1s0f0np0")
    agent = node.agent()
    agent.see(body)
    await agent.turn()
    assert node.drivers == []

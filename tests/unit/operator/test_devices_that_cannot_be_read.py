"""A PF of which something cannot be read keeps its claim: the node is not Ready, and an uninstall is not done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from inventories import a_policy

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import DeviceMatcher, NodeConfig
from virtfn_operator.api.node_state import read_node
from virtfn_operator.api.node_status import State
from virtfn_operator.lifecycle.leaving import Left, left_on

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.operator.conftest import FakeNode

DARK, SEEN = PciAddress(0, 1, 0, 0), PciAddress(0, 9, 0, 0)
ATTRIBUTES = ["numa_node", "class", "vendor", "sriov_totalvfs", "iommu_group", "driver"]


def asked(count: int = 2, **matcher: Any) -> NodeConfig:
    devices = (DeviceMatcher(**(matcher or {"vendor": "8086"})),)
    return NodeConfig(policies=(a_policy(count=count, generation=count, devices=devices),))


async def turns(node: FakeNode, config: NodeConfig) -> None:
    node.ask(config)
    agent = node.agent()
    for _ in range(3):
        await agent.turn()


def spoil(node: FakeNode, attribute: str) -> Path:
    """Put a folder in a file's place, and a file in a link's; return where the old one is."""
    path = node.kernel.devices / str(DARK) / attribute
    link = path.is_symlink()
    old = path.rename(path.with_name(f".{attribute}"))
    path.touch() if link else path.mkdir()
    return old


def mend(old: Path) -> None:
    path = old.with_name(old.name[1:])
    path.unlink() if path.is_file() else path.rmdir()
    old.rename(path)


async def two(fake_node: type[FakeNode]) -> FakeNode:
    node = fake_node()
    node.kernel.add_pf(SEEN)
    await turns(node, asked())
    assert node.ready() == ("True", "Converged")
    return node


def numbers(node: FakeNode) -> list[int]:
    return [len(node.host.machine.sysfs.vf_addresses(pf)) for pf in (DARK, SEEN)]


@pytest.mark.parametrize("attribute", ATTRIBUTES)
async def test_what_is_deleted_is_left_until_it_can_be_read(fake_node: type[FakeNode], attribute: str) -> None:
    node = await two(fake_node)
    old = spoil(node, attribute)
    await turns(node, NodeConfig(policies=()))
    assert (numbers(node), node.ready()) == ([2, 0], ("False", "Unreadable"))
    assert [it["device"] for it in node.status["plan"]["blocked"]] == [str(DARK)]
    assert left_on(node.body).left is Left.SOMETHING
    mend(old)
    await turns(node, NodeConfig(policies=()))
    assert (numbers(node), left_on(node.body).left) == ([0, 0], Left.NOTHING)
    assert node.host.machine.journal.claims() == ()


@pytest.mark.parametrize("attribute", ATTRIBUTES)
async def test_a_policy_of_two_devices_fails_for_the_one_and_goes_on_with_the_other(
    fake_node: type[FakeNode], attribute: str
) -> None:
    node = await two(fake_node)
    old = spoil(node, attribute)
    await turns(node, asked(4))
    assert (numbers(node), node.ready()) == ([2, 4], ("False", "Unreadable"))
    # Failed, not Rejected or Blocked: the turn of this node must not end as if its change were done.
    (outcome,) = read_node(node.body).policies
    assert (outcome.state, str(outcome.reason)) == (State.FAILED, "Unreadable")
    mend(old)
    await turns(node, asked(4))
    assert (numbers(node), node.ready()) == ([4, 4], ("True", "Converged"))


@pytest.mark.parametrize("attribute", [*ATTRIBUTES, "driver_override"])
async def test_a_card_that_becomes_unreadable_in_its_turn_fails(fake_node: type[FakeNode], attribute: str) -> None:
    node = fake_node()
    await turns(node, asked(address=DARK))
    make = node.kernel._set_num_vfs

    def breaks(pf: PciAddress, number: int) -> None:
        make(pf, number)
        if number:
            spoil(node, attribute)

    node.kernel._set_num_vfs = breaks  # type: ignore[method-assign]
    await turns(node, asked(4, address=DARK))
    (outcome,) = read_node(node.body).policies
    assert (node.ready()[0], outcome.state) == ("False", State.FAILED)


@pytest.mark.parametrize("attribute", ATTRIBUTES)
async def test_one_that_was_never_claimed_hinders_nothing(fake_node: type[FakeNode], attribute: str) -> None:
    node = fake_node()
    node.kernel.add_pf(SEEN)
    spoil(node, attribute)
    await turns(node, asked())
    assert (numbers(node), node.ready()) == ([0, 2], ("True", "Converged"))
    await turns(node, NodeConfig(policies=()))
    assert (numbers(node), left_on(node.body).left) == ([0, 0], Left.NOTHING)

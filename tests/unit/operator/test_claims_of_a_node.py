"""A node keeps what a policy claimed while its machine changes around it, over boots, and says why it gives back."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from virtfn_host.core.turn.policy import policy_config
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import NodeConfig, PolicyConfig

if TYPE_CHECKING:
    from tests.unit.operator.conftest import FakeNode

PF, ELSEWHERE = PciAddress(0, 1, 0, 0), PciAddress(0, 9, 0, 0)
NETDEV, MAC, SERIAL = "eth1v00", "52:54:00:00:01:00", "3c-fd-fe-ff-ff-12-34-56"


def asked(matcher: dict[str, Any], *, count: int = 2, generation: int = 1, uid: str = "u1") -> NodeConfig:
    pools = {"count": count, "pools": [{"resourceName": "fast"}]}
    spec = {"devices": [matcher], "virtualFunctions": pools}
    policy = policy_config(name="fast", uid=uid, generation=generation, spec=spec)
    assert isinstance(policy, PolicyConfig), policy
    return NodeConfig(policies=(policy,))


async def turns(node: FakeNode, config: NodeConfig, number: int = 3) -> FakeNode:
    node.ask(config)
    agent = node.agent()  # another agent knows only what is on the machine
    for _ in range(number):
        await agent.turn()
    return node


def standing(node: FakeNode) -> tuple[str, str]:
    (outcome,) = node.status["policies"]
    return outcome["state"], outcome["reason"]


def renamed(node: FakeNode) -> None:
    node.rename_netdev("ens1f0np0")


def away(node: FakeNode) -> None:
    node.rename_netdev()


def enslaved(node: FakeNode) -> None:
    folder = node.kernel.devices / str(PF) / "net" / NETDEV
    (folder / "addr_assign_type").write_text("3\n")
    (folder / "address").write_text("52:54:00:00:77:77\n")
    node.rename_netdev("slave0")


def nameless(node: FakeNode) -> None:
    """The alternative name that the policy names is taken away."""
    node.kernel.other_names.clear()


def unreadable(node: FakeNode) -> None:
    """Its netdevs cannot be listed."""
    folder = node.kernel.devices / str(PF) / "net"
    shutil.rmtree(folder)
    folder.write_text("")


def dark(node: FakeNode) -> None:
    """The whole function cannot be read."""
    (node.kernel.devices / str(PF) / "class").unlink()
    (node.kernel.devices / str(PF) / "class").mkdir()


CHANGES: dict[str, tuple[dict[str, Any], Callable[[FakeNode], None]]] = {
    "renamed": ({"netdev": NETDEV}, renamed),
    "renamed, named by name and vendor": ({"netdev": NETDEV, "vendor": "8086"}, renamed),
    "in another network namespace": ({"netdev": NETDEV}, away),
    "in another network namespace, named by its permanent MAC": ({"permanentMac": MAC}, away),
    "in a bond under another name": ({"netdev": NETDEV}, enslaved),
    "without its alternative name": ({"netdev": "uplink0"}, nameless),
    "unreadable in part": ({"netdev": NETDEV}, unreadable),
    "unreadable": ({"netdev": NETDEV}, dark),
}


@pytest.mark.parametrize(("matcher", "change"), CHANGES.values(), ids=CHANGES.keys())
async def test_nothing_is_written_when_the_function_looks_otherwise(
    fake_node: type[FakeNode], matcher: dict[str, Any], change: Callable[[FakeNode], None]
) -> None:
    node = fake_node()
    node.kernel.other_names[NETDEV] = ("uplink0",)
    await turns(node, asked(matcher))
    assert (node.drivers, standing(node)) == (["vfio-pci"] * 2, ("Ready", "Converged"))
    change(node)
    before = list(node.kernel.writes)
    await turns(node, asked(matcher), 4)
    assert node.kernel.writes == before
    assert node.drivers == ["vfio-pci"] * 2
    assert node.original is not None
    state, reason = standing(node)
    assert state != "Ready"
    assert reason in ("ClaimKept", "Unreadable")


async def test_a_policy_that_names_the_permanent_mac_is_ready_in_a_bond(fake_node: type[FakeNode]) -> None:
    node = await turns(fake_node(), asked({"permanentMac": MAC}))
    enslaved(node)
    await turns(node, asked({"permanentMac": MAC}))
    assert standing(node) == ("Ready", "Converged")


async def test_the_driver_of_the_pf_is_reloaded(fake_node: type[FakeNode]) -> None:
    node = await turns(fake_node(), asked({"netdev": NETDEV}))
    node.kernel._set_num_vfs(PF, 0)  # as its driver does when it goes
    node.kernel._unbind(PF)
    before = list(node.kernel.writes)
    await turns(node, asked({"netdev": NETDEV}))
    assert node.kernel.writes == before
    assert {r["reason"] for r in node.status["rejected"]} == {"ClaimKept", "PfDriverMissing"}
    node.kernel._bind("igb", PF)
    await turns(node, asked({"netdev": NETDEV}))
    assert (node.drivers, standing(node)) == (["vfio-pci"] * 2, ("Ready", "Converged"))


async def test_a_rename_before_an_edit_of_the_count_makes_the_new_number(fake_node: type[FakeNode]) -> None:
    node = await turns(fake_node(), asked({"netdev": NETDEV}))
    renamed(node)
    await turns(node, asked({"netdev": NETDEV}, count=3, generation=2))
    assert node.drivers == ["vfio-pci"] * 3


ENDS: dict[str, tuple[NodeConfig, str]] = {
    "not asked any more": (
        NodeConfig(policies=()),
        "policy fast was deleted, or its nodeSelector or this node's labels",
    ),
    "edited": (asked({"netdev": "eth7"}, generation=2), "policy fast was edited"),
    "made anew": (asked({"netdev": NETDEV}, uid="u2"), "policy fast was deleted and made anew"),
}


@pytest.mark.parametrize(("config", "cause"), ENDS.values(), ids=ENDS.keys())
async def test_what_the_policy_ends_is_given_back_and_the_cause_is_told(
    fake_node: type[FakeNode], caplog: pytest.LogCaptureFixture, config: NodeConfig, cause: str
) -> None:
    node = await turns(fake_node(), asked({"netdev": NETDEV}))
    renamed(node)
    await turns(node, asked({"netdev": NETDEV}))
    node.statuses.clear()
    with caplog.at_level(logging.INFO):
        await turns(node, config)
    assert (node.vfs, node.original) == ([], None)
    assert f"0000:01:00.0 is given back, all or in part: {cause}" in caplog.text
    told = [c["message"] for status in node.statuses for c in status["conditions"] if c["type"] == "Ready"]
    assert any(cause in message for message in told)
    assert node.host.machine.journal.claims() == ()


async def test_the_vfs_of_another_program_in_the_next_boot_are_not_given_back(fake_node: type[FakeNode]) -> None:
    node = await turns(fake_node(), asked({"netdev": NETDEV}))
    node.kernel.reboot()
    node.remake("igbvf", "igbvf", "igbvf", None)
    before = list(node.kernel.writes)
    await turns(node, NodeConfig(policies=()))
    assert node.kernel.writes == before
    assert len(node.vfs) == 4


async def test_what_is_touched_in_the_next_boot_is_given_back_as_it_was_in_that_boot(fake_node: type[FakeNode]) -> None:
    node = await turns(fake_node(), asked({"netdev": NETDEV}))
    node.kernel.reboot()
    node.remake("igbvf", "igbvf", "igbvf")
    await turns(node, asked({"netdev": NETDEV}))
    assert node.drivers == ["vfio-pci"] * 2
    await turns(node, NodeConfig(policies=()))
    assert node.drivers == ["igbvf"] * 3


async def test_a_rename_at_the_reboot_keeps_the_claim(fake_node: type[FakeNode]) -> None:
    node = await turns(fake_node(), asked({"netdev": NETDEV}))
    node.kernel.reboot()
    renamed(node)
    await turns(node, asked({"netdev": NETDEV}))
    assert node.drivers == ["vfio-pci"] * 2
    assert standing(node) == ("Rejected", "ClaimKept")


@pytest.mark.parametrize("known", [{"mac": MAC}, {"serial": SERIAL, "mac": MAC}])
async def test_a_card_that_the_reboot_finds_elsewhere_keeps_its_policy(
    fake_node: type[FakeNode], known: dict[str, str]
) -> None:
    node = fake_node()
    node.kernel.remove_pf(PF)
    node.kernel.add_pf(PF, **known)  # type: ignore[arg-type]
    await turns(node, asked({"netdev": NETDEV}))
    node.kernel.reboot()
    node.kernel.remove_pf(PF)
    node.kernel.add_pf(ELSEWHERE, **known)  # type: ignore[arg-type]
    await turns(node, asked({"netdev": NETDEV}))
    assert len(node.host.machine.sysfs.vf_addresses(ELSEWHERE)) == 2
    assert standing(node) == ("Rejected", "ClaimKept")
    assert [str(claim.seen.address) for claim in node.host.machine.journal.claims()] == [str(ELSEWHERE)]


async def test_a_card_in_anothers_place_is_not_touched_for_it(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    node.kernel.remove_pf(PF)
    node.kernel.add_pf(PF, serial=SERIAL)
    await turns(node, asked({"netdev": NETDEV}))
    node.kernel.reboot()
    node.kernel.remove_pf(PF)
    node.kernel.add_pf(PF, serial="3c-fd-fe-ff-ff-65-43-21")
    renamed(node)
    node.remake("igbvf", None)
    before = list(node.kernel.writes)
    await turns(node, asked({"netdev": NETDEV}))
    assert node.kernel.writes == before
    assert standing(node) == ("Rejected", "DeviceGone")


async def test_a_claim_that_is_only_noted_is_no_change_of_the_node(fake_node: type[FakeNode]) -> None:
    node = await turns(fake_node(), asked({"vendor": "8086"}))
    node.host.machine.journal.note_claims(PF, ())  # as after an upgrade
    node.statuses.clear()
    await turns(node, asked({"vendor": "8086"}, generation=2))
    assert len(node.host.machine.journal.claims()) == 1
    assert set(node.readies()) <= {"Converged"}

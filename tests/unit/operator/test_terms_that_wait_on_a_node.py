"""What was asked of functions counts on a whole node while a pod makes an edit wait, also where the edit drops it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fault import Policy, policy
from faulty_node import FaultyNode
from kernel import FakeKernel

from virtfn_host.core.values.holders import Pod
from virtfn_host.core.values.reasons import Reason
from virtfn_host.linux import poolfile


def reasons(node: FaultyNode) -> list[Reason | None]:
    found = poolfile.read(node.pools_file)
    return [device.reason for pool in found.pools for device in pool.devices] if found else []


def asked(node: FaultyNode, made: Policy, **fields: Any) -> None:
    vfs = made["spec"]["virtualFunctions"]
    node.ask([{**made, "spec": {**made["spec"], "virtualFunctions": {**vfs, **fields}}}])
    for _ in range(4):
        node.turn()


def pf_down(node: FaultyNode) -> None:
    node.lab.set_up(node.pf, False)


def other_vlan(node: FaultyNode) -> None:
    assert node.fake is not None
    links = node.fake.links
    links.update({node.vf(index): replace(links[node.vf(index)], vlan=7) for index in range(4)})


def less_mtu(node: FaultyNode) -> None:
    assert node.fake is not None
    for netdev in node.fake.devices.glob(f"{node.pf}/net/*"):
        (netdev / "mtu").write_text("1500\n")


@pytest.mark.parametrize("edit", [{"driver": "kernel"}, {"resourceName": "slow"}], ids=["driver", "name"])
@pytest.mark.parametrize(
    ("of_pool", "of_vfs", "lose", "reason"),
    [
        ({"allocation": {"requireLink": True}}, {}, pf_down, Reason.NOT_USABLE),
        ({"link": {"vlan": 100}}, {}, other_vlan, Reason.LINK_SETTING_REFUSED),
        ({}, {"mtu": 1600}, less_mtu, Reason.LINK_SETTING_REFUSED),
    ],
    ids=["link", "VLAN", "MTU"],
)
def test_an_edit_that_drops_a_term_and_waits_offers_only_what_has_it_still(
    tmp_path: Path,
    of_pool: dict[str, Any],
    of_vfs: dict[str, Any],
    lose: Callable[[FaultyNode], None],
    reason: Reason,
    edit: dict[str, Any],
) -> None:
    node = FaultyNode(tmp_path, FakeKernel(tmp_path / "root"))
    node.start()
    try:
        node.lab.set_up(node.pf, True)
        asked(node, policy("fast", {"address": str(node.pf)}, count=4, **of_pool), **of_vfs)
        assert reasons(node) == [None] * 4
        node.neighbours.pods = {str(node.vf(0)): (Pod(namespace="a", name="b"),)}
        assert node.fake is not None
        node.fake.open_device(node.vf(0))
        asked(node, policy("fast", {"address": str(node.pf)}, count=6, **edit))
        assert reasons(node) == [None] * 4
        lose(node)
        node.turn()
        assert reasons(node) == [reason] * 4
    finally:
        node.end()

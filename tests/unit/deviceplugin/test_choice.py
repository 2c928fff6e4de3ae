"""GetPreferredAllocation on the wire: offered to the kubelet, answered with device ids, odd requests refused."""

from dataclasses import replace

import grpc
import pytest
from plugin_node import FAST, Node

from virtfn_deviceplugin.grant.offer import PoolOffer
from virtfn_deviceplugin.preferred import NoChoiceError, preferred_ids
from virtfn_deviceplugin.server import _devices
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.choice import Choice, Topology
from virtfn_host.core.values.offered import DevicePool, PoolDevice

IDS = [f"0000:01:10.{n}" for n in range(4)]


def pool(healthy: int = 4) -> DevicePool:
    devices = tuple(
        PoolDevice(address=PciAddress.parse(name), driver="vfio-pci", numa_node=0, healthy=n < healthy, reason=None)
        for n, name in enumerate(IDS)
    )
    return DevicePool(resource_name=FAST, devices=devices)


async def test_the_kubelet_is_told_that_there_is_a_preference(node: Node) -> None:
    node.publish(node.pool())
    await node.all_healthy()
    assert (await node.kubelet.options(FAST)).get_preferred_allocation_available


async def test_the_answer_has_what_must_be_included(node: Node) -> None:
    node.publish(node.pool())
    await node.all_healthy()
    ids = [str(vf) for vf in node.vfs()]
    assert await node.kubelet.preferred(FAST, ids, [], 2) == ids[:2]
    assert await node.kubelet.preferred(FAST, ids, ids[-1:], 2) == [ids[0], ids[-1]]


@pytest.mark.parametrize(
    ("available", "must", "size", "want"),
    [
        (IDS[:2], [], 3, "3 of 2 devices are asked for"),
        (IDS, IDS[:2], 1, "2 must be included"),
        (["x" * 500], [], 1, "is not a PCI address"),
        (["0000:01:10.0\n"], [], 1, "is not a PCI address"),
    ],
)
async def test_a_request_that_cannot_be_met_is_refused_with_the_cause(
    node: Node, available: list[str], must: list[str], size: int, want: str
) -> None:
    node.publish(node.pool())
    await node.all_healthy()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await node.kubelet.preferred(FAST, available, must, size)
    assert want in (refused.value.details() or "")
    assert len(refused.value.details() or "") < 300


@pytest.mark.parametrize(
    ("available", "must", "size", "want"),
    [
        (["0000:01:00.7", *IDS], [], 2, IDS[:2]),  # it left the pool a moment ago
        (["0000:01:00.7", *IDS], ["0000:01:00.7"], 2, ["0000:01:00.7", IDS[0]]),
        (IDS[::-1], [], 2, IDS[:2]),
        ([*IDS, *IDS], [IDS[3]], 2, [IDS[0], IDS[3]]),
        (IDS[:1], IDS[1:2], 2, IDS[:2]),  # the kubelet names what must be included in both lists; not here
        ([], [], 0, []),
    ],
)
def test_the_kubelets_lists_may_be_older_unordered_and_repeated(
    available: list[str], must: list[str], size: int, want: list[str]
) -> None:
    assert preferred_ids(PoolOffer.of(pool()), available, must, size) == want


def test_withdrawn_devices_are_not_chosen_while_others_are_there() -> None:
    assert preferred_ids(PoolOffer.of(pool(healthy=2)), IDS[::-1], [], 2) == IDS[:2]
    with pytest.raises(NoChoiceError):
        preferred_ids(PoolOffer.of(pool(healthy=2)), IDS, [], 5)


@pytest.mark.parametrize(("topology", "told"), [(Topology.NUMA, True), (Topology.NONE, False)])
def test_numa_nodes_are_told_unless_the_policy_asks_for_no_hint(topology: Topology, told: bool) -> None:
    listed = _devices(replace(pool(), choice=Choice(topology=topology)))
    assert {device.HasField("topology") for device in listed.devices} == {told}

"""What public reports say of kubelets and nodes, and the plugin stands: long names, late kubelets, size."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from plugin_node import FAST, Node, manager_of

from virtfn_deviceplugin.server import _devices
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.offered import DevicePool, PoolDevice

LONGEST_PATH = 107
"""Bytes of a unix socket's path, without its end (unix(7))."""

MOST_BYTES = 4 << 20
"""Bytes of a message that a kubelet takes: the limit of grpc-go, which it does not change."""

LONG = "/".join((".".join(["a" * 60] * 4), "B" * 63))


@pytest.mark.parametrize(
    "names",
    [
        ("virtfn.dev/" + "x" * 60 + "1", "virtfn.dev/" + "x" * 60 + "2"),
        (LONG, LONG[:-1] + "C"),
        ("a.example/b-c", "a.example/b.d"),
    ],
)
async def test_names_that_are_alike_for_long_are_both_served(node: Node, names: tuple[str, str]) -> None:
    first, second = names
    node.publish(node.pool(first), node.pool(second, 1))
    await node.all_healthy(first)
    await node.all_healthy(second)
    assert node.kubelet.health(first).keys() != node.kubelet.health(second).keys()
    assert max(len(f"/var/lib/kubelet/device-plugins/{name}") for name in node.kubelet.sockets) <= LONGEST_PATH


async def test_a_plugin_that_starts_while_a_vf_is_open_offers_it_as_before(node: Node) -> None:
    node.publish(node.pool())
    await node.all_healthy()
    node.kernel.open_device(node.vfs()[0])
    await node.end_plugin()
    async with node.plugin():
        await node.all_healthy()


async def test_a_kubelet_that_starts_long_after_the_plugin_is_registered_with_at_once(
    node: Node, tmp_path: Path
) -> None:
    await node.end_plugin()
    await node.kubelet.stop()
    (node.kubelet.folder / "kubelet.sock").unlink(missing_ok=True)
    node.publish(node.pool())
    manager = manager_of(node.kernel, node.pools, node.ledger, node.kubelet.folder)
    running = asyncio.create_task(manager.run())
    await node.kubelet.until(lambda: "there is no" in manager.told)
    manager.servers[FAST].pacing.backoff.failures = 30  # as after hours
    await node.kubelet.start()
    await node.all_healthy()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def device(number: int, numa_node: int | None) -> PoolDevice:
    address = PciAddress(0, 1 + number // 256, number % 256 // 8, number % 8)
    return PoolDevice(address=address, driver="vfio-pci", numa_node=numa_node, healthy=True, reason=None)


@pytest.mark.parametrize("numa_node", [None, 0, 7])
def test_a_numa_node_that_is_unknown_is_left_out(numa_node: int | None) -> None:
    (one,) = _devices(DevicePool(resource_name=FAST, devices=(device(0, numa_node),))).devices
    assert [node.ID for node in one.topology.nodes] == ([] if numa_node is None else [numa_node])
    assert one.HasField("topology") is (numa_node is not None)


@pytest.mark.parametrize("number", [2048, 16384])
def test_the_list_of_many_functions_is_far_below_what_a_kubelet_takes(number: int) -> None:
    pool = DevicePool(resource_name=FAST, devices=tuple(device(n, 1) for n in range(number)))
    unhealthy = replace(pool, devices=tuple(replace(one, healthy=False) for one in pool.devices))
    assert max(_devices(pool).ByteSize(), _devices(unhealthy).ByteSize()) < MOST_BYTES / 4

"""A scrape of the device plugin: the kubelet's requests by resource and outcome, and its registrations."""

import time

import grpc
import pytest
from plugin_node import FAST, SLOW, Node
from scraped import Series, by, exported, names_of, scrape

from virtfn_deviceplugin.__main__ import _arguments
from virtfn_deviceplugin.metrics import measured
from virtfn_host.core.values.address import PciAddress
from virtfn_host.metrics import PLUGIN


async def scraped(node: Node, port: int) -> dict[str, Series]:
    async with exported(port, lambda: measured(node.manager, version="1", now=time.monotonic(), wall=2e9)):
        return await scrape(port)


def answers(found: dict[str, Series], resource: str = FAST) -> dict[str, float]:
    values = by(found["virtfn_allocations_total"], "resource", "outcome")
    return {outcome: value for (name, outcome), value in values.items() if name == resource}


async def test_a_scrape_has_every_metric_of_a_plugin_and_no_other(node: Node, unused_tcp_port: int) -> None:
    node.publish(node.pool())
    await node.all_healthy()
    await node.kubelet.allocate(FAST, str(node.vfs()[0]))
    found = await scraped(node, unused_tcp_port)
    assert set(found) == names_of(PLUGIN)
    assert answers(found) == {"granted": 1, "refused": 0, "failed": 0, "notStarted": 0}
    assert found["virtfn_kubelet_registrations_total"] == {(): 1}
    assert found["virtfn_build_info"] == {(("process", "deviceplugin"), ("version", "1")): 1}
    assert found["virtfn_last_turn_timestamp_seconds"][()] == pytest.approx(2e9, abs=10)


async def test_a_refused_request_and_a_container_that_may_not_start_count(node: Node, unused_tcp_port: int) -> None:
    node.publish(node.pool())
    await node.all_healthy()
    with pytest.raises(grpc.aio.AioRpcError):
        await node.kubelet.allocate(FAST, str(PciAddress(0, 9, 0, 0)))
    with pytest.raises(grpc.aio.AioRpcError):
        await node.kubelet.pre_start(FAST, str(node.vfs()[1]))
    found = answers(await scraped(node, unused_tcp_port))
    assert found == {"granted": 0, "refused": 1, "failed": 0, "notStarted": 1}


async def test_a_request_that_cannot_be_noted_has_failed(node: Node, unused_tcp_port: int) -> None:
    node.publish(node.pool())
    await node.all_healthy()
    node.ledger.unlink(missing_ok=True)
    node.ledger.mkdir()
    with pytest.raises(grpc.aio.AioRpcError):
        await node.kubelet.allocate(FAST, str(node.vfs()[0]))
    found = answers(await scraped(node, unused_tcp_port))
    assert found["granted"] == 0
    assert found["failed"] + found["refused"] == 1


async def test_a_resource_that_is_gone_has_no_series_and_its_registrations_still_count(
    node: Node, unused_tcp_port: int
) -> None:
    node.publish(node.pool(), node.pool(SLOW, 1))
    await node.all_healthy()
    await node.all_healthy(SLOW)
    node.publish(node.pool(SLOW, 1))
    await node.kubelet.until(lambda: list(node.manager.servers) == [SLOW])
    found = await scraped(node, unused_tcp_port)
    assert answers(found) == {}
    assert answers(found, SLOW)["granted"] == 0
    assert found["virtfn_kubelet_registrations_total"] == {(): 2}


@pytest.mark.parametrize(
    ("words", "port", "host"),
    [((), None, None), (("--metrics-port=8091",), 8091, None), (("--metrics-port=1", "--metrics-host=::1"), 1, "::1")],
)
def test_a_port_is_open_only_where_it_is_asked_for(words: tuple[str, ...], port: int | None, host: str | None) -> None:
    options = _arguments().parse_args(words)
    assert (options.metrics_port, options.metrics_host) == (port, host)

"""Metrics: bounded in number whatever names there are, and on a port of their own only where they are asked for."""

import asyncio
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from scraped import asked, exported, scrape

from virtfn_host import metrics
from virtfn_host.exporter import page
from virtfn_host.health import CONNECTIONS, Health
from virtfn_host.metrics import LABEL, METRICS, NAMES, OTHERS, Durations, Kind, Measured, bounded, one
from virtfn_host.ports import MetricsAddress, ill, open_ports

ROOT = Path(__file__).resolve().parents[3]


def pools(number: int) -> dict[metrics.Labels, float]:
    return {("n1", f"virtfn.dev/{i:05}", "free"): 1.0 for i in range(number)}


@pytest.mark.parametrize(
    ("number", "series"), [(0, 0), (1, 1), (NAMES, NAMES), (NAMES + 1, NAMES + 1), (9999, NAMES + 1)]
)
def test_so_many_names_have_a_series_of_their_own_and_the_others_share_one(number: int, series: int) -> None:
    found = bounded(metrics.FUNCTIONS, pools(number))
    assert len(found) == series
    assert sum(found.values()) == number, "none is lost"
    assert found.get(("n1", OTHERS, "free"), 0.0) == max(0, number - NAMES)


@given(st.dictionaries(st.tuples(st.text(), st.sampled_from(("granted", "refused"))), st.integers(1, 9), max_size=40))
@settings(max_examples=200, deadline=None)
def test_whatever_the_names_a_scrape_can_be_sent_and_parsed(values: dict[metrics.Labels, float]) -> None:
    body = page([Measured(metric=metrics.ALLOCATIONS, values=values)]).body.decode()
    (family,) = text_string_to_metric_families(body)
    assert sum(sample.value for sample in family.samples) == sum(values.values())


@pytest.mark.parametrize("name", ['"} 1\nvirtfn_leader 1\n', "\ud800", "x" * 5000, "a\nb", "\\", ""])
async def test_a_hostile_name_makes_no_other_series(name: str, unused_tcp_port: int) -> None:
    told = [Measured(metric=metrics.OFFERED, values={(name,): 3.0})]
    async with exported(unused_tcp_port, lambda: told):
        found = await scrape(unused_tcp_port)
    assert set(found) == {"virtfn_offered"}
    ((labels, value),) = found["virtfn_offered"].items()
    assert value == 3.0
    assert len(dict(labels)["resource"]) <= LABEL


async def test_what_is_gone_has_no_series_any_more(unused_tcp_port: int) -> None:
    told: list[dict[metrics.Labels, float]] = [
        {("virtfn.dev/a",): 1.0, ("virtfn.dev/b",): 2.0},
        {("virtfn.dev/b",): 2.0},
        {},
    ]

    def measured() -> Iterator[Measured]:
        yield Measured(metric=metrics.OFFERED, values=told.pop(0))

    async with exported(unused_tcp_port, measured):
        counts = [len((await scrape(unused_tcp_port)).get("virtfn_offered", {})) for _ in range(3)]
    assert counts == [2, 1, 0]


@pytest.mark.parametrize(
    ("seconds", "below"), [((), {}), ((0.01, 0.07), {"0.05": 1, "0.1": 2, "1800.0": 2}), ((4000.0,), {"1800.0": 0})]
)
def test_durations_are_counted_up_to_each_limit(seconds: tuple[float, ...], below: dict[str, int]) -> None:
    durations = Durations()
    for one_time in seconds:
        durations.took(one_time)
    buckets = dict(durations.buckets())
    assert buckets["+Inf"] == len(seconds)
    assert {bound: buckets[bound] for bound in below} == below
    assert durations.seconds == pytest.approx(sum(seconds))


async def test_health_and_metrics_are_two_ports_and_each_answers_its_own_page(
    unused_tcp_port_factory: Callable[[], int],
) -> None:
    health, port = unused_tcp_port_factory(), unused_tcp_port_factory()
    at = MetricsAddress(host="127.0.0.1", port=port)
    ports = await open_ports(health, lambda: ill(None), at, lambda: [one(metrics.LEADER, 1)])
    try:
        found = {
            (where, path): (await asked(where, path)).split(b" ", 2)[1]
            for where in (health, port)
            for path in ("/healthz", "/metrics", "/metrics?name[]=x", "/")
        }
    finally:
        await ports.close()
    assert {key for key, status in found.items() if status == b"200"} == {
        (health, "/healthz"),
        (port, "/metrics"),
        (port, "/metrics?name[]=x"),
    }


async def test_scrapers_that_hold_every_place_take_none_from_a_probe(
    unused_tcp_port_factory: Callable[[], int],
) -> None:
    health, port = unused_tcp_port_factory(), unused_tcp_port_factory()
    ports = await open_ports(health, lambda: Health(alive=True, text="ok"), MetricsAddress(host=None, port=port))
    held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS * 2)]
    try:
        assert (await asked(health, "/healthz")).startswith(b"HTTP/1.1 200 OK")
        assert (await asked(port)).startswith(b"HTTP/1.1 200 OK")
    finally:
        for _, writer in held:
            writer.close()
        await ports.close()


def test_where_no_metrics_are_asked_for_the_library_is_not_imported() -> None:
    program = """
import asyncio, sys
from virtfn_host.ports import MetricsAddress, ill, open_ports
async def run():
    await (await open_ports(0, lambda: ill(None))).close()
asyncio.run(run())
print("prometheus_client" in sys.modules)
"""
    environment = {"PYTHONPATH": str(ROOT / "host")}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_has_the_name_that_its_kind_asks_for(metric: metrics.Metric) -> None:
    assert metric.name.endswith("_total") is (metric.kind is Kind.COUNTER)
    assert metric.kind is not Kind.HISTOGRAM or metric.name.endswith("_seconds")
    assert metric.open_label is None or metric.open_label in metric.labels


def test_only_the_images_with_a_port_have_the_library() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    having = {name for name, needs in extras.items() if any(need.startswith("prometheus-client") for need in needs)}
    assert having == {metrics.CONTROLLER, metrics.AGENT, metrics.PLUGIN}

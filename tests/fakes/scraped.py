"""A scrape of a live exporter over TCP, parsed as Prometheus does it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager

from prometheus_client.parser import text_string_to_metric_families

from virtfn_host.health import Health
from virtfn_host.metrics import METRICS, Kind, Measured
from virtfn_host.ports import MetricsAddress, open_ports

Series = dict[tuple[tuple[str, str], ...], float]
"""The values of one metric by its labels."""


async def asked(port: int, path: str = "/metrics", host: str = "127.0.0.1") -> bytes:
    """Return the whole answer to a request."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return answer


async def scrape(port: int) -> dict[str, Series]:
    """Return the samples of a scrape by name, as rules and dashboards name them."""
    head, _, body = (await asked(port)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4"), head
    found: dict[str, Series] = {}
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


@asynccontextmanager
async def exported(port: int, measured: Callable[[], Iterable[Measured]]) -> AsyncIterator[None]:
    """Serve metrics at a port as the processes do."""
    ports = await open_ports(
        0, lambda: Health(alive=True, text="ok"), MetricsAddress(host="127.0.0.1", port=port), measured
    )
    try:
        yield
    finally:
        await ports.close()


def names_of(process: str) -> set[str]:
    """Return the names that a scrape of this process has when every metric has a value."""
    parts: Mapping[Kind, tuple[str, ...]] = {Kind.HISTOGRAM: ("_bucket", "_count", "_sum")}
    return {m.name + part for m in METRICS if process in m.processes for part in parts.get(m.kind, ("",))}


def by(series: Series, *labels: str) -> dict[tuple[str, ...], float]:
    """Return the values by some of their labels; each series has all of them."""
    return {tuple(dict(key)[label] for label in labels): value for key, value in series.items()}

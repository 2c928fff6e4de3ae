"""Writes metrics down as Prometheus reads them. The only file that imports prometheus_client.

`ports.py` imports it only where metrics are asked for, because the library takes 4 MB and a tenth of a second
(measured by hand). Its own counters are not used: values come from what the process knows (`metrics.py`).
"""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from virtfn_host.health import Page
from virtfn_host.metrics import Kind, Measured, bounded


def page(measured: Iterable[Measured]) -> Page:
    """Return the answer to a scrape."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Told(measured))
    return Page(body=generate_latest(registry), kind=CONTENT_TYPE_PLAIN_0_0_4)


class _Told(Collector):
    def __init__(self, measured: Iterable[Measured]) -> None:
        self._measured = measured

    def describe(self) -> Iterable[Family]:
        return ()  # nothing can be registered twice here

    def collect(self) -> Iterable[Family]:
        return (_family(one) for one in self._measured)


def _family(one: Measured) -> Family:
    metric = one.metric
    if metric.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(metric.name, metric.help)
        if one.durations is not None:
            histogram.add_metric((), list(one.durations.buckets()), one.durations.seconds)
        return histogram
    make = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    family = make(metric.name, metric.help, labels=metric.labels)
    for labels, value in sorted(bounded(metric, one.values).items()):
        family.add_metric(labels, value)
    return family

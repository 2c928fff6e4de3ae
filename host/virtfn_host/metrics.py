"""The metrics of all processes: the closed list of them, the values that a process hands over, and their bounds. Pure.

A process measures nothing for its metrics: when it is asked, it tells what it knows from its last turn, and the little
that it counts (`Durations`, and counters beside it). Only `exporter.py` knows how that is written down.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

NAMES = 200
"""Most pools, resources or policies of one process that have a series of their own; the others share one."""

OTHERS = "(others)"
"""The name of what has no series of its own. No object can have it."""

LABEL = 317
"""Most characters of a label's value: a domain, a slash and a name of a resource."""

BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""Upper limits of a histogram, in seconds: a turn at rest takes tenths, a plan of many PFs may take an hour."""

CONTROLLER, AGENT, PLUGIN = "controller", "agent", "deviceplugin"


class Kind(StrEnum):
    """What Prometheus may do with the values."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric: its name, and what people read of it."""

    name: str
    kind: Kind = Kind.GAUGE
    labels: tuple[str, ...] = ()
    open_label: str | None = None
    """The label whose values are names that users choose; the other labels have closed lists."""
    processes: tuple[str, ...]
    help: str


FUNCTIONS = Metric(
    name="virtfn_functions",
    labels=("node", "pool", "state"),
    open_label="pool",
    processes=(AGENT,),
    help="Functions of a pool, by state: free, inUse, unhealthy (no new pod gets it), inUseUnhealthy (in use, too).",
)
IN_USE = Metric(
    name="virtfn_in_use", processes=(AGENT,), help="Functions of pools that pods or programs of the node have."
)
OFFERED = Metric(
    name="virtfn_offered",
    labels=("resource",),
    open_label="resource",
    processes=(AGENT,),
    help="Functions that the kubelet offers to pods; absent while it does not answer.",
)
BLOCKED = Metric(
    name="virtfn_blocked",
    labels=("reason",),
    processes=(AGENT,),
    help="Changes that wait for a holder or for the machine, by reason; absent: none waits.",
)
NODE_READY = Metric(
    name="virtfn_node_ready",
    labels=("reason",),
    processes=(AGENT,),
    help="1 while the Ready condition of the SriovNode is True, else 0; one series, with the present reason.",
)
STUCK = Metric(
    name="virtfn_stuck_seconds",
    processes=(AGENT,),
    help="Seconds for which a write to a PCI device has been blocked; 0: none is.",
)
STEPS = Metric(
    name="virtfn_plan_steps_total",
    kind=Kind.COUNTER,
    labels=("step", "outcome"),
    processes=(AGENT,),
    help="Steps of plans that the host process ended, by kind and outcome: done, failed, notTried.",
)
APPLY = Metric(
    name="virtfn_apply_seconds", kind=Kind.HISTOGRAM, processes=(AGENT,), help="Seconds that the steps of a plan took."
)
TURN = Metric(
    name="virtfn_turn_seconds",
    kind=Kind.HISTOGRAM,
    processes=(CONTROLLER, AGENT),
    help="Seconds of one turn: the agent looks, acts and reports; the controller decides and writes.",
)
LAST_TURN = Metric(
    name="virtfn_last_turn_timestamp_seconds",
    processes=(CONTROLLER, AGENT, PLUGIN),
    help="When a turn of the process last ended, in seconds since 1970; a standby controller has none.",
)
ALLOCATIONS = Metric(
    name="virtfn_allocations_total",
    kind=Kind.COUNTER,
    labels=("resource", "outcome"),
    open_label="resource",
    processes=(PLUGIN,),
    help="Requests of the kubelet for containers: granted, refused, failed (a file or device could not be read or"
    " written), notStarted (a container that may not start with what it was given).",
)
REGISTRATIONS = Metric(
    name="virtfn_kubelet_registrations_total",
    kind=Kind.COUNTER,
    processes=(PLUGIN,),
    help="How often the kubelet has asked for a list of devices; more than one for each resource: the kubelet"
    " restarted, or a registration was lost.",
)
POLICY_NODES = Metric(
    name="virtfn_policy_nodes",
    labels=("policy", "state"),
    open_label="policy",
    processes=(CONTROLLER,),
    help="Nodes of a policy, by state: ready, changing, blocked, failed, withoutDevice. Only the leader tells.",
)
LEADER = Metric(name="virtfn_leader", processes=(CONTROLLER,), help="1: this controller leads; 0: it stands by.")
BUILD = Metric(
    name="virtfn_build_info",
    labels=("process", "version"),
    processes=(CONTROLLER, AGENT, PLUGIN),
    help="1; the labels name the process and its version.",
)

METRICS = (
    NODE_READY,
    FUNCTIONS,
    IN_USE,
    OFFERED,
    BLOCKED,
    STUCK,
    STEPS,
    APPLY,
    POLICY_NODES,
    LEADER,
    ALLOCATIONS,
    REGISTRATIONS,
    TURN,
    LAST_TURN,
    BUILD,
)
"""All metrics, in the order of docs/reference/metrics.md."""

Labels = tuple[str, ...]
"""The values of a metric's labels, in the metric's order."""


@dataclass(slots=True)
class Durations:
    """How long something took, as a histogram."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    """Number of times up to each of `BOUNDS` and above the one before it; the last: above all."""
    seconds: float = 0.0
    """All together."""

    def took(self, seconds: float) -> None:
        """Add one that took so long."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds

    def buckets(self) -> Iterator[tuple[str, int]]:
        """Yield each upper limit as Prometheus writes it, and how many were not above it."""
        total = 0
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), self.counts, strict=True):
            total += count
            yield bound, total


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The present values of one metric. What is gone has none."""

    metric: Metric
    values: Mapping[Labels, float] = field(default_factory=dict)
    durations: Durations | None = None
    """Of a histogram, instead of values."""


def one(metric: Metric, value: float) -> Measured:
    """Return the value of a metric without labels."""
    return Measured(metric=metric, values={(): value})


def built(process: str, version: str) -> Measured:
    """Return which version this process is."""
    return Measured(metric=BUILD, values={(process, version): 1})


def bounded(metric: Metric, values: Mapping[Labels, float]) -> dict[Labels, float]:
    """Return the values with at most `NAMES` names that users choose, the first by name; the others are added up."""
    found: dict[Labels, float] = {}
    own = frozenset(_own_names(metric, values))
    for labels, value in values.items():
        bound = tuple(_bound(metric, own, *pair) for pair in zip(metric.labels, labels, strict=True))
        found[bound] = found.get(bound, 0.0) + value
    return found


def _own_names(metric: Metric, values: Iterable[Labels]) -> list[str]:
    if metric.open_label is None:
        return []
    place = metric.labels.index(metric.open_label)
    return sorted({labels[place] for labels in values})[:NAMES]


def _bound(metric: Metric, own: frozenset[str], label: str, value: str) -> str:
    if label == metric.open_label and value not in own:
        return OTHERS
    return value.encode(errors="backslashreplace").decode()[:LABEL]  # half a character cannot be sent

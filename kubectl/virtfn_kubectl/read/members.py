"""Reads the Kubernetes objects beside virtfn's own: Nodes, pods and events, as far as the answers need them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from virtfn_operator.api.conditions import MESSAGE_LIMIT
from virtfn_operator.api.foreign import entries, mapping, number, text
from virtfn_operator.api.node_resources import allocatable, whole

CONTAINERS_LIMIT, CONDITIONS_LIMIT, TAINTS_LIMIT, LABELS_LIMIT = 256, 64, 256, 4096
NAME, MESSAGE = 253, MESSAGE_LIMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberSeen:
    """A Node of the cluster."""

    name: str
    ready: bool
    cordoned: bool
    kubelet: str
    """The kubelet's version, like `v1.31.2`."""
    system: str
    """The operating system, like `linux`."""
    labels: tuple[tuple[str, str], ...]
    offers: tuple[tuple[str, int], ...]
    """What the scheduler may give to pods, by resource name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSeen:
    """A pod, with what it asks for."""

    namespace: str
    name: str
    phase: str
    node: str
    """Empty until it is scheduled."""
    ending: bool
    reason: str
    message: str
    selector: tuple[tuple[str, str], ...]
    asks: tuple[tuple[str, int], ...]
    """Extended resources that it needs at one time."""
    component: str = ""
    """Its part of virtfn, like `agent`; empty for other pods."""
    waits: tuple[tuple[str, str], ...] = ()
    """Reason and message of each container that waits."""
    unscheduled: str = ""
    """Why the scheduler finds no node for it."""
    containers: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The pod as holders name it."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSeen:
    """An event of the cluster."""

    time: str
    kind: str
    """Normal or Warning."""
    reason: str
    message: str


def read_member(body: Mapping[str, Any]) -> MemberSeen:
    """Read a Node."""
    metadata, spec, status = (mapping(body.get(part)) for part in ("metadata", "spec", "status"))
    info = mapping(status.get("nodeInfo"))
    ready = [it for it in entries(status.get("conditions"), CONDITIONS_LIMIT) if it.get("type") == "Ready"]
    return MemberSeen(
        name=text(metadata.get("name"), NAME),
        ready=any(it.get("status") == "True" for it in ready),
        cordoned=spec.get("unschedulable") is True,
        kubelet=text(info.get("kubeletVersion"), 64),
        system=text(info.get("operatingSystem"), 64),
        labels=_pairs(metadata.get("labels")),
        offers=tuple(sorted(allocatable(body).items())),
    )


def read_pod(body: Mapping[str, Any]) -> PodSeen:
    """Read a Pod."""
    metadata, spec, status = (mapping(body.get(part)) for part in ("metadata", "spec", "status"))
    listed = [*_containers(status, "initContainerStatuses"), *_containers(status, "containerStatuses")]
    waiting = [mapping(mapping(it.get("state")).get("waiting")) for it in listed]
    return PodSeen(
        namespace=text(metadata.get("namespace"), NAME),
        name=text(metadata.get("name"), NAME),
        phase=text(status.get("phase"), 64),
        node=text(spec.get("nodeName"), NAME),
        ending="deletionTimestamp" in metadata,
        reason=text(status.get("reason"), NAME),
        message=text(status.get("message"), MESSAGE),
        selector=_pairs(spec.get("nodeSelector")),
        asks=_asks(spec),
        component=text(mapping(metadata.get("labels")).get("app.kubernetes.io/component"), NAME),
        waits=tuple((text(it.get("reason"), NAME), text(it.get("message"), MESSAGE)) for it in waiting if it),
        unscheduled=_unscheduled(status),
        containers=tuple(text(it.get("name"), NAME) for it in _containers(spec, "containers")),
    )


def read_event(body: Mapping[str, Any]) -> EventSeen:
    """Read an Event of v1."""
    times = (body.get(name) for name in ("lastTimestamp", "eventTime", "firstTimestamp"))
    return EventSeen(
        time=next((text(it, 64) for it in times if isinstance(it, str) and it), ""),
        kind=text(body.get("type"), 64),
        reason=text(body.get("reason"), NAME),
        message=" ".join(text(body.get("message"), MESSAGE).split()),
    )


def _containers(part: Mapping[str, Any], name: str) -> tuple[Mapping[str, Any], ...]:
    return entries(part.get(name), CONTAINERS_LIMIT)


def _asks(spec: Mapping[str, Any]) -> tuple[tuple[str, int], ...]:
    """Return the extended resources that a pod needs at one time, as the scheduler counts them.

    An init container runs beside the sidecars before it, and the containers run beside all sidecars.
    """
    together, most = Counter[str](), Counter[str]()
    for container in _containers(spec, "initContainers"):
        if container.get("restartPolicy") == "Always":  # a sidecar
            together += _limits(container)
        else:
            most |= together + _limits(container)
    for container in _containers(spec, "containers"):
        together += _limits(container)
    return tuple(sorted((most | together).items()))


def _limits(container: Mapping[str, Any]) -> Counter[str]:
    resources = mapping(container.get("resources"))
    listed = {**mapping(resources.get("requests")), **mapping(resources.get("limits"))}
    return Counter({name: count for name, value in listed.items() if extended(name) and (count := _whole(value))})


def extended(name: object) -> bool:
    """Whether a resource has a domain of its own, as those of device plugins have."""
    return isinstance(name, str) and "/" in name and not name.partition("/")[0].endswith("kubernetes.io")


def _whole(value: object) -> int:
    return whole(value) or number(value) or 0


def _unscheduled(status: Mapping[str, Any]) -> str:
    for item in entries(status.get("conditions"), CONDITIONS_LIMIT):
        if item.get("type") == "PodScheduled" and item.get("status") == "False":
            return text(item.get("message"), MESSAGE) or text(item.get("reason"), NAME)
    return ""


def _pairs(value: object) -> tuple[tuple[str, str], ...]:
    listed = list(mapping(value).items())[:LABELS_LIMIT]
    return tuple(sorted((key, item) for key, item in listed if isinstance(key, str) and isinstance(item, str)))


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonSeen:
    """A DaemonSet."""

    namespace: str
    name: str
    images: tuple[str, ...]


def read_daemon(body: Mapping[str, Any]) -> DaemonSeen:
    """Read a DaemonSet."""
    metadata = mapping(body.get("metadata"))
    template = mapping(mapping(mapping(body.get("spec")).get("template")).get("spec"))
    return DaemonSeen(
        namespace=text(metadata.get("namespace"), NAME),
        name=text(metadata.get("name"), NAME),
        images=tuple(text(it.get("image"), 1024) for it in _containers(template, "containers")),
    )


def read_labels(body: object) -> tuple[tuple[str, str], ...]:
    """Read the labels of an object."""
    return _pairs(mapping(mapping(body).get("metadata")).get("labels"))

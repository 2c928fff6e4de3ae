"""What the verbs ask of the cluster, and the values made of it."""

from collections.abc import Mapping, Sequence

from virtfn_kubectl.cluster import NODES_PATH, POLICIES_PATH, AskError, Cluster
from virtfn_kubectl.errors import MistakeError, NotThereError
from virtfn_kubectl.judge.explained import some
from virtfn_kubectl.read.fleet import Fleet, PolicySeen, read_each
from virtfn_kubectl.read.members import NAME, EventSeen, MemberSeen, PodSeen, read_event, read_member, read_pod
from virtfn_kubectl.read.whole import read_fleet
from virtfn_kubectl.screen import Screen
from virtfn_operator.api.foreign import mapping, text

MEMBERS_PATH = "/api/v1/nodes"
PODS_PATH = "/api/v1/pods"
OURS = "app.kubernetes.io/name=virtfn"
"""The label of every pod of the chart. It proves nothing: whoever may create a pod may give it this label."""

NOT_INSTALLED = (
    "the API server has no SriovPolicies: virtfn is not installed; `kubectl virtfn check` looks what it needs"
)


def fleet_of(cluster: Cluster) -> Fleet:
    """Return policies and nodes.

    Raises:
        NotThereError: virtfn is not installed.
        AskError: they may not be read, or the API server does not answer.
    """
    try:
        return read_fleet(cluster.items(POLICIES_PATH), cluster.items(NODES_PATH))
    except AskError as error:
        if error.reason == "NotFound":
            raise NotThereError(NOT_INSTALLED) from error
        raise


def policy_in(fleet: Fleet, name: str) -> PolicySeen:
    """Return the policy of this name.

    Raises:
        NotThereError: there is none; the message names those that are there.
    """
    if (policy := fleet.policy(name)) is None:
        names = [it.name for it in fleet.policies]
        listed = f"; there are policies {some(names)}" if names else ""
        raise NotThereError(f"there is no policy {name}{listed}")
    return policy


def members_of(cluster: Cluster, screen: Screen) -> tuple[MemberSeen, ...]:
    """Return the cluster's Nodes; nothing, after a complaint, where they may not be read."""
    bodies = cluster.items_or_none(MEMBERS_PATH, screen.complain) or []
    members, unread = read_each(bodies, "Node", read_member)
    for line in unread:
        screen.complain(line)
    return members


def pods_in(namespace: str) -> str:
    """Return the path of the pods of a namespace."""
    return f"/api/v1/namespaces/{namespace}/pods"


def pods_path(cluster: Cluster, namespace: str | None) -> str:
    """Return the path of virtfn's pods: those of the given namespace, or of the only one that has pods of the chart.

    Raises:
        MistakeError: pods of several namespaces have the chart's label; it is not known which are virtfn's.
        AskError: they may not be read.
    """
    places = [namespace] if namespace else _places(cluster)
    if len(places) > 1:
        raise MistakeError(f"{_several(places)}; name that of virtfn with -n")
    return pods_in(places[0]) if places else PODS_PATH


def _places(cluster: Cluster) -> list[str]:
    """Return the namespace of one pod of the chart, and that of one in another namespace, if there are such pods."""
    first = _place(cluster)
    other = _place(cluster, fieldSelector=f"metadata.namespace!={first}") if first else ""
    return [place for place in (first, other) if place]


def _place(cluster: Cluster, **query: str) -> str:
    body = cluster.first(PODS_PATH, labelSelector=OURS, **query)
    return text(mapping(mapping(body).get("metadata")).get("namespace"), NAME)


def _several(places: Sequence[str]) -> str:
    return f"pods of more than one namespace have virtfn's label, such as those of {' and '.join(places)}"


def pods_of_virtfn(cluster: Cluster, namespace: str | None, **query: str | int) -> tuple[PodSeen, ...]:
    """Return the pods of the chart, of the given namespace or of the only one that has some.

    Raises:
        MistakeError: pods of several namespaces have the chart's label.
        AskError: they may not be read.
    """
    pods, _ = read_each(cluster.items(pods_path(cluster, namespace), labelSelector=OURS, **query), "Pod", read_pod)
    return pods


def pods_on_node(cluster: Cluster, screen: Screen, node: str) -> tuple[PodSeen, ...] | None:
    """Return virtfn's pods on a node; None, after a complaint, where they are not known or may not be read."""
    try:
        places = _places(cluster)
    except AskError as error:
        screen.complain(str(error))
        return None
    if len(places) > 1:
        screen.complain(f"{_several(places)}; which of them are virtfn's on {node} is not known")
        return None
    which = {"labelSelector": OURS, "fieldSelector": f"spec.nodeName={node}"}
    bodies = cluster.items_or_none(pods_in(places[0]) if places else PODS_PATH, screen.complain, **which)
    return None if bodies is None else read_each(bodies, "Pod", read_pod)[0]


def pod_of(cluster: Cluster, namespace: str, name: str) -> PodSeen | None:
    """Return one pod, or None where there is none.

    Raises:
        AskError: it may not be read.
    """
    try:
        body = cluster.get(f"{pods_in(namespace)}/{name}")
    except AskError as error:
        if error.reason == "NotFound":
            return None
        raise
    return read_pod(body) if isinstance(body, Mapping) else None


def events_of(cluster: Cluster, screen: Screen, pod: PodSeen) -> tuple[EventSeen, ...] | None:
    """Return the events of a pod; None, after a complaint, where they may not be read."""
    which = f"involvedObject.kind=Pod,involvedObject.name={pod.name}"
    path = f"/api/v1/namespaces/{pod.namespace}/events"
    bodies = cluster.items_or_none(path, screen.complain, fieldSelector=which)
    return None if bodies is None else read_each(bodies, "Event", read_event)[0]

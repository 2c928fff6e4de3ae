"""What the verbs ask of the cluster, and the values made of it."""

from collections.abc import Mapping

from virtfn_kubectl.cluster import NODES_PATH, POLICIES_PATH, AskError, Cluster
from virtfn_kubectl.errors import NotThereError
from virtfn_kubectl.judge.explained import some
from virtfn_kubectl.read.fleet import Fleet, PolicySeen, read_each
from virtfn_kubectl.read.members import EventSeen, MemberSeen, PodSeen, read_event, read_member, read_pod
from virtfn_kubectl.read.whole import read_fleet
from virtfn_kubectl.screen import Screen

MEMBERS_PATH = "/api/v1/nodes"
PODS_PATH = "/api/v1/pods"
OURS = "app.kubernetes.io/name=virtfn"
"""The label of every pod of the chart."""

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


def pods_path(namespace: str | None) -> str:
    """Return the path of the pods of one namespace, or of all."""
    return f"/api/v1/namespaces/{namespace}/pods" if namespace else PODS_PATH


def pods_of_virtfn(cluster: Cluster, namespace: str | None, **query: str | int) -> tuple[PodSeen, ...]:
    """Return the pods of the chart, of one namespace or of all.

    Raises:
        AskError: they may not be read.
    """
    pods, _ = read_each(cluster.items(pods_path(namespace), labelSelector=OURS, **query), "Pod", read_pod)
    return pods


def pods_on_node(cluster: Cluster, screen: Screen, node: str) -> tuple[PodSeen, ...] | None:
    """Return virtfn's pods on a node; None, after a complaint, where they may not be read."""
    which = {"labelSelector": OURS, "fieldSelector": f"spec.nodeName={node}"}
    bodies = cluster.items_or_none(PODS_PATH, screen.complain, **which)
    return None if bodies is None else read_each(bodies, "Pod", read_pod)[0]


def pod_of(cluster: Cluster, namespace: str, name: str) -> PodSeen | None:
    """Return one pod, or None where there is none.

    Raises:
        AskError: it may not be read.
    """
    try:
        body = cluster.get(f"{pods_path(namespace)}/{name}")
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

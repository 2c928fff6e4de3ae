"""The verbs that answer from what the API server has: status, nodes, why."""

import argparse
from collections.abc import Callable

from virtfn_host.core.values.codec import encode
from virtfn_kubectl.asked import events_of, fleet_of, members_of, pod_of, pods_on_node
from virtfn_kubectl.cluster import AskError, Cluster
from virtfn_kubectl.errors import MistakeError, NotThereError
from virtfn_kubectl.judge.explained import Explained, some
from virtfn_kubectl.judge.overview import overview
from virtfn_kubectl.judge.why_node import why_node, why_unreported
from virtfn_kubectl.judge.why_pod import why_pod
from virtfn_kubectl.judge.why_policy import why_policy
from virtfn_kubectl.names import split
from virtfn_kubectl.read.fleet import Fleet
from virtfn_kubectl.read.members import MemberSeen, PodSeen
from virtfn_kubectl.screen import Screen
from virtfn_kubectl.statuses import NOTHING_MATCHES, status_of
from virtfn_kubectl.tell.explained_text import explained_text
from virtfn_kubectl.tell.overview_text import nodes_text, overview_text


def show_status(_: argparse.Namespace, cluster: Cluster, screen: Screen) -> int:
    """Print policies, nodes, problems and versions."""
    fleet = fleet_of(cluster)
    found = overview(fleet)
    screen.document(encode(found))
    screen.say(overview_text(found, screen.now, screen.paint))
    return status_of(found.stand) if fleet.policies or fleet.nodes or fleet.unread else NOTHING_MATCHES


def show_nodes(_: argparse.Namespace, cluster: Cluster, screen: Screen) -> int:
    """Print the nodes, with what their Nodes say."""
    fleet = fleet_of(cluster)
    found, members = overview(fleet), members_of(cluster, screen)
    beside = [{"name": it.name, "ready": it.ready, "cordoned": it.cordoned, "kubelet": it.kubelet} for it in members]
    screen.document({"nodes": encode(found.nodes), "members": beside, "unread": encode(found.unread)})
    screen.say(nodes_text(found.nodes, members, screen.now, screen.paint))
    for line in found.unread:
        screen.complain(line)
    alone = overview(Fleet(policies=(), nodes=fleet.nodes, unread=fleet.unread))
    return status_of(alone.stand) if fleet.nodes or fleet.unread else NOTHING_MATCHES


def show_why(options: argparse.Namespace, cluster: Cluster, screen: Screen) -> int:
    """Print why a policy, a node or a pod is as it is."""
    kind, name = split(options.what)
    fleet = fleet_of(cluster)
    found = _explained(kind, name, fleet, options.namespace, cluster, screen)
    screen.document(encode(found))
    screen.say(explained_text(found, screen.now, screen.paint))
    return status_of(found.verdict.stand)


def _explained(
    kind: str, name: str, fleet: Fleet, namespace: str | None, cluster: Cluster, screen: Screen
) -> Explained:
    answers: dict[str, Callable[[], Explained | None]] = {
        "policy": lambda: _policy(name, fleet, cluster, screen),
        "node": lambda: _node(name, fleet, cluster, screen),
    }
    there = {word: it for word, answer in answers.items() if kind in ("", word) and (it := answer()) is not None}
    if kind in ("", "pod"):
        try:
            pod = _pod(name, namespace, fleet, cluster, screen)
        except AskError as error:
            if not there:
                raise
            screen.complain(str(error))
            pod = None
        there |= {} if pod is None else {"pod": pod}
    if not there and kind in ("", "node") and (node := _unreported(name, fleet, cluster, screen)) is not None:
        there["node"] = node
    if len(there) > 1:
        raise MistakeError(f"{name} is a {' and a '.join(there)}: write {' or '.join(f'{w}/{name}' for w in there)}")
    for one in there.values():
        return one
    raise NotThereError(_nothing(kind, name, fleet, cluster, namespace))


def _policy(name: str, fleet: Fleet, cluster: Cluster, screen: Screen) -> Explained | None:
    policy = fleet.policy(name)
    return None if policy is None else why_policy(fleet, policy, members_of(cluster, screen))


def _node(name: str, fleet: Fleet, cluster: Cluster, screen: Screen) -> Explained | None:
    node = fleet.node(name)
    return None if node is None else why_node(fleet, node, *_beside(name, cluster, screen))


def _unreported(name: str, fleet: Fleet, cluster: Cluster, screen: Screen) -> Explained | None:
    return why_unreported(fleet, name, *_beside(name, cluster, screen))


def _beside(name: str, cluster: Cluster, screen: Screen) -> tuple[MemberSeen | None, tuple[PodSeen, ...] | None]:
    """Return the Node of this name and virtfn's pods on it; None where they may not be read."""
    member = next((it for it in members_of(cluster, screen) if it.name == name), None)
    return member, pods_on_node(cluster, screen, name)


def _pod(name: str, namespace: str | None, fleet: Fleet, cluster: Cluster, screen: Screen) -> Explained | None:
    pod = pod_of(cluster, namespace or cluster.namespace(), name)
    if pod is None:
        return None
    return why_pod(fleet, pod, members_of(cluster, screen), events_of(cluster, screen, pod))


def _nothing(kind: str, name: str, fleet: Fleet, cluster: Cluster, namespace: str | None) -> str:
    where = f" in namespace {namespace or cluster.namespace()}" if kind in ("", "pod") else ""
    names = [it.name for it in fleet.policies] if kind != "node" else [it.name for it in fleet.nodes]
    listed = f"; there {'are nodes' if kind == 'node' else 'are policies'} {some(names)}" if names else ""
    return f"there is no {kind or 'policy, node or pod'} {name}{where}{'' if kind == 'pod' else listed}"

"""The verb check: looks at a cluster before virtfn is installed."""

import argparse
from collections.abc import Callable
from typing import Any, TypeVar

from virtfn_host.core.values.codec import encode
from virtfn_kubectl.asked import MEMBERS_PATH
from virtfn_kubectl.cluster import AskError, Cluster
from virtfn_kubectl.judge.preflight import ClusterFacts, Level, Unseen, preflight
from virtfn_kubectl.read.fleet import read_each
from virtfn_kubectl.read.members import read_daemon, read_labels, read_member
from virtfn_kubectl.screen import Screen
from virtfn_kubectl.statuses import DONE, REFUSED
from virtfn_kubectl.tell.findings_text import findings_text
from virtfn_operator.api.foreign import entries, mapping, text

NAMESPACE = "virtfn-system"
DAEMONS_PATH = "/apis/apps/v1/daemonsets"
GROUPS_LIMIT = 4096
NEEDED = ("customresourcedefinitions.apiextensions.k8s.io", "clusterroles.rbac.authorization.k8s.io")

_Found = TypeVar("_Found")


def show_check(options: argparse.Namespace, cluster: Cluster, screen: Screen) -> int:
    """Print whether virtfn can be installed."""
    findings = preflight(facts_of(cluster, options.namespace or NAMESPACE))
    bad = any(finding.level is Level.BAD for finding in findings)
    screen.document({"findings": encode(findings), "possible": not bad})
    screen.say(findings_text(findings, screen.paint))
    return REFUSED if bad else DONE


def facts_of(cluster: Cluster, namespace: str) -> ClusterFacts:
    """Return what is known of a cluster; what may not be read is left out and said.

    Raises:
        AskError: the API server does not even tell its version.
    """
    unseen: list[Unseen] = []

    def seen(ask: Callable[[], _Found]) -> _Found | None:
        try:
            return ask()
        except AskError as error:
            unseen.append(Unseen(text=str(error), forbidden=error.reason == "Forbidden"))
            return None

    server = text(mapping(cluster.get("/version")).get("gitVersion"), 64)
    groups = seen(lambda: cluster.get("/apis"))
    members = seen(lambda: cluster.items(MEMBERS_PATH))
    daemons = seen(lambda: cluster.items(DAEMONS_PATH))
    there, labels = seen(lambda: _namespace(cluster, namespace)) or (None, ())
    may_install, because = seen(lambda: _may_install(cluster)) or (None, "")
    return ClusterFacts(
        namespace=namespace,
        server=server,
        groups=None if groups is None else _groups(groups),
        there=there,
        labels=labels,
        members=None if members is None else read_each(members, "Node", read_member)[0],
        daemons=None if daemons is None else read_each(daemons, "DaemonSet", read_daemon)[0],
        may_install=may_install,
        because=because,
        unseen=tuple(unseen),
    )


def _groups(answer: Any) -> frozenset[str]:
    return frozenset(text(it.get("name"), 253) for it in entries(mapping(answer).get("groups"), GROUPS_LIMIT))


def _may_install(cluster: Cluster) -> tuple[bool, str]:
    """Return whether the user may create what the chart has, and the API server's reason if not."""
    answers = (cluster.may("create", kind) for kind in NEEDED)
    return next((it for it in answers if not it[0]), (True, ""))


def _namespace(cluster: Cluster, namespace: str) -> tuple[bool, tuple[tuple[str, str], ...]]:
    """Return whether the namespace is there, and its labels."""
    try:
        return True, read_labels(cluster.get(f"/api/v1/namespaces/{namespace}"))
    except AskError as error:
        if error.reason == "NotFound":
            return False, ()
        raise

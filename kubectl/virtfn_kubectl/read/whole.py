"""Reads the lists of both kinds into one value."""

from collections.abc import Iterable

from virtfn_kubectl.read.fleet import Fleet, read_each
from virtfn_kubectl.read.nodes import read_node_seen
from virtfn_kubectl.read.policies import read_policy_seen
from virtfn_operator.api import NODE_KIND, POLICY_KIND


def read_fleet(policies: Iterable[object], nodes: Iterable[object]) -> Fleet:
    """Return policies by precedence, and nodes by name."""
    seen_policies, unread_policies = read_each(policies, POLICY_KIND, read_policy_seen)
    seen_nodes, unread_nodes = read_each(nodes, NODE_KIND, read_node_seen)
    return Fleet(
        policies=tuple(sorted(seen_policies, key=lambda it: it.policy.rank)),
        nodes=tuple(sorted(seen_nodes, key=lambda it: it.name)),
        unread=unread_policies + unread_nodes,
    )

"""merge(policies, nodes) -> what every node is asked, in the order in which policies claim. Pure.

What a policy gets of a device is decided on the node, where the devices are (`core/resolve.py`). A policy that cannot
be read keeps what it had: an edit that goes wrong must not take functions away, and the next good one replaces it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from virtfn_host.core.wanted import NodeConfig, PolicyConfig, Rejected
from virtfn_operator.api.policy import Policy
from virtfn_operator.api.selector import matches


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node that runs the agent, its labels and what it is asked now."""

    name: str
    labels: Mapping[str, str]
    config: NodeConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What every node should be asked, and every policy that cannot be carried out as it stands."""

    configs: Mapping[str, NodeConfig]
    rejected: tuple[Rejected, ...]


def merge(policies: Iterable[Policy], nodes: Iterable[Node]) -> Merged:
    """Ordered by priority, creation and name, whatever order the arguments are in."""
    ranked = sorted(policies, key=lambda policy: policy.rank)
    return Merged(
        configs={node.name: _config(ranked, node) for node in sorted(nodes, key=lambda node: node.name)},
        rejected=tuple(policy.config for policy in ranked if isinstance(policy.config, Rejected)),
    )


def _config(ranked: list[Policy], node: Node) -> NodeConfig:
    claims = (_claim(policy, node) for policy in ranked)
    return NodeConfig(policies=tuple(claim for claim in claims if claim is not None))


def _claim(policy: Policy, node: Node) -> PolicyConfig | None:
    if isinstance(policy.config, Rejected):
        return next((kept for kept in node.config.policies if kept.uid == policy.uid), None)
    return policy.config if matches(policy.selector, node.labels) else None

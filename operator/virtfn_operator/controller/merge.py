"""merge(policies, nodes) -> what every node is asked, in the order in which policies claim. Pure.

What a policy gets of a device is decided on the node, where the devices are (`core/turn/resolve.py`). A policy that
cannot be read keeps what it had: an edit that goes wrong must not take functions away, and the next good one replaces
it.

One node's policies fit into one SriovNode, which the API server's store bounds. Where they do not, what the node is
asked already comes first, then the others by their rank; who is left out is told so. Nobody's policy can push out
another that is being served.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from virtfn_host.core.values.desired import NodeConfig, PolicyConfig, Rejected
from virtfn_host.core.values.reasons import Reason
from virtfn_operator.api.node_spec import POLICIES_LIMIT, SPEC_LIMIT, AskedSpec, Wires
from virtfn_operator.api.policy import Policy
from virtfn_operator.api.selector import matches

NOTHING = NodeConfig(policies=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node that runs the agent, its labels and what it is asked now."""

    name: str
    labels: Mapping[str, str]
    config: NodeConfig = NOTHING
    asked: AskedSpec | None = None
    """What it is asked now, unread; looked into after `config`."""
    garbled: bool = False
    """What it is asked now cannot be read at all."""

    def before(self, uid: str) -> PolicyConfig | Rejected | None:
        """What is asked of it for this policy now; Rejected when nobody can tell."""
        for kept in self.config.policies:
            if kept.uid == uid:
                return kept
        if self.garbled:
            return Rejected(policy="", device=None, reason=Reason.UNREADABLE, message="spec cannot be read")
        return self.asked.policy(uid) if self.asked else None

    @property
    def uids(self) -> frozenset[str]:
        """Policies that it is asked to carry out now."""
        return frozenset(kept.uid for kept in self.config.policies) | (self.asked.uids if self.asked else frozenset())


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What every node should be asked."""

    configs: Mapping[str, NodeConfig]
    untouched: frozenset[str] = frozenset()
    """Nodes whose spec stays as it is: a policy keeps what it had there, and nobody can tell what that was."""
    left_out: Mapping[str, frozenset[str]]
    """Node to the uids of policies for which its SriovNode has no room."""


@dataclass(frozen=True, slots=True)
class _Claim:
    uid: str
    wanted: PolicyConfig | None
    """None: only what it had before."""
    before: PolicyConfig | None = None


class _UnsureError(Exception):
    """Nobody can tell what a policy had on this node."""


def merge(
    policies: Iterable[Policy], nodes: Iterable[Node], *, wires: Wires | None = None, lost: bool = False
) -> Merged:
    """Ordered by priority, creation and name, whatever order the arguments are in.

    Args:
        lost: a policy object could not be read at all; then what nodes are asked for unknown policies stays.
    """
    ranked = sorted(policies, key=lambda policy: policy.rank)
    known = {policy.uid for policy in ranked}
    sizes = wires or Wires()
    configs: dict[str, NodeConfig] = {}
    untouched: set[str] = set()
    left_out: dict[str, frozenset[str]] = {}
    for node in sorted(nodes, key=lambda node: node.name):
        try:
            claims = [claim for policy in ranked if (claim := _claim(policy, node)) is not None]
            claims += _orphans(node, known) if lost else []
        except _UnsureError:
            configs[node.name] = node.config
            untouched.add(node.name)
            continue
        configs[node.name], missing = _fit(claims, node, sizes)
        if missing:
            left_out[node.name] = missing
    return Merged(configs=configs, untouched=frozenset(untouched), left_out=left_out)


def _claim(policy: Policy, node: Node) -> _Claim | None:
    if not isinstance(policy.config, Rejected):
        return _Claim(policy.uid, policy.config) if matches(policy.selector, node.labels) else None
    kept = _kept(node, policy.uid)
    return None if kept is None else _Claim(policy.uid, None, kept)


def _kept(node: Node, uid: str) -> PolicyConfig | None:
    kept = node.before(uid)
    if isinstance(kept, Rejected):
        raise _UnsureError
    return kept


def _orphans(node: Node, known: Set[str]) -> list[_Claim]:
    kept = [(uid, _kept(node, uid)) for uid in sorted(node.uids - known)]
    return [_Claim(uid, None, before) for uid, before in kept if before is not None]


def _fit(claims: Sequence[_Claim], node: Node, sizes: Wires) -> tuple[NodeConfig, frozenset[str]]:
    """As many claims as one SriovNode holds, in their order; and the uids of those that it does not hold."""
    all_of_them = [claim.wanted or claim.before for claim in claims]
    wanted = tuple(policy for policy in all_of_them if policy is not None)
    if len(wanted) <= POLICIES_LIMIT and sum(map(sizes.size, wanted)) <= SPEC_LIMIT:
        return NodeConfig(policies=wanted), frozenset()
    chosen: dict[int, PolicyConfig] = {}
    room, served = SPEC_LIMIT, node.uids
    for at, claim in enumerate(claims):  # what is served now keeps its place
        if claim.uid in served and (before := claim.before or _served(node, claim, sizes)) is not None:
            chosen[at], room = before, room - sizes.size(before)
    for at, claim in enumerate(claims):
        held = sizes.size(chosen[at]) if at in chosen else 0
        fits = claim.wanted is not None and sizes.size(claim.wanted) - held <= room
        if claim.wanted is not None and fits and (at in chosen or len(chosen) < POLICIES_LIMIT):
            chosen[at], room = claim.wanted, room + held - sizes.size(claim.wanted)
    policies = tuple(chosen[at] for at in sorted(chosen))
    missing = frozenset(claim.uid for at, claim in enumerate(claims) if chosen.get(at) is not all_of_them[at])
    return NodeConfig(policies=policies), missing


def _served(node: Node, claim: _Claim, sizes: Wires) -> PolicyConfig | None:
    """What is asked for the policy now; where that is what is wanted, it needs not be read on each of 5,000 nodes."""
    if claim.wanted is not None and node.asked is not None and node.asked.entry(claim.uid) == sizes.of(claim.wanted):
        return claim.wanted
    before = node.before(claim.uid)
    return before if isinstance(before, PolicyConfig) else None

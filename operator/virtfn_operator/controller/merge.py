"""merge(policies, nodes): the policies that every node is asked to carry out, by precedence. Pure.

The node decides what each policy gets of its devices (`core/turn/resolve.py`). A policy that cannot be read keeps what
it had: a bad edit must not take functions away, and the next good one replaces it.

The policies of one node must fit into one SriovNode, whose size the API server's store bounds. Where they do not fit,
the policies that the node is asked to carry out already come first, then the others by rank. So a new policy cannot
push out one that is being served. The status of a policy that is left out says so.
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
    """A node that runs the agent, with its labels and what it is asked now."""

    name: str
    labels: Mapping[str, str]
    config: NodeConfig = NOTHING
    asked: AskedSpec | None = None
    """What it is asked now, not parsed; looked up after `config`."""
    garbled: bool = False
    """Whether what it is asked now cannot be read at all."""

    def before(self, uid: str) -> PolicyConfig | Rejected | None:
        """Return what it is asked for this policy now; Rejected when that is unknown."""
        for kept in self.config.policies:
            if kept.uid == uid:
                return kept
        if self.garbled:
            return Rejected(policy="", device=None, reason=Reason.UNREADABLE, message="spec cannot be read")
        return self.asked.policy(uid) if self.asked else None

    @property
    def uids(self) -> frozenset[str]:
        """The uids of the policies that it is asked to carry out now."""
        return frozenset(kept.uid for kept in self.config.policies) | (self.asked.uids if self.asked else frozenset())


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """The policies that every node should be asked to carry out."""

    configs: Mapping[str, NodeConfig]
    untouched: frozenset[str] = frozenset()
    """Nodes whose spec stays as it is: a policy keeps what it had there, but what it had is unknown."""
    left_out: Mapping[str, frozenset[str]]
    """By node, the uids of policies for which its SriovNode has no room."""


@dataclass(frozen=True, slots=True)
class _Claim:
    uid: str
    wanted: PolicyConfig | None
    """None where the policy keeps what it had before."""
    before: PolicyConfig | None = None


class _UnsureError(Exception):
    """It is unknown what a policy had on this node."""


def merge(
    policies: Iterable[Policy], nodes: Iterable[Node], *, wires: Wires | None = None, lost: bool = False
) -> Merged:
    """Return what every node should be asked, ordered by priority, creation time and name.

    Args:
        policies: all policies, in any order.
        nodes: all nodes that run the agent, in any order.
        wires: the JSON of policies, to share between calls.
        lost: whether a policy object could not be read at all; then nodes keep what unknown policies asked.
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
    """Return as many claims as one SriovNode holds, in their order, and the uids of the others."""
    all_of_them = [claim.wanted or claim.before for claim in claims]
    wanted = tuple(policy for policy in all_of_them if policy is not None)
    if len(wanted) <= POLICIES_LIMIT and sum(map(sizes.size, wanted)) <= SPEC_LIMIT:
        return NodeConfig(policies=wanted), frozenset()
    chosen: dict[int, PolicyConfig] = {}
    room, served = SPEC_LIMIT, node.uids
    for at, claim in enumerate(claims):  # policies that are served now keep their place
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
    """What is asked for the policy now. If that equals the wanted config, its JSON is not parsed, as on 5,000 nodes."""
    if claim.wanted is not None and node.asked is not None and node.asked.entry(claim.uid) == sizes.of(claim.wanted):
        return claim.wanted
    before = node.before(claim.uid)
    return before if isinstance(before, PolicyConfig) else None

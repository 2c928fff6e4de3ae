"""Everything that `kubectl virtfn` knows of policies and nodes, as frozen values."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from virtfn_host.core.values.desired import PolicyConfig
from virtfn_operator.api.conditions import READY, Condition, find
from virtfn_operator.api.foreign import ERRORS, mapping, text
from virtfn_operator.api.node_state import NodeState
from virtfn_operator.api.node_status import BlockedStatus, FunctionStatus, PoolStatus
from virtfn_operator.api.policy import Policy

NAME_LIMIT = 253

_Read = TypeVar("_Read")


@dataclass(frozen=True, slots=True, kw_only=True)
class CountsSeen:
    """The nodes of a policy's status, by how it stands there."""

    matching: int = 0
    ready: int = 0
    changing: int = 0
    blocked: int = 0
    failed: int = 0
    without_device: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemSeen:
    """One entry of a policy's `status.problems`."""

    node: str
    device: str | None
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutSeen:
    """A policy's `status.rollout`: who has a turn, who is next, what holds further turns."""

    turns: tuple[str, ...] = ()
    waiting: int = 0
    next: tuple[str, ...] = ()
    """The first of those that wait, in their order."""
    paused: bool = False
    stopped_by: str = ""
    """The node whose failure holds further turns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySeen:
    """A SriovPolicy, its spec and status."""

    policy: Policy
    answered: bool
    """Whether the status answers its last edit."""
    counts: CountsSeen
    problems: tuple[ProblemSeen, ...]
    conditions: tuple[Condition, ...]
    rollout: RolloutSeen = RolloutSeen()

    @property
    def name(self) -> str:
        """The policy's name."""
        return self.policy.name

    @property
    def resources(self) -> tuple[str, ...]:
        """The full resource names that it offers."""
        config = self.policy.config
        if self.policy.ending or not isinstance(config, PolicyConfig):
            return ()
        return tuple(sorted(set(config.resource_names)))

    @property
    def ready(self) -> Condition | None:
        """The condition Ready."""
        return find(self.conditions, READY)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSeen:
    """A SriovNode, its spec and status."""

    state: NodeState
    functions: tuple[FunctionStatus, ...] = ()
    pools: tuple[PoolStatus, ...] = ()
    blocked: tuple[BlockedStatus, ...] = ()
    agent_version: str = ""
    kernel: str = ""
    pfs: int = 0
    vfs: int = 0
    in_use: int = 0
    asked: tuple[str, ...] = ()
    """Names of the policies that its spec asks for."""
    unread: tuple[str, ...] = ()
    """Entries of the status that cannot be read, one line each."""

    @property
    def name(self) -> str:
        """The node's name."""
        return self.state.name

    @property
    def ready(self) -> Condition | None:
        """The condition Ready."""
        return find(self.state.conditions, READY)

    @property
    def may_change(self) -> bool:
        """Whether the controller gave it the turn for a disruptive change."""
        return self.state.spec is not None and self.state.spec.may_change


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """All policies, by precedence, and all nodes, by name."""

    policies: tuple[PolicySeen, ...]
    nodes: tuple[NodeSeen, ...]
    unread: tuple[str, ...] = ()
    """Objects that cannot be read, one line each."""

    def policy(self, name: str) -> PolicySeen | None:
        """Return the policy of this name."""
        return next((it for it in self.policies if it.name == name), None)

    def node(self, name: str) -> NodeSeen | None:
        """Return the node of this name."""
        return next((it for it in self.nodes if it.name == name), None)

    def nodes_of(self, policy: PolicySeen) -> tuple[NodeSeen, ...]:
        """Return the nodes that are asked to carry out a policy, or report on it."""
        return tuple(node for node in self.nodes if policy.name in node.asked or policy.policy.uid in node.state.by_uid)


def read_each(
    bodies: Iterable[object], kind: str, read: Callable[[Mapping[str, Any]], _Read]
) -> tuple[tuple[_Read, ...], tuple[str, ...]]:
    """Read objects one by one; return those that could be read, and a line for each other one."""
    found: list[_Read] = []
    unread: list[str] = []
    for number, body in enumerate(bodies):
        try:
            found.append(read(_object(body)))
        except ERRORS as error:  # no error of one object may hide the others
            unread.append(f"{kind} {name_of(body) or f'number {number + 1} of the list'} cannot be read: {error}")
    return tuple(found), tuple(unread)


def name_of(body: object) -> str:
    """Return an object's name, or an empty text."""
    return text(mapping(mapping(body).get("metadata")).get("name"), NAME_LIMIT)


def _object(body: object) -> Mapping[str, Any]:
    if not isinstance(body, Mapping):
        raise TypeError("it is not an object")
    if not name_of(body):
        raise ValueError("it has no name")
    return body

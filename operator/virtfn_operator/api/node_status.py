"""SriovNode.status, field for field as the wire has it: `wire(NodeStatus)` is the JSON, lowerCamelCase, without nulls.

The CRD's schema has exactly these fields (tests/test_house.py compares them).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from virtfn_host.core.codec import encode
from virtfn_operator.api.conditions import Condition


class State(StrEnum):
    """How one policy stands on one node. Rejected, blocked, failed: three words, three remedies."""

    READY = "Ready"
    CHANGING = "Changing"
    BLOCKED = "Blocked"
    FAILED = "Failed"
    REJECTED = "Rejected"
    WITHOUT_DEVICE = "WithoutDevice"


@dataclass(frozen=True, slots=True, kw_only=True)
class VfRun:
    """VFs of one PF that are alike in everything said here."""

    indexes: str
    """`0-3,6`."""
    driver: str | None
    pool: str | None
    """The resource name that offers them."""
    held_by: tuple[str, ...]
    """`pod default/dpdk-0`, `vfio device is open`; empty when they are free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionStatus:
    """One PF and its VFs, or a function that is handed out itself."""

    address: str
    vendor: str
    device: str
    class_: str
    netdev: str | None
    driver: str | None
    numa_node: int | None
    iommu_group: int | None
    total_vfs: int | None
    """None: it can make none."""
    num_vfs: int
    pool: str | None
    """The resource name that offers the function itself."""
    held_by: tuple[str, ...]
    """Who holds the function itself, when it is offered."""
    policies: tuple[str, ...]
    """Every policy with a claim on it."""
    vfs: tuple[VfRun, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatus:
    """What pods are offered under one resource name."""

    resource_name: str
    capacity: int
    healthy: int
    in_use: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockedStatus:
    """Something that waits for a holder or for the machine."""

    device: str
    reason: str
    message: str
    pods: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStatus:
    """What there is still to do."""

    steps: int
    disruptive: bool
    """Some VF that exists now would be taken away or rebound: needs `spec.mayChange`."""
    blocked: tuple[BlockedStatus, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyOutcome:
    """How one policy stands on this node."""

    name: str
    uid: str
    generation: int
    state: State
    reason: str
    message: str
    device: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedStatus:
    """A claim that cannot stand: the user must change input."""

    policy: str
    device: str | None
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSummary:
    """For the columns of `kubectl get svn`."""

    pfs: int
    vfs: int
    in_use: int
    pools: str
    """`virtfn.dev/fast=3/4`: healthy of capacity, comma separated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """The whole status; `plan` is there while there is something to do."""

    observed_generation: int
    boot_id: str
    agent_version: str
    kernel: str
    functions: tuple[FunctionStatus, ...]
    pools: tuple[PoolStatus, ...]
    plan: PlanStatus | None
    policies: tuple[PolicyOutcome, ...]
    rejected: tuple[RejectedStatus, ...]
    summary: NodeSummary
    conditions: tuple[Condition, ...]


def wire(value: object) -> Any:
    """JSON-able form; None is left out, because a structural schema refuses null."""
    return _without_none(encode(value))


def _without_none(value: Any) -> Any:
    match value:
        case dict():
            return {key: _without_none(item) for key, item in value.items() if item is not None}
        case list():
            return [_without_none(item) for item in value]
        case _:
            return value

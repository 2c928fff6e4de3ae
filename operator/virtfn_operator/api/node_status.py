"""SriovNode.status, field for field as in JSON: `wire(NodeStatus)` gives lowerCamelCase names and no nulls.

The CRD's schema has exactly these fields (tests/unit/crds/test_schema.py compares them).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from virtfn_host.core.values.codec import encode
from virtfn_host.core.values.envelope import field_paths
from virtfn_host.core.values.model import Function, Pf
from virtfn_operator.api.bounds import (
    Address,
    Device,
    Driver,
    HolderText,
    Id,
    Message,
    Most,
    Name,
    Netdev,
    ResourceName,
    Uid,
    Word,
    cut,
)
from virtfn_operator.api.conditions import Condition


class State(StrEnum):
    """How one policy stands on one node."""

    READY = "Ready"
    CHANGING = "Changing"
    BLOCKED = "Blocked"  # wait for a holder
    FAILED = "Failed"  # refused by the kernel
    REJECTED = "Rejected"  # the user must change a policy
    WITHOUT_DEVICE = "WithoutDevice"


@dataclass(frozen=True, slots=True, kw_only=True)
class VfRun:
    """VFs of one PF that have the same driver, pool and holders."""

    indexes: Annotated[str, Most(16384)]
    """VF indexes, like `0-3,6`."""
    driver: Driver | None
    pool: ResourceName | None
    """The resource name under which they are offered."""
    held_by: Annotated[tuple[HolderText, ...], Most(256)]
    """Holders, like `pod default/dpdk-0` or `vfio device is open`; empty when the VFs are free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionStatus:
    """One PF and its VFs, or a whole function."""

    address: Address
    vendor: Id
    device: Id
    class_: Id
    netdev: Netdev | None
    driver: Driver | None
    numa_node: int | None
    iommu_group: int | None
    total_vfs: int | None
    """None where the function cannot make VFs."""
    num_vfs: int
    pool: ResourceName | None
    """The resource name under which the function itself is offered."""
    held_by: Annotated[tuple[HolderText, ...], Most(256)]
    """The holders of the function itself, when it is offered."""
    notes: Annotated[tuple[Message, ...], Most(256)] = ()
    """What hinders nothing and should be known: no link, no IOMMU."""
    policies: Annotated[tuple[Name, ...], Most(1024)]
    """Every policy with a claim on it."""
    vfs: Annotated[tuple[VfRun, ...], Most(4096)]


def function_status(
    function: Function,
    *,
    pool: str | None,
    held_by: tuple[str, ...],
    policies: tuple[str, ...],
    vfs: tuple[VfRun, ...],
    notes: tuple[str, ...] = (),
) -> FunctionStatus:
    """A function as the status shows it, with what the inventory does not say of it."""
    return FunctionStatus(
        address=str(function.address),
        vendor=function.vendor,
        device=function.device,
        class_=function.class_code,
        netdev=function.netdevs[0] if function.netdevs else None,
        driver=function.driver,
        numa_node=function.numa_node,
        iommu_group=function.iommu_group,
        total_vfs=function.total_vfs if isinstance(function, Pf) else None,
        num_vfs=function.num_vfs,
        pool=pool,
        held_by=held_by,
        notes=notes,
        policies=policies,
        vfs=vfs,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WithheldStatus:
    """Functions of a pool that no new pod gets, all for one reason."""

    devices: Annotated[tuple[Address, ...], Most(256)]
    """The first of them."""
    number: int
    """How many they are."""
    reason: Word
    message: Message


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatus:
    """The pool of one resource name."""

    resource_name: ResourceName
    capacity: int
    healthy: int
    in_use: int
    offered: int | None = None
    """Functions that the kubelet offers to pods; None: it did not answer."""
    withheld: Annotated[tuple[WithheldStatus, ...], Most(256)] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockedStatus:
    """A change that waits for a holder or for the machine."""

    device: Device
    reason: Word
    message: Message
    pods: Annotated[tuple[HolderText, ...], Most(256)]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvictPod:
    """A pod that holds what a plan changes and that its policies ask to evict: by name, by uid or by both."""

    device: Device
    """The function, or the PF, whose change waits for it."""
    namespace: Name | None = None
    name: Name | None = None
    uid: Uid | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvictStatus:
    """The pods to evict for a plan."""

    withdrawn: bool
    """Whether the kubelet has stopped to offer everything that the change touches."""
    pods: Annotated[tuple[EvictPod, ...], Most(256)]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStatus:
    """What is left to do."""

    steps: int
    disruptive: bool
    """Whether a VF that exists now would be taken away or rebound, or a pod evicted, which needs `spec.mayChange`."""
    blocked: Annotated[tuple[BlockedStatus, ...], Most(256)]
    """The first changes that wait for a holder or for the machine."""
    waiting: int = 0
    """How many changes wait."""
    evict: EvictStatus | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyOutcome:
    """How one policy stands on this node."""

    name: Name
    uid: Uid
    generation: int
    state: State
    reason: Word
    message: Message
    device: Device | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedStatus:
    """A claim that is rejected: the user must change a policy."""

    policy: Name
    device: Device | None
    reason: Word
    message: Message


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSummary:
    """The columns of `kubectl get svn`."""

    pfs: int
    vfs: int
    in_use: int
    pools: Annotated[str, Most(32768)]
    """Healthy functions and capacity by resource name, comma separated, like `virtfn.dev/fast=3/4`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """The whole status; `plan` is None when nothing is left to do."""

    observed_generation: int
    boot_id: Uid
    agent_version: Annotated[str, Most(128)]
    kernel: Annotated[str, Most(256)]
    functions: Annotated[tuple[FunctionStatus, ...], Most(1024)]
    pools: Annotated[tuple[PoolStatus, ...], Most(1024)]
    plan: PlanStatus | None
    policies: Annotated[tuple[PolicyOutcome, ...], Most(1024)]
    rejected: Annotated[tuple[RejectedStatus, ...], Most(1024)]
    summary: NodeSummary
    conditions: Annotated[tuple[Condition, ...], Most(16)]
    needs: Annotated[tuple[Name, ...], Most(64)] | None = None
    """Paths of the fields that a reader must know to understand the others (decision 0020); none so far."""


STATUS_FIELDS = frozenset(field_paths(NodeStatus))
"""Paths of the fields that this version knows, like `plan.blocked.reason`."""


def wire(value: object) -> Any:
    """Return the JSON, cut to the schema's bounds; None is left out, because a structural schema refuses null."""
    if isinstance(value, tuple):
        return [wire(item) for item in value]
    return cut(type(value), _without_none(encode(value)))


def _without_none(value: Any) -> Any:
    match value:
        case dict():
            return {key: _without_none(item) for key, item in value.items() if item is not None}
        case list():
            return [_without_none(item) for item in value]
        case _:
            return value

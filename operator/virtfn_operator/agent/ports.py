"""What the agent needs of its neighbours, as small as it needs it, and how patient it is with them."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from virtfn_host.core.values.holders import Pod
from virtfn_host.core.values.model import Observation
from virtfn_host.core.values.offered import Ledger, PoolSet
from virtfn_host.core.values.steps import Plan, Report, StepResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Seconds."""

    idle: float = 4.0
    """Between turns when nothing happens. What no event tells of (a changed override) must still show within 10 s."""
    blocked: float = 1.0
    """While a holder is in the way, so that the node converges within 10 s of the pod's end, or the kubelet has yet to
    list a pod that is being started."""
    in_use: float = 4.0
    """While anything is in use: nothing tells of a pod's end."""
    settle: float = 0.1
    """After a wake-up: what comes together is looked at together."""
    retry: float = 1.0
    """After a failure, doubled each time."""
    retry_limit: float = 4.0
    """So that the node is well within 10 s of the repair, however long it was not."""
    withdraw: float = 30.0
    """Until the kubelet must have stopped offering what was withdrawn."""
    poll: float = 0.25
    """Between two questions to the kubelet, which allows no tighter."""
    api: float = 5.0
    """For one word with the API server; the machine does not wait longer for it."""
    retell: float = 10.0
    """Until the API server is tried again."""
    progress: float = 60.0
    """Between two words on how far a long change is; a node in its turn that says nothing loses it after 900."""
    resync: float = 48.0
    """Until the own object is read again, at most: a watch may be silent and look well, and a new spec must still show
    within a minute. Only its version is asked for, which costs etcd nothing: 24 times a second at 1,000 nodes."""
    wary: float = 20.0
    """Instead of `resync`, while trouble with the API server is less than `wary_for` ago: a watch may still hang."""
    wary_for: float = 120.0
    reports: int = 10
    """Statuses that are written one after the other as they change ..."""
    report_every: float = 4.0
    """... and seconds for each one more: a node that flaps writes what it is, and not each thing that it was."""


class HostProcess(Protocol):
    """The host process (`virtfn_host.process.client.HostClient`)."""

    async def observe(self, *, links: bool = False) -> Observation:
        """One look at the machine, with link settings of VFs where `links`."""

    async def apply(self, plan: Plan, on_result: Callable[[StepResult], None]) -> Report:
        """Carry out a plan under the in-use lock."""

    def watch(self) -> AsyncIterator[str]:
        """Kernel events, as they come."""


class Kubelet(Protocol):
    """The kubelet (`podresources.PodResources`); raises its KubeletUnreachableError."""

    async def allocated(self) -> Mapping[str, tuple[Pod, ...]]:
        """Device id to the pods that have it."""

    async def allocatable(self) -> frozenset[str]:
        """Device ids that pods are offered."""


class Files(Protocol):
    """What agent and device plugin share (`files.PoolFiles`)."""

    async def published(self) -> PoolSet | None:
        """The pool file; None when there is none or it is no good."""

    async def publish(self, pools: PoolSet) -> None:
        """Replace the pool file."""

    async def ledger(self) -> Ledger | None:
        """What was handed out lately; None when there is no ledger; raises LedgerUnreadableError."""

    async def ledger_stamp(self) -> object:
        """Another value whenever the ledger was written."""


class OwnNode(Protocol):
    """This node's SriovNode (`node.NodeObject`); raises KubeError."""

    @property
    def status(self) -> Mapping[str, Any]:
        """As last read or written."""

    async def ensure(self) -> Mapping[str, Any]:
        """Read it, make it when absent."""

    async def report(self, status: Mapping[str, Any]) -> None:
        """Write the status when it changed."""


class KubeletUnreachableError(Exception):
    """podresources did not answer, or its answer cannot be trusted yet."""


class LedgerUnreadableError(Exception):
    """The device plugin's ledger is there and cannot be read, so nobody can tell what pods are being started."""

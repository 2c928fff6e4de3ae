"""The interfaces of the agent's neighbours, no larger than the agent needs, and how long it waits for each."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from virtfn_host.core.values.holders import Pod
from virtfn_host.core.values.kept import KeptConfig
from virtfn_host.core.values.model import Observation
from virtfn_host.core.values.offered import Ledger, PoolSet
from virtfn_host.core.values.report import Report, StepResult
from virtfn_host.core.values.steps import Plan
from virtfn_host.process.protocol import PLAIN, Look
from virtfn_operator.agent.not_offered import KubeletOffer, PluginReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long the agent waits for what, in seconds."""

    idle: float = 4.0
    """Between rounds when nothing happens. A change without an event (an override) must still show within 10 s."""
    blocked: float = 1.0
    """Between rounds while a holder blocks the plan, or the kubelet has yet to list a pod that is being started: the
    node must converge within 10 s of the pod's end."""
    in_use: float = 4.0
    """Between rounds while anything is in use: no event tells of a pod's end."""
    settle: float = 0.1
    """After a wake-up, so that events that come together are handled together."""
    retry: float = 1.0
    """After the first failure; doubled each time."""
    retry_limit: float = 4.0
    """After a failure, at most: a node must recover within 10 s, however long it failed."""
    withdraw: float = 30.0
    """For the kubelet to stop offering what was withdrawn."""
    poll: float = 0.25
    """Between two requests to the kubelet, which allows no tighter polling."""
    api: float = 5.0
    """For one request to the API server; a round waits no longer."""
    retell: float = 10.0
    """Before the API server is tried again."""
    progress: float = 60.0
    """Between two reports on a long change; a node that reports nothing new loses its turn after 900."""
    resync: float = 48.0
    """Before the own object is read again, at most: a watch may hang unseen, and a new spec must still show within a
    minute. Only the version is asked for, which costs etcd nothing: 24 requests a second at 1,000 nodes."""
    wary: float = 20.0
    """Instead of `resync`, for `wary_for` seconds after a failure of the API server: a watch may still hang."""
    wary_for: float = 120.0
    reports: int = 10
    """Number of statuses that may be written one after the other as they change ..."""
    report_every: float = 4.0
    """... and then seconds for each further one: a node that flaps writes its latest state, not every state."""


class HostProcess(Protocol):
    """The host process (`virtfn_host.process.client.HostClient`)."""

    async def observe(self, look: Look = PLAIN) -> Observation:
        """Look at the machine."""

    async def apply(self, plan: Plan, on_result: Callable[[StepResult], None]) -> Report:
        """Carry out a plan under the in-use lock."""

    async def keep(self, kept: KeptConfig) -> None:
        """Keep the last verified config for the next boot."""

    def watch(self) -> AsyncIterator[str]:
        """Kernel events, as they come."""


class Kubelet(Protocol):
    """The kubelet (`podresources.PodResources`); raises KubeletUnreachableError."""

    async def allocated(self) -> Mapping[str, tuple[Pod, ...]]:
        """Return the pods of each device id."""

    async def allocatable(self) -> frozenset[str]:
        """Return the device ids that pods are offered."""

    async def offered(self) -> KubeletOffer:
        """Return the same by resource name, and which kubelet answers."""


class Files(Protocol):
    """The files that agent and device plugin share (`files.PoolFiles`)."""

    async def published(self) -> PoolSet | None:
        """Read the pool file; None when it is missing or invalid."""

    async def publish(self, pools: PoolSet) -> None:
        """Replace the pool file."""

    async def ledger(self) -> Ledger | None:
        """Read what was allocated lately; None when there is no ledger; raises LedgerUnreadableError."""

    async def ledger_stamp(self) -> object:
        """Return a value that changes whenever the ledger is written."""

    async def plugin(self) -> PluginReport:
        """Read what the device plugin says of itself."""


class OwnNode(Protocol):
    """This node's SriovNode (`node.NodeObject`); raises KubeError."""

    @property
    def status(self) -> Mapping[str, Any]:
        """The status as last read or written."""

    async def ensure(self) -> Mapping[str, Any]:
        """Read the object; create it when absent."""

    async def shown(self) -> Mapping[str, int]:
        """Return what the Node shows of resources."""

    async def report(self, status: Mapping[str, Any]) -> None:
        """Write the status if it changed."""


class KubeletUnreachableError(Exception):
    """The kubelet's podresources did not answer, or its answer cannot be trusted yet."""


class LedgerUnreadableError(Exception):
    """The device plugin's ledger cannot be read, so it is unknown which functions pods are just getting."""

"""What one round of the agent found and did: the values that `loop.py` hands to `report.py`."""

from dataclasses import dataclass
from functools import cached_property

from virtfn_host.core.turn.resolve import Resolution
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import Mismatch, NodeConfig
from virtfn_host.core.values.model import InUse, Inventory, Observation
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import Report
from virtfn_host.core.values.steps import Blocked, NoteClaims, Plan
from virtfn_operator.agent.leaving import Displacement, leaving


@dataclass(frozen=True, kw_only=True)
class Found:
    """One look at the machine, and what follows from that look."""

    config: NodeConfig
    observation: Observation
    in_use: InUse
    kubelet_error: str | None
    """Why podresources gave no answer; then everything counts as in use."""
    ledger_error: str | None
    """Why the device plugin's ledger cannot be read; then, too, everything counts as in use."""
    resolution: Resolution
    plan: Plan
    mismatches: tuple[Mismatch, ...]
    drifted: frozenset[PciAddress] = frozenset()
    """PFs that were as asked and that another program changed."""
    repair_in: float | None = None
    """Seconds until the next repair or try that waits is due; None when none waits, or none is due by itself."""
    notes: tuple[Mismatch, ...] = ()
    """What is not as asked and is used all the same."""
    left: frozenset[PciAddress] = frozenset()
    """Functions that were published as unhealthy and that the kubelet had stopped to offer before it was asked for the
    pods."""

    taken: frozenset[PciAddress] = frozenset()
    """Functions that a process of no pod has had open for longer than one look."""

    @property
    def inventory(self) -> Inventory:
        """The functions of the machine."""
        return self.observation.inventory

    @cached_property
    def leaving(self) -> Displacement:
        """The pods that hold what the plan changes and that its policies ask to evict."""
        return leaving(self.config, self.inventory, self.resolution.desired, self.plan)

    @property
    def unsafe(self) -> bool:
        """Whether vfio does without an IOMMU on this node, and a policy accepts that."""
        return bool(self.inventory.noiommu) and any(policy.allow_unsafe_no_iommu for policy in self.config.policies)

    def acts(self, *, may_change: bool) -> bool:
        """Whether a round carries out anything that a status tells; noting a claim is no such thing.

        Args:
            may_change: whether the node has its turn.
        """
        if self.halted or all(isinstance(step, NoteClaims) for step in self.plan.steps):
            return False
        return may_change or bool(self.plan.calm.steps)

    @property
    def halted(self) -> bool:
        """Whether nothing may be touched: a write is blocked in the kernel, or the journal cannot be read."""
        return self.observation.stuck is not None or self.observation.journal_error is not None

    @property
    def silence(self) -> tuple[Reason, str] | None:
        """Why holders are unknown, so that every function counts as in use; None when they are known."""
        if self.kubelet_error is not None:
            return Reason.KUBELET_UNREACHABLE, self.kubelet_error
        if self.ledger_error is not None:
            return Reason.POOL_FILE_UNREADABLE, self.ledger_error
        return None

    @property
    def lock_error(self) -> str | None:
        """Why the in-use lock cannot be used, so that no function may be disturbed; None when it can."""
        return self.observation.preflight.lock_error


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a round did."""

    reports: tuple[Report, ...] = ()
    obstacle: Blocked | None = None
    """Why a disruptive plan was called off."""
    stale: bool = False
    """Whether the machine, or what pods are offered, may differ from what was found."""
    withdrawn: frozenset[PciAddress] = frozenset()
    """Functions that were withdrawn and that the kubelet was seen not to offer any more."""

    @property
    def tried(self) -> bool:
        """Whether any step was attempted."""
        return any(report.results for report in self.reports)


def families(inventory: Inventory) -> dict[PciAddress, PciAddress]:
    """The PF of every function; a PF belongs to itself."""
    return {member.address: function.address for function in inventory.functions for member in function.family}

"""What one turn of the agent found and did: the values between `loop.py`, which acts, and `report.py`, which tells."""

from dataclasses import dataclass

from virtfn_host.core.turn.resolve import Resolution
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import Mismatch, NodeConfig
from virtfn_host.core.values.model import InUse, Inventory, Observation
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.steps import Blocked, Plan, Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One look at the machine, and what follows from it."""

    config: NodeConfig
    observation: Observation
    in_use: InUse
    kubelet_error: str | None
    """Why podresources gave no answer; then everything counts as in use."""
    ledger_error: str | None
    """Why the device plugin's ledger cannot be read; then everything counts as in use, too."""
    resolution: Resolution
    plan: Plan
    mismatches: tuple[Mismatch, ...]
    drifted: frozenset[PciAddress] = frozenset()
    """PFs that somebody changed after they had been as asked."""
    repair_in: float | None = None
    """Seconds until the next repair that has to wait, because somebody undoes each; None when none has to."""

    @property
    def inventory(self) -> Inventory:
        """The machine."""
        return self.observation.inventory

    @property
    def halted(self) -> bool:
        """Nothing may be touched: a write is stuck in the kernel, or the original state cannot be read."""
        return self.observation.stuck is not None or self.observation.journal_error is not None

    @property
    def silence(self) -> tuple[Reason, str] | None:
        """Why nobody can tell who holds what, so that every function counts as in use; None when it can be told."""
        if self.kubelet_error is not None:
            return Reason.KUBELET_UNREACHABLE, self.kubelet_error
        if self.ledger_error is not None:
            return Reason.POOL_FILE_UNREADABLE, self.ledger_error
        return None

    @property
    def lock_error(self) -> str | None:
        """Why the in-use lock cannot be used, so that nobody may be disturbed; None when it can."""
        return self.observation.preflight.lock_error


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a turn did about it."""

    reports: tuple[Report, ...] = ()
    obstacle: Blocked | None = None
    """Why a disruptive plan was called off after its functions had been withdrawn."""
    stale: bool = False
    """The machine, or what pods are offered, is not as it was found."""

    @property
    def tried(self) -> bool:
        """Some step was carried out or failed."""
        return any(report.results for report in self.reports)


def families(inventory: Inventory) -> dict[PciAddress, PciAddress]:
    """Every function to its PF; a PF to itself."""
    pairs = {vf.address: pf.address for pf in inventory.pfs for vf in pf.vfs}
    return pairs | {pf.address: pf.address for pf in inventory.pfs}

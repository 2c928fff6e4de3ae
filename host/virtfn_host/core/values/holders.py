"""Who holds a function, as facts: what shows that it is in use, and which pod or process that is where it shows.

`holder_text` alone makes a sentence of them, for people. Nothing is decided by a sentence, and none is compared.
Who holds which function of a machine is `InUse` in `model.py`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, assert_never

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.names import Sentence, Within


class Cause(StrEnum):
    """What shows that a function is in use, or why nobody can tell. Unknown counts as in use."""

    KUBELET = "kubelet"  # the kubelet lists a pod that has it
    LEDGER = "ledger"  # the device plugin handed it out a moment ago; the kubelet lists no pod for it yet
    GROUP_OPEN = "groupOpen"  # a process has the node of its IOMMU group open
    CDEV_OPEN = "cdevOpen"  # a process has its vfio cdev open
    ENABLED = "enabled"  # its enable count: the vfio device is open, by whom does not show
    NETDEV_AWAY = "netdevAway"  # its netdev is in another network namespace
    NETDEV_UP = "netdevUp"
    NETDEV_MASTER = "netdevMaster"  # its netdev belongs to a bridge, bond or VRF
    NETDEV_ADDRESS = "netdevAddress"  # its netdev has an IP address
    NEEDED = "needed"  # this machine cannot do without it
    NODE_OPEN = "nodeOpen"  # a process has a device node of its own driver open
    UNREADABLE = "unreadable"  # unknown: what would show it could not be read
    NO_ENABLE_COUNT = "noEnableCount"  # unknown: the kernel shows no enable count
    KUBELET_SILENT = "kubeletSilent"  # unknown: the kubelet does not answer
    LEDGER_UNREADABLE = "ledgerUnreadable"  # unknown: the device plugin's ledger cannot be read


_BY_PODS = frozenset({Cause.KUBELET, Cause.LEDGER})
_UNKNOWN = frozenset({Cause.UNREADABLE, Cause.NO_ENABLE_COUNT, Cause.KUBELET_SILENT, Cause.LEDGER_UNREADABLE})


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Pod:
    """A pod, as the kubelet names it."""

    namespace: Sentence
    name: Sentence

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process of this machine, as /proc shows it."""

    pid: Annotated[int, Within(0, (1 << 31) - 1)]
    command: Sentence | None
    """None: it was gone when it was asked for."""

    def __str__(self) -> str:
        return f"process {self.pid} ({self.command or 'gone'})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """One reason to leave a function alone. What does not go with its cause is None."""

    address: PciAddress
    cause: Cause
    pod: Pod | None = None
    process: Process | None = None
    member: PciAddress | None = None
    """The other function of its IOMMU group that shows it; None: it shows on the function itself."""
    at: Sentence | None = None
    """The netdev, or the path of the device node."""
    said: Sentence | None = None
    """The netdev's IP address; what this machine needs it for; or what reading answered."""

    @property
    def by_pod(self) -> bool:
        """A pod has it, known by name or not."""
        return self.cause in _BY_PODS

    @property
    def unknown(self) -> bool:
        """Nobody can tell, so it counts as in use."""
        return self.cause in _UNKNOWN


def holder_text(holder: Holder) -> str:
    """The one sentence of a holder: `pod default/dpdk-0`, `its vfio device is open`."""
    text = _text(holder)
    return text if holder.member is None else f"{holder.member} of the same IOMMU group: {text}"


def _text(holder: Holder) -> str:
    match holder.cause:
        case Cause.KUBELET:
            return f"pod {holder.pod}"
        case Cause.LEDGER:
            return "a pod that is being started (device plugin's ledger)"
        case Cause.GROUP_OPEN:
            return f"{holder.process} has its group open"
        case Cause.CDEV_OPEN | Cause.NODE_OPEN:
            return f"{holder.process} has {holder.at} open"
        case Cause.ENABLED:
            return "its vfio device is open"
        case Cause.NETDEV_AWAY:
            return "its netdev is in another network namespace"
        case Cause.NETDEV_UP:
            return f"its netdev {holder.at} is up"
        case Cause.NETDEV_MASTER:
            return f"its netdev {holder.at} has a master"
        case Cause.NETDEV_ADDRESS:
            return f"its netdev {holder.at} has the address {holder.said}"
        case Cause.NEEDED | Cause.UNREADABLE:
            return f"{holder.said}"
        case Cause.NO_ENABLE_COUNT:
            return "its enable count is not there, so nobody can tell"
        case Cause.KUBELET_SILENT:
            return "the kubelet does not answer, so nobody can tell who"
        case Cause.LEDGER_UNREADABLE:
            return "the device plugin's ledger cannot be read, so nobody can tell who"
        case _:
            assert_never(holder.cause)

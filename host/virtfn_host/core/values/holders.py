"""Holders of functions, as typed facts: the evidence that a function is in use, and the pod or process if it is known.

Only `holder_text` makes a sentence of them, for people. No code decides by a sentence or compares sentences.
`InUse` in `model.py` has the holders of all functions of a machine.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, assert_never

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.codec import SPARSE
from virtfn_host.core.values.names import Sentence, Within


class Cause(StrEnum):
    """The evidence that a function is in use, or the reason why its use is unknown. Unknown counts as in use."""

    KUBELET = "kubelet"  # the kubelet lists a pod that has it
    LEDGER = "ledger"  # the device plugin allocated it a moment ago; the kubelet lists no pod for it yet
    GROUP_OPEN = "groupOpen"  # a process has the node of its IOMMU group open
    CDEV_OPEN = "cdevOpen"  # a process has its vfio cdev open
    ENABLED = "enabled"  # its enable count: a process that is not visible has the vfio device open
    NETDEV_AWAY = "netdevAway"  # its netdev is in another network namespace
    NETDEV_UP = "netdevUp"
    NETDEV_MASTER = "netdevMaster"  # its netdev belongs to a bridge, bond or VRF
    NETDEV_ADDRESS = "netdevAddress"  # its netdev has an IP address
    NEEDED = "needed"  # this machine needs it: a mounted file system, the default route, a console
    NODE_OPEN = "nodeOpen"  # a process has a device node of its own driver open
    DISK_HELD = "diskHeld"  # device mapper, RAID or bcache has made a block device of its disk
    UNREADABLE = "unreadable"  # unknown: the evidence could not be read
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
    """None: the process had ended before its command was read."""
    pod_uid: Sentence | None = field(default=None, metadata=SPARSE)
    """The uid of its pod, from its cgroup; None: it is in no pod's cgroup, or that could not be read."""

    def __str__(self) -> str:
        return f"process {self.pid} ({self.command or 'gone'})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """One reason to leave a function alone. Fields that do not apply to its cause are None."""

    address: PciAddress
    cause: Cause
    pod: Pod | None = None
    process: Process | None = None
    member: PciAddress | None = None
    """The other function of its IOMMU group that is in use; None: the function itself is."""
    at: Sentence | None = None
    """The netdev, or the path of the device node."""
    said: Sentence | None = None
    """The netdev's IP address, what the machine needs the function for, what holds its disk, or the read's error."""

    @property
    def by_pod(self) -> bool:
        """Whether a pod has the function, even if the pod's name is not known."""
        return self.cause in _BY_PODS

    @property
    def unknown(self) -> bool:
        """Whether the use of the function is unknown, so that it counts as in use."""
        return self.cause in _UNKNOWN


def holder_text(holder: Holder) -> str:
    """Return a holder's sentence for people: `pod default/dpdk-0`, `its vfio device is open`."""
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
        case Cause.DISK_HELD:
            return f"{holder.said} holds {holder.at}"
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
            return "the kernel shows no enable count for it, so its use is unknown"
        case Cause.KUBELET_SILENT:
            return "the kubelet does not answer, so the holder is unknown"
        case Cause.LEDGER_UNREADABLE:
            return "the device plugin's ledger cannot be read, so the holder is unknown"
        case _:
            assert_never(holder.cause)

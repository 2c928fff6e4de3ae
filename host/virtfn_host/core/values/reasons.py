"""The closed list of reasons. Conditions, events, the command line and the tests use these words and no others.

Another version may have more reasons. A word that is not in this list counts as a problem.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why something is as it is. The message beside it names the device and the next step."""

    CONVERGED = "Converged"  # everything is as the policies ask
    CHANGING = "Changing"  # steps are being carried out
    WAITING_FOR_TURN = "WaitingForTurn"  # maxUnavailable other nodes go first
    VFS_IN_USE = "VfsInUse"  # a pod or process holds the function, or its use is unknown
    EVICTING = "Evicting"  # pods that hold affected functions are being evicted
    EVICTION_BLOCKED = "EvictionBlocked"  # a PodDisruptionBudget forbids the eviction
    NODE_CORDONED = "NodeCordoned"  # an administrator cordoned the node
    NO_MATCHING_DEVICE = "NoMatchingDevice"  # no PF of this node matches the policy
    CLAIM_KEPT = "ClaimKept"  # the function looks otherwise than when it was claimed; the policy keeps it
    COUNT_CONFLICT = "CountConflict"  # a policy with precedence asks another number of VFs of this PF
    INDEX_TAKEN = "IndexTaken"  # a policy with precedence has these VF indexes
    NOTHING_LEFT = "NothingLeft"  # no VF is left for this pool, or the PF has fewer VFs than it names
    FUNCTION_TAKEN = "FunctionTaken"  # the PF, or its VFs, are handed out already, or it has another program's VFs
    NEEDED_BY_MACHINE = "NeededByMachine"  # it carries a mounted file system, the default route or a console
    RESOURCE_MISMATCH = "ResourceMismatch"  # one resource name, two drivers
    TOO_MANY_VFS = "TooManyVfs"  # more than sriov_totalvfs
    SRIOV_UNSUPPORTED = "SriovUnsupported"  # the device, its firmware or its driver makes no VFs
    PF_DRIVER_MISSING = "PfDriverMissing"  # the PF has no driver that makes VFs
    NO_IOMMU = "NoIommu"  # the function has no IOMMU group
    GROUP_NOT_VIABLE = "GroupNotViable"  # a member of its IOMMU group is on a driver that VFIO cannot share with
    MODULE_MISSING = "ModuleMissing"  # the running kernel has no such module, or it does not load
    DRIVER_MISSING = "DriverMissing"  # no driver with this name is registered
    BIND_FAILED = "BindFailed"  # the driver refused the device
    SETTLE_TIMEOUT = "SettleTimeout"  # the kernel did not show the result of a step in time
    STALE_SNAPSHOT = "StaleSnapshot"  # the machine changed between plan and write
    STUCK = "Stuck"  # a write is blocked past its deadline
    ANOTHER_WRITER = "AnotherWriter"  # another virtfn process writes on this node
    WRITE_REFUSED = "WriteRefused"  # the kernel refused a write with an errno
    DRIVER_MADE_OTHER = "DriverMadeOther"  # a write succeeded with another result, such as more VFs than asked for
    DRIFTED = "Drifted"  # changed outside virtfn; virtfn repairs it
    DEVICE_GONE = "DeviceGone"  # the device has disappeared
    RECONFIGURING = "Reconfiguring"  # withdrawn from new pods because a change is about to touch it
    NOT_USABLE = "NotUsable"  # on its driver, but no pod could use it: no device node, no netdev, a VF token, ...
    LINK_SETTING_REFUSED = "LinkSettingRefused"  # the PF driver refused a link setting
    JOURNAL_UNREADABLE = "JournalUnreadable"  # the original state cannot be read, so nothing is given back
    INVALID_POLICY = "InvalidPolicy"  # a policy object that the schema would have refused
    TOO_LARGE = "TooLarge"  # a policy, or all policies of a node together, exceed a size limit
    NOT_OFFERED = "NotOffered"  # the kubelet does not offer what was published
    NAME_TAKEN = "NameTaken"  # two resource names become one environment variable
    BEING_DELETED = "BeingDeleted"  # the policy was deleted, and finalizers of another program keep the object
    TURN_LOST = "TurnLost"  # the node was silent in its turn, so the next node has it
    UNREADABLE = "Unreadable"  # a file could not be read, or another version reports an unknown reason
    HOST_UNREACHABLE = "HostUnreachable"  # the host process does not answer
    POOL_FILE_UNREADABLE = "PoolFileUnreadable"  # the plugin cannot read what the agent publishes
    KUBELET_UNREACHABLE = "KubeletUnreachable"  # podresources does not answer, so every function counts as in use


CALM = frozenset({Reason.CONVERGED, Reason.CHANGING, Reason.WAITING_FOR_TURN, Reason.EVICTING, Reason.RECONFIGURING})
"""Reasons that need no attention: all is well, or a change is on its way."""


def known_reason(word: str) -> Reason:
    """Return the reason that another version wrote; a word that is not in the list becomes Unreadable."""
    return Reason(word) if word in _WORDS else Reason.UNREADABLE


_WORDS = frozenset(Reason)

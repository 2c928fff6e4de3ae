"""The closed list of reasons. Conditions, events, the command line and the tests use these words and no others.

Another version may have more of them. A word that is not in this list is a problem, and never that all is well.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why something is as it is; a message beside it names the device and the next step."""

    CONVERGED = "Converged"  # everything is as the policies ask
    CHANGING = "Changing"  # steps are being carried out
    WAITING_FOR_TURN = "WaitingForTurn"  # maxUnavailable other nodes go first
    VFS_IN_USE = "VfsInUse"  # a holder has it open, or nobody can tell that it has not
    EVICTING = "Evicting"  # pods that hold affected functions are being evicted
    EVICTION_BLOCKED = "EvictionBlocked"  # a PodDisruptionBudget says no
    NODE_CORDONED = "NodeCordoned"  # an administrator's cordon
    NO_MATCHING_DEVICE = "NoMatchingDevice"  # no PF of this node matches the policy
    COUNT_CONFLICT = "CountConflict"  # an earlier policy asked another number of VFs of this PF
    INDEX_TAKEN = "IndexTaken"  # an earlier policy has these VF indexes
    NOTHING_LEFT = "NothingLeft"  # no VF index is left for this pool
    FUNCTION_TAKEN = "FunctionTaken"  # the PF is handed out whole, or its VFs are
    NEEDED_BY_MACHINE = "NeededByMachine"  # it carries a mounted file system, the default route or a console
    RESOURCE_MISMATCH = "ResourceMismatch"  # one resource name, two drivers
    TOO_MANY_VFS = "TooManyVfs"  # more than sriov_totalvfs
    SRIOV_UNSUPPORTED = "SriovUnsupported"  # no sriov_configure, or no PF driver
    PF_DRIVER_MISSING = "PfDriverMissing"  # the PF has no driver, so it can make no VFs
    NO_IOMMU = "NoIommu"  # the function has no IOMMU group
    GROUP_NOT_VIABLE = "GroupNotViable"  # a member of its IOMMU group is bound elsewhere
    MODULE_MISSING = "ModuleMissing"  # modprobe does not know it
    DRIVER_MISSING = "DriverMissing"  # no such driver is registered
    BIND_FAILED = "BindFailed"  # the driver refused the device
    SETTLE_TIMEOUT = "SettleTimeout"  # the kernel did not show in time what was asked for
    STALE_SNAPSHOT = "StaleSnapshot"  # the machine moved between planning and applying
    STUCK = "Stuck"  # a write blocked past its deadline
    ANOTHER_WRITER = "AnotherWriter"  # another virtfn process writes on this node
    WRITE_REFUSED = "WriteRefused"  # the kernel answered with an errno
    DRIFTED = "Drifted"  # somebody changed it; being repaired
    DEVICE_GONE = "DeviceGone"  # it was there and is not any more
    RECONFIGURING = "Reconfiguring"  # withdrawn from pods because a change is about to touch it
    LINK_SETTING_REFUSED = "LinkSettingRefused"  # the PF driver refused a link setting
    JOURNAL_UNREADABLE = "JournalUnreadable"  # the original state cannot be read, so nothing is given back blindly
    INVALID_POLICY = "InvalidPolicy"  # a policy object that the schema would have refused
    TOO_LARGE = "TooLarge"  # an object that costs more than one object, or one node, may
    NAME_TAKEN = "NameTaken"  # two resource names become one environment name
    TURN_LOST = "TurnLost"  # a node that was silent in its turn; the next one has it
    UNREADABLE = "Unreadable"  # sysfs did not answer, or another version said it, so nothing is assumed
    HOST_UNREACHABLE = "HostUnreachable"  # the host process does not answer
    POOL_FILE_UNREADABLE = "PoolFileUnreadable"  # the plugin cannot read what the agent publishes
    KUBELET_UNREACHABLE = "KubeletUnreachable"  # podresources does not answer, so every function counts as in use


CALM = frozenset({Reason.CONVERGED, Reason.CHANGING, Reason.WAITING_FOR_TURN, Reason.EVICTING, Reason.RECONFIGURING})
"""Nobody need look: it is fine, or on its way."""


def known_reason(word: str) -> Reason:
    """The reason of a word that another version may have written; one that is not in the list here is Unreadable."""
    return Reason(word) if word in _WORDS else Reason.UNREADABLE


_WORDS = frozenset(Reason)

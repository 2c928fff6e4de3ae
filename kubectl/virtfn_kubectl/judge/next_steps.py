"""What to do next, for every reason: one sentence. docs/runbook.md says more."""

from collections.abc import Mapping

from virtfn_host.core.values.reasons import Reason

RUNBOOK = "docs/runbook.md"

WAIT = "nothing to do: virtfn goes on by itself"

NEXT: Mapping[Reason, str] = {
    Reason.CONVERGED: "nothing to do",
    Reason.CHANGING: WAIT,
    Reason.RECONFIGURING: WAIT,
    Reason.EVICTING: WAIT,
    Reason.STALE_SNAPSHOT: "nothing to do: the agent plans anew in its next turn",
    Reason.WAITING_FOR_TURN: "nothing to do: raise spec.disruption.maxUnavailable to change more nodes at once",
    Reason.DRIFTED: "find what undoes it (a udev rule, a boot script, another operator); virtfn repairs it",
    Reason.VFS_IN_USE: "end the pod or process that holds it, if it may end; disruption.whenInUse: Evict lets virtfn"
    " evict pods. Do not cordon the node for it: a cordoned node is left alone",
    Reason.STUCK: "end the holder that the message names (delete its pod), never the writer: the blocked write then"
    " returns. Until then virtfn writes nothing on that node",
    Reason.ANOTHER_WRITER: "wait for the other virtfn process of that node, or end it; where an agent runs, that is its"
    " host process: use a policy instead",
    Reason.KUBELET_UNREACHABLE: "repair the kubelet of that node: until it answers, everything counts as in use",
    Reason.EVICTION_BLOCKED: "look at the PodDisruptionBudget that the message names",
    Reason.NODE_CORDONED: "uncordon the node when it may change",
    Reason.NO_MATCHING_DEVICE: "compare spec.devices and spec.nodeSelector with `kubectl virtfn list NODE`",
    Reason.CLAIM_KEPT: "if the function stays as it is now, name what the message proposes in spec.devices",
    Reason.COUNT_CONFLICT: "edit this policy or the one that the message names; higher priority wins, then the older",
    Reason.INDEX_TAKEN: "edit this policy or the one that the message names; higher priority wins, then the older",
    Reason.NOTHING_LEFT: "ask for more VFs (count), or name other indexes",
    Reason.FUNCTION_TAKEN: "edit this policy or the one that the message names; or give back another program's VFs",
    Reason.RESOURCE_MISMATCH: "give the two pools different resource names, or the same driver",
    Reason.NEEDED_BY_MACHINE: "leave this function out of spec.devices: the node itself needs it",
    Reason.TOO_MANY_VFS: "ask for no more VFs than the PF can make (totalVfs)",
    Reason.SRIOV_UNSUPPORTED: "switch SR-IOV on in the card's firmware; if it is on, the PF's driver makes no VFs",
    Reason.PF_DRIVER_MISSING: "load the PF's driver on that node, and bind the PF to it",
    Reason.NO_IOMMU: "switch the IOMMU on in the node's firmware and on its kernel command line, then reboot",
    Reason.GROUP_NOT_VIABLE: "use another slot, or firmware with ACS: `kubectl virtfn explain NODE ADDRESS`"
    " names the group's functions",
    Reason.MODULE_MISSING: "install the package that has the module, for the node's running kernel",
    Reason.DRIVER_MISSING: "name a driver that the node's kernel has: `kubectl virtfn explain NODE ADDRESS` lists them",
    Reason.BIND_FAILED: "read the node's kernel log (dmesg): it says why the driver refused the function",
    Reason.WRITE_REFUSED: "read the node's kernel log (dmesg) beside the errno in the message",
    Reason.SETTLE_TIMEOUT: "read the node's kernel log (dmesg); the next turn looks again",
    Reason.DRIVER_MADE_OTHER: "ask for what the driver can make (count), or repair the driver or the PF",
    Reason.DEVICE_GONE: "look at the card: it was pulled, or its PCI link is down",
    Reason.NOT_USABLE: f"do what the message says; {RUNBOOK} has each case under NotUsable",
    Reason.LINK_SETTING_REFUSED: "remove the setting if the PF's driver does not support it, or set the PF up",
    Reason.JOURNAL_UNREADABLE: f"restore /var/lib/virtfn/journal.json of that node ({RUNBOOK})",
    Reason.INVALID_POLICY: "mend the field that the message names, and apply the policy again; if an agent cannot read"
    " it, upgrade that agent",
    Reason.TOO_LARGE: "split the policy, or ask for fewer pools and ranges",
    Reason.NOT_OFFERED: "do what the message says: mostly the device plugin's pod on that node does not run",
    Reason.NAME_TAKEN: "rename one of the two resources",
    Reason.BEING_DELETED: "let the program that set the finalizers remove them; if it is gone, remove them by hand",
    Reason.TURN_LOST: "look at that node and its agent's pod: the agent was silent in its turn",
    Reason.UNREADABLE: "look at the file or object that the message names",
    Reason.HOST_UNREACHABLE: "read the log of the container `host` of that node's agent pod",
    Reason.POOL_FILE_UNREADABLE: "look at /run/virtfn and /run/virtfn-ledger of that node: permissions, a full disk",
}


def next_step(reason: str) -> str:
    """Return what to do next; a reason of another version is looked up in its own runbook."""
    if not reason:
        return "look at virtfn's pods: kubectl get pods -A -l app.kubernetes.io/name=virtfn"
    found = NEXT.get(Reason(reason)) if reason in tuple(Reason) else None
    return found or f"look {reason} up in {RUNBOOK} of the version that runs in the cluster"

"""Combines every source that says which functions are in use. Pure. A source that does not answer counts as "in use".

The kubelet knows pods, but not yet a pod that it is just starting: the device plugin's ledger covers that moment. The
kernel's evidence covers what no kubelet lists (init containers, programs of the host).
"""

from collections.abc import Mapping, Sequence, Set
from itertools import chain

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.holders import Cause, Holder, Pod
from virtfn_host.core.values.model import InUse, Inventory
from virtfn_host.core.values.offered import Allocation, Ledger

LEDGER_SECONDS = 60.0
"""Seconds that an entry counts when the kubelet never lists its pod. It lists an admitted pod within seconds; a minute
covers a busy kubelet."""


def in_use(
    *,
    inventory: Inventory,
    evidence: InUse,
    pods: Mapping[str, Sequence[Pod]] | None,
    ledger: Ledger | None,
    now: float,
    also: Sequence[PciAddress] = (),
    unknown: Cause = Cause.KUBELET_SILENT,
) -> InUse:
    """Return the holders of every function.

    Args:
        inventory: the functions of this machine.
        evidence: what the kernel shows.
        pods: the pods of each device id, from the kubelet; None when they are unknown.
        ledger: what was allocated lately; None when there is no ledger.
        now: seconds since the machine booted.
        also: functions that are in no inventory any more, because their removal has begun and is blocked.
        unknown: why the pods are unknown, where they are.
    """
    functions = {function.address for function in inventory.every} | {*also}
    if pods is None:
        said = [Holder(address=a, cause=unknown) for a in functions]
    else:
        said = [
            Holder(address=address, cause=Cause.KUBELET, pod=pod)
            for device, having in pods.items()
            if (address := _address(device)) in functions and address is not None
            for pod in having
        ]
    listed = {holder.address for holder in said}
    started = [
        Holder(address=address, cause=Cause.LEDGER)
        for address in sorted(_lately(ledger, inventory.boot_id, now) & functions - listed)
    ]
    holders = dict.fromkeys(chain(evidence.holders, said, started))
    return InUse(holders=tuple(sorted(holders, key=_order)))


def settled(
    ledger: Ledger, pods: Mapping[str, Sequence[Pod]], asked_at: float, before: Set[Allocation]
) -> frozenset[Allocation]:
    """Return the ledger entries that are not needed any more: the kubelet has listed their pod and will show its end.

    Args:
        ledger: what was allocated lately.
        pods: what the kubelet listed when it was asked at `asked_at`. The list counts only for entries before that:
            for later ones it may still show the pod that had the function before.
        asked_at: seconds since the machine booted.
        before: entries that were settled already; those that left the ledger are dropped.
    """
    listed = {entry for entry in ledger.allocations if entry.at < asked_at and str(entry.address) in pods}
    return frozenset((listed | before) & set(ledger.allocations))


def covered(ledger: Ledger | None, boot_id: str, asked_at: float) -> bool:
    """Return whether the kubelet's list of `asked_at` (seconds since boot) contains all pods of a lost ledger.

    The device plugin notes when it found a ledger unreadable or missing (`lost_at`). Every entry of that ledger is
    older, so a kubelet that is asked later lists the entry's pod.
    """
    return ledger is None or ledger.boot_id != boot_id or ledger.lost_at is None or ledger.lost_at < asked_at


def being_started(found: InUse) -> bool:
    """Whether some holder is known from the ledger only."""
    return any(holder.cause is Cause.LEDGER for holder in found.holders)


def _order(holder: Holder) -> tuple[PciAddress, bool, bool, str]:
    """By address; the kernel's evidence first, then pods by name, then unknown holders."""
    return holder.address, holder.unknown, holder.by_pod, str(holder.pod)


def _lately(ledger: Ledger | None, boot_id: str, now: float) -> set[PciAddress]:
    """Functions of recent entries. An entry from the future counts too: a wrong clock makes no function free."""
    if ledger is None or ledger.boot_id != boot_id:
        return set()
    return {entry.address for entry in ledger.allocations if now - entry.at < LEDGER_SECONDS}


def _address(device: str) -> PciAddress | None:
    """The PCI address that the kubelet's id of a function is, with us and other plugins; None for other devices."""
    try:
        return PciAddress.parse(device)
    except ValueError:
        return None

"""Everything that says a function is in use -> InUse. Pure. Who cannot be asked counts as saying yes.

The kubelet knows pods, but not yet the one it is just starting: the device plugin's ledger bridges that moment. The
kernel's evidence covers what no kubelet lists (init containers, programs of the host).
"""

from collections.abc import Mapping, Sequence, Set
from itertools import chain

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.holders import Cause, Holder, Pod
from virtfn_host.core.values.model import InUse, Inventory
from virtfn_host.core.values.offered import Allocation, Ledger

LEDGER_SECONDS = 60.0
"""For a pod that the kubelet never lists: it lists an admitted one within seconds, a minute covers a busy kubelet."""


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
    """Who holds what.

    Args:
        evidence: what the kernel shows.
        pods: device id to the pods that have it, as the kubelet says; None when nobody can tell.
        ledger: what was handed out lately; None when there is no ledger.
        now: seconds since the machine booted.
        also: functions that are in no inventory any more, because their removal has begun and is blocked.
        unknown: why nobody can tell, where nobody can.
    """
    functions = {pf.address for pf in inventory.pfs} | {vf.address for pf in inventory.pfs for vf in pf.vfs} | {*also}
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
    """Entries of the ledger that have done their work: the kubelet has listed their pod, so it says when that ends.

    Args:
        pods: what the kubelet listed when it was asked at `asked_at`; only later than an entry does it speak of it,
            because an earlier list may still show the pod that had the function before.
        before: entries that were settled already; those that left the ledger are dropped.
    """
    listed = {entry for entry in ledger.allocations if entry.at < asked_at and str(entry.address) in pods}
    return frozenset((listed | before) & set(ledger.allocations))


def covered(ledger: Ledger | None, boot_id: str, asked_at: float) -> bool:
    """Whether what the kubelet listed when it was asked at `asked_at` covers what an earlier ledger had said.

    The device plugin set that one aside, because it could not be read. Whatever that one said was noted before it was
    found lost, so a kubelet that is asked later lists the pods of it.
    """
    return ledger is None or ledger.boot_id != boot_id or ledger.lost_at is None or ledger.lost_at < asked_at


def being_started(found: InUse) -> bool:
    """Whether only the ledger knows of some holder."""
    return any(holder.cause is Cause.LEDGER for holder in found.holders)


def _order(holder: Holder) -> tuple[PciAddress, bool, bool, str]:
    """By address; the kernel's evidence first, then pods by name, then what nobody can tell."""
    return holder.address, holder.unknown, holder.by_pod, str(holder.pod)


def _lately(ledger: Ledger | None, boot_id: str, now: float) -> set[PciAddress]:
    """An entry from the future counts: whoever wrote it has another clock, and that makes nothing free."""
    if ledger is None or ledger.boot_id != boot_id:
        return set()
    return {entry.address for entry in ledger.allocations if now - entry.at < LEDGER_SECONDS}


def _address(device: str) -> PciAddress | None:
    """The kubelet's id of a function is its PCI address, with us and other plugins; other devices have other ids."""
    try:
        return PciAddress.parse(device)
    except ValueError:
        return None

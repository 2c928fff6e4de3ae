"""Who has a function open that no pod is known to have: a program of the host, or a pod's init container. Pure.

The kubelet lists no init containers and knows nothing of programs outside of pods, and a plain look shows only that the
vfio device is open. So the next look asks the host process for the names of those processes, and for no others: on a
node whose pods explain every holder it never has to read the open files of all processes for this (where vfio has cdevs
it reads them at each look: `linux/use/__init__.py` of the host). The cgroup of a process tells its pod, which
`whenInUse: Evict` may evict (`leaving.py`).

A function that a process of no pod has open is no use to a pod. It counts as taken when two looks in a row show the
same process: a pod may end between the look and the kubelet's list, and a runtime may run a pod's process in a cgroup
of its own.
"""

from collections.abc import Iterator, Set

from virtfn_host.core.checks.usable import is_outside, open_outside
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import Desired, DesiredPf, Mismatch
from virtfn_host.core.values.holders import Cause, Holder
from virtfn_host.core.values.model import Function, InUse, Inventory, vfs_of

AGAIN = 60.0
"""Seconds until it is asked again which process it is, where none showed: then the files of every process are read."""

MOST = 4096
"""Functions that one look asks for: the request stays far below its limit."""

_OPEN = frozenset({Cause.ENABLED, Cause.GROUP_OPEN, Cause.CDEV_OPEN})
_SILENT = frozenset({Cause.KUBELET_SILENT, Cause.LEDGER_UNREADABLE})


class Users:
    """Remembers of one look for the next what to ask for, and what it showed."""

    def __init__(self) -> None:
        self._due: dict[PciAddress, float] = {}
        """When to ask for the process that has a function open."""
        self._outside: frozenset[tuple[PciAddress, int]] = frozenset()
        """Functions that processes of no pod had open at the last look."""
        self._taken: frozenset[PciAddress] = frozenset()

    def to_ask(self, now: float) -> tuple[PciAddress, ...]:
        """Return the functions of which the next look is to name the processes (`now`: seconds of one clock)."""
        return tuple(sorted(address for address, due in self._due.items() if due <= now)[:MOST])

    def look(self, found: InUse, asked: tuple[PciAddress, ...], now: float) -> frozenset[PciAddress]:
        """Take over a look; return the functions that are taken. While the pods are unknown nothing changes.

        Args:
            found: every holder of this look.
            asked: what `to_ask` returned before it.
            now: seconds of the same clock.
        """
        if any(holder.cause in _SILENT for holder in found.holders):
            return self._taken
        holders = tuple(_unexplained(found))
        self._due = {holder.address: self._next(holder, asked, now) for holder in holders}
        outside = frozenset((h.address, h.process.pid) for h in holders if h.process is not None and is_outside(h))
        self._taken = frozenset(address for address, _ in outside & self._outside)
        self._outside = outside
        return self._taken

    def _next(self, holder: Holder, asked: tuple[PciAddress, ...], now: float) -> float:
        if holder.process is None and holder.address in asked:
            return now + AGAIN
        # A known process is looked at first, and alone, so each look may ask for it.
        return now if holder.process is not None else self._due.get(holder.address, now)


def notes_on(taken: Set[PciAddress], found: InUse, desired: Desired, inventory: Inventory) -> tuple[Mismatch, ...]:
    """Return a note on each function that is taken and that a policy offers to pods."""
    if not taken:  # as good as always, and a node may have 2,048 VFs
        return ()
    offered = (function for pf in desired.pfs for function in _offered(pf, inventory) if function.address in taken)
    told = ((function.address, open_outside(found.of(function.address))) for function in offered)
    return tuple(
        Mismatch(device=str(address), reason=hindrance.reason, message=f"{address}: {hindrance.text}")
        for address, hindrance in told
        if hindrance is not None
    )


def _offered(wanted: DesiredPf, inventory: Inventory) -> Iterator[Function]:
    pf = inventory.find(wanted.address)
    if pf is not None and wanted.own is not None and wanted.own.resource_name is not None:
        yield pf
    named = {vf.index for vf in wanted.vfs if vf.resource_name is not None}
    yield from (vf for vf in (vfs_of(pf) if pf is not None else ()) if vf.index in named)


def _unexplained(found: InUse) -> Iterator[Holder]:
    """The holders that show a function open, or another one of its group, that no pod is known to have."""
    pods = {holder.member or holder.address for holder in found.holders if holder.by_pod}
    return (h for h in found.holders if h.cause in _OPEN and (h.member or h.address) not in pods)

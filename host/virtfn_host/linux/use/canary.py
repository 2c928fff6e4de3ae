"""Reads every PF's `sriov_numvfs`, the read that hangs behind a blocked write of anybody, in children that may hang.

This is the one place that reads it (see sysfs.py). A child whose read hangs is kept for that PF and only polled until
it comes back: a fresh one each time would hang too, and pile up. Not for use while we write it ourselves.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass

from virtfn_host.core.values.address import PciAddress
from virtfn_host.linux.errors import SysfsReadError
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.linux.touch.reader import Reader

DEADLINE = 1.0
"""Seconds for one read, which takes well under a millisecond unless somebody writes."""

ROUND = 2.0
"""Seconds for those that hang and are not known to; what there is no time for is read the next time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hang:
    """A PF of which `sriov_numvfs` does not read."""

    pf: PciAddress
    path: str
    seconds: float


class Canary:
    """One round of reads after the other; one child serves all PFs as long as none hangs."""

    def __init__(self, deadline: float = DEADLINE) -> None:
        self._deadline = deadline
        self._free: Reader | None = None
        self._hanging: dict[PciAddress, tuple[Reader, float]] = {}

    def look(self, sysfs: Sysfs, pfs: Iterable[PciAddress]) -> tuple[Hang, ...]:
        """The PFs that hang now, those first that have hung the longest."""
        # Counted, not timed: on a node short of CPU the start of the child alone takes seconds, and is nobody's hang.
        left = max(1, int(ROUND / self._deadline))
        for pf in dict.fromkeys((*self._hanging, *pfs)):
            known = pf in self._hanging
            # One that hangs already is only polled, so it is always asked.
            if known or left:
                self._ask(pf, sysfs.device(pf, "sriov_numvfs"))
                left -= pf in self._hanging and not known
        now = time.monotonic()
        return tuple(
            Hang(pf=pf, path=sysfs.device(pf, "sriov_numvfs"), seconds=round(now - since, 1))
            for pf, (_, since) in sorted(self._hanging.items(), key=lambda entry: entry[1][1])
        )

    def _ask(self, pf: PciAddress, path: str) -> None:
        reader, since = self._hanging.pop(pf, (self._free, time.monotonic()))
        reader = reader or Reader(self._deadline)
        if reader is self._free:
            self._free = None
        try:
            reader.read(path)
        except SysfsReadError:
            if reader.hangs:
                self._hanging[pf] = reader, since
                return
            # Refused is answered: whatever is wrong with this PF, nothing hangs.
        if self._free is None:
            self._free = reader
        else:
            reader.close()

    def close(self) -> None:
        """End the children; one that hangs ends when the kernel lets it go."""
        for reader in (self._free, *(reader for reader, _ in self._hanging.values())):
            if reader is not None:
                reader.close()
        self._free = None
        self._hanging.clear()

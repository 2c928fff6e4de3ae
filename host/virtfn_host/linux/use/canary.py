"""Finds blocked writes: reads every PF's `sriov_numvfs`, which hangs behind any blocked write, in child processes.

No other file reads `sriov_numvfs` (see sysfs.py). A child whose read hangs is kept for that PF and only polled until
the read returns: a new child each time would hang too, and they would pile up. Do not use it while virtfn itself writes
the attribute.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass

from virtfn_host.core.values.address import PciAddress
from virtfn_host.linux.errors import SysfsReadError
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.linux.touch.reader import Reader

DEADLINE = 1.0
"""Seconds for one read, which takes well under a millisecond unless a program writes the attribute."""

ROUND = 2.0
"""Seconds to wait for reads that newly hang. PFs not read in time are read in the next round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hang:
    """A PF whose `sriov_numvfs` does not read."""

    pf: PciAddress
    path: str
    seconds: float


class Canary:
    """Reads all PFs in rounds; one child serves all of them as long as none hangs."""

    def __init__(self, deadline: float = DEADLINE, beside: Reader | None = None) -> None:
        """Read in children of the process that `beside` has, or in an own one."""
        self._deadline = deadline
        self._another = Reader if beside is None else beside.another
        self._free: Reader | None = None
        self._hanging: dict[PciAddress, tuple[Reader, float]] = {}

    def look(self, sysfs: Sysfs, pfs: Iterable[PciAddress]) -> tuple[Hang, ...]:
        """The PFs that hang now, the longest hang first."""
        # Counted, not timed: on a node short of CPU the start of the child alone takes seconds, and that is no hang.
        left = max(1, int(ROUND / self._deadline))
        for pf in dict.fromkeys((*self._hanging, *pfs)):
            known = pf in self._hanging
            # A PF that hangs already is only polled, which takes no time.
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
        reader = reader or self._another(self._deadline)
        if reader is self._free:
            self._free = None
        try:
            reader.read(path)
        except SysfsReadError:
            if reader.hangs:
                self._hanging[pf] = reader, since
                return
            # A refused read is an answer, so nothing hangs.
        if self._free is None:
            self._free = reader
        else:
            reader.close()

    def close(self) -> None:
        """End the children; a hanging child ends when its read returns."""
        for reader in (self._free, *(reader for reader, _ in self._hanging.values())):
            if reader is not None:
                reader.close()
        self._free = None
        self._hanging.clear()

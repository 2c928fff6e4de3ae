"""Builds the machine, asks for blocked writes, and carries out plans: what the command and the host process share.

A blocked PCI write on this node holds up every later one, which the kernel then executes at an unknown later time. So
the canary is asked before a plan, and by `apply` before each further PF and each number of VFs. While virtfn itself
writes, no look asks the canary, because its read would wait for our own write.
"""

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from virtfn_host.core.values.model import Inventory, Stuck
from virtfn_host.core.values.report import Report, StepResult
from virtfn_host.core.values.steps import Plan
from virtfn_host.linux.act.apply import apply
from virtfn_host.linux.act.journal import Journal
from virtfn_host.linux.act.machine import Machine
from virtfn_host.linux.errors import BusyError
from virtfn_host.linux.netlink.asks import Netlink
from virtfn_host.linux.read.holding import who_blocks
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.linux.touch.modules import Modprobe
from virtfn_host.linux.touch.reader import Reader
from virtfn_host.linux.touch.writer import HELD_AFTER, Writer
from virtfn_host.linux.use.canary import Canary
from virtfn_host.linux.use.stuck import hanging, others_write, pfs_now

WAIT = 10.0
"""Seconds that a look waits for the look before it, which may hang."""


def machine_of(sysfs: Sysfs, journal: Path, root: Path = Path("/")) -> Machine:
    """Build everything that a step may touch; modules are looked for below `root`."""
    return Machine(
        sysfs=sysfs,
        writer=Writer(functools.partial(who_blocks, sysfs), HELD_AFTER, sysfs.sys),
        journal=Journal(journal, sysfs.boot_id),
        modules=Modprobe(sysfs, root),
        netlink=Netlink(sysfs.proc),
        reader=Reader(),
    )


class Executor:
    """A machine and its canary. Any thread may ask for blocked writes; plans must come one at a time."""

    def __init__(self, machine: Machine, canary: Canary | None = None) -> None:
        self.machine = machine
        self._canary = canary or Canary(beside=machine.reader)
        self._asking = threading.Lock()
        self._writes = False
        """Whether a plan is being carried out; guarded by `_asking`."""

    def blocked_write(self, inventory: Inventory) -> Stuck | None:
        """Return a blocked PCI write of this node: ours or, unless a plan is being carried out, another program's.

        Raises:
            BusyError: another thread is asking and has no answer yet.
        """
        if (stuck := self.machine.writer.stuck()) is not None:
            return stuck
        with in_turn(self._asking, WAIT):
            return None if self._writes else others_write(self.machine.sysfs, self._canary, inventory)

    def carry_out(
        self,
        plan: Plan,
        on_result: Callable[[StepResult], None],
        stopping: Callable[[], bool] = lambda: False,
        unwanted: Callable[[], bool] = lambda: False,
    ) -> Report | Stuck:
        """Return the report of `apply`, or the blocked write because of which no step was tried."""
        sysfs = self.machine.sysfs
        blocked = functools.partial(hanging, sysfs, self._canary, tuple(pfs_now(sysfs)))
        with self._asking:
            stuck = self.machine.writer.stuck() or blocked()
            self._writes = stuck is None
        if stuck is not None:
            return stuck
        try:
            return apply(plan, self.machine, on_result, stopping, blocked, unwanted)
        finally:
            with self._asking:
                self._writes = False

    def close(self) -> None:
        """End the children of writer, netlink, reader and canary."""
        self.machine.writer.close()
        for child in (self.machine.netlink, self.machine.reader):
            if child is not None:
                child.close()
        with self._asking:
            self._canary.close()


@contextlib.contextmanager
def in_turn(lock: threading.Lock, seconds: float) -> Iterator[None]:
    """Hold the lock of a look.

    Raises:
        BusyError: the look that holds it does not return.
    """
    if not lock.acquire(timeout=seconds):
        raise BusyError(f"busy: another look at this machine has not returned in {seconds:.0f} s")
    try:
        yield
    finally:
        lock.release()

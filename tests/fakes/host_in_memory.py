"""The host process on a fake kernel as the agent asks it, without its socket and without children.

What it carries out goes through the code of the real one, so no step is simulated a second time.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

from kernel import FakeKernel

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.kept import KeptConfig
from virtfn_host.core.values.model import Observation
from virtfn_host.core.values.report import Report, StepResult
from virtfn_host.core.values.steps import Plan
from virtfn_host.executor import Executor
from virtfn_host.linux.errors import HostError
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.linux.use.canary import Canary, Hang
from virtfn_host.process.client import HostRefused, HostUnreachable
from virtfn_host.process.protocol import PLAIN, Look
from virtfn_host.process.serve import Host


class QuietCanary(Canary):
    """Asks only for what does not read, which in the fake's tree is a pipe: its child is not started for the rest."""

    def look(self, sysfs: Sysfs, pfs: Iterable[PciAddress]) -> tuple[Hang, ...]:
        """See Canary."""
        return super().look(sysfs, [pf for pf in pfs if Path(sysfs.device(pf, "sriov_numvfs")).is_fifo()])


class HostInMemory:
    """See ports.HostProcess; errors are those of a HostClient."""

    def __init__(self, kernel: FakeKernel) -> None:
        self._kernel = kernel
        self._canary = QuietCanary(deadline=0.3)
        self.restart()

    def restart(self) -> None:
        """Another process, which knows only what is on the machine."""
        self._kernel.killed_after = None
        self.machine = self._kernel.machine()
        self._executor = Executor(self.machine, self._canary)
        self._host = Host(self._executor, reader=None)

    async def observe(self, look: Look = PLAIN) -> Observation:
        """See ports.HostProcess."""
        try:
            return self._host.observe(look)
        except HostError as error:
            raise HostRefused(error.reason, str(error)) from error

    async def apply(self, plan: Plan, on_result: Callable[[StepResult], None]) -> Report:
        """See ports.HostProcess; at once for who runs beside it."""
        try:
            return self._host.apply(plan, on_result)
        except InterruptedError as error:
            raise HostUnreachable("it went away in the middle of an answer") from error
        except HostError as error:
            raise HostRefused(error.reason, str(error)) from error

    async def keep(self, kept: KeptConfig) -> None:
        """See ports.HostProcess."""
        try:
            self._host.keep(kept)
        except HostError as error:
            raise HostRefused(error.reason, str(error)) from error

    async def watch(self) -> AsyncIterator[str]:
        """See ports.HostProcess."""
        yield "watching"
        await asyncio.Event().wait()

    def close(self) -> None:
        """End the canary's child, if there is one."""
        self._executor.close()

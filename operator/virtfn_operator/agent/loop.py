"""The agent's loop: observe, resolve, plan, apply, observe again, verify, publish, report.

Every round begins with a look and remembers nothing that can be seen, so a restart at any point converges. Pools are
published before the status is written, because new pods must not wait for an API server that may be away.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

from virtfn_host.backoff import Allowance, Backoff, between
from virtfn_host.core.values.desired import Desired
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import Outcome
from virtfn_host.core.values.resource_names import Domains
from virtfn_host.linux.poolfile import PoolFileError
from virtfn_host.logs.lines import about
from virtfn_host.metrics import Durations
from virtfn_host.process.client import HostRefused, HostUnreachable
from virtfn_operator.agent.figures import NO_FIGURES, figures, node_ready
from virtfn_operator.agent.found import Done, Found
from virtfn_operator.agent.in_use import being_started
from virtfn_operator.agent.machine import NodeMachine
from virtfn_operator.agent.ports import Files, HostProcess, OwnNode, Patience
from virtfn_operator.agent.progress import telling
from virtfn_operator.agent.ready import unreachable
from virtfn_operator.agent.report import StatusFacts, node_status, with_conditions
from virtfn_operator.api.foreign import mapping, number, text
from virtfn_operator.api.node_state import NodeSpec, read_spec
from virtfn_operator.api.node_status import wire
from virtfn_operator.api.patch import merge_patch
from virtfn_operator.apiserver.kube_error import KubeError
from virtfn_operator.clock import timestamp

logger = logging.getLogger(__name__)


class Agent:
    """The loop of one node, and what wakes it. Call all methods in one event loop."""

    def __init__(
        self, *, machine: NodeMachine, node: OwnNode, patience: Patience, version: str, domains: Domains = frozenset()
    ) -> None:
        self._machine = machine
        self._domains = domains
        self._node = node
        self._patience = patience
        self._version = version
        self._spec: NodeSpec | None = None
        self._given: object = None
        """The spec as the API server gave it."""
        self._generation = 0
        self._uid = ""
        """Of the object that the spec is of."""
        self._woken = asyncio.Event()
        self._stopping = False
        self._backoff = Backoff(first=patience.retry, limit=patience.retry_limit)
        """Of rounds; `Kube` counts the failures of the API server."""
        self._reports = Allowance(burst=patience.reports, every=patience.report_every)
        self._untold = False
        self._read_again_at = 0.0
        self._held_for = math.inf
        """Seconds until the client sends a held request again; infinite where the last request was not held."""
        self._unheard_at: float | None = None
        """When a request to the API server last failed."""
        self._busy = 0.0
        """Seconds that the last round took."""
        self._converged: Desired | None = None
        """What was verified last time; steps to the same end are drift."""
        self.last_turn = 0.0
        """Loop time when a round last ended, well or not."""
        self._number = 0
        """Of the present round, for the log."""
        self.turns = Durations()
        self.figures = NO_FIGURES
        """What the last round told, for the metrics."""
        self.verdict: tuple[Reason, bool] | None = None
        """The Ready condition that was last told, or could not be told."""

    def see(self, body: Mapping[str, Any]) -> None:
        """Take over the spec of the own SriovNode; a change of its status alone does not wake the loop.

        A watch may be behind a read: an older generation of the same object is ignored, or a turn that was taken back
        would begin again. Only a read tells that the API server's store went back.
        """
        try:
            uid, generation = _which(body)
            late = uid == self._uid and generation < self._generation
            if not late and self._adopt(body):
                self._woken.set()
        except Exception:  # an unexpected object must not end the watch; it is read again later
            logger.exception("cannot read the SriovNode that the watch shows")

    def _adopt(self, body: Mapping[str, Any]) -> bool:
        """Take over the spec; return whether it asks for something new."""
        given, (self._uid, generation) = body.get("spec") or {}, _which(body)
        if (given, generation) == (self._given, self._generation):
            return False  # before parsing, which may take a second: our own status writes arrive here too
        self._given, spec = given, read_spec(given, self._domains)
        if (spec, generation) == (self._spec, self._generation):
            return False
        # A new object has no spec until the controller writes one. That does not ask to give anything back.
        # The turn ended with the old object; another node may have it now.
        kept = None if self._spec is None else replace(self._spec, may_change=False)
        self._spec, self._generation = spec or kept, generation
        return True

    def lose(self) -> None:
        """The own SriovNode is gone: create it again."""
        self._read_again_at = 0.0
        self._woken.set()

    def stir(self) -> None:
        """The machine changed: wake, unless something fails. Then most events are our own, so the back-off holds."""
        if not self._backoff.failures:
            self._woken.set()

    def stop(self) -> None:
        """End after the current round."""
        self._stopping = True
        self._woken.set()

    async def run(self) -> None:
        """Run rounds until stopped. An exception of a round is logged; the next round begins with a look."""
        self.last_turn = asyncio.get_running_loop().time()
        while not self._stopping:
            self._woken.clear()
            began = asyncio.get_running_loop().time()
            self._number += 1
            try:
                with about(turn=self._number):
                    pause = await self.turn()
            except (HostRefused, HostUnreachable, PoolFileError) as error:
                pause = await self._cannot(error)
            except Exception:
                logger.exception("a turn failed")
                pause = self._backoff.failed()
            self.last_turn = asyncio.get_running_loop().time()
            self._busy = self.last_turn - began
            self.turns.took(self._busy)
            await self._rest(min(pause, self._patience.retell) if self._untold else pause)

    async def watch_host(self, host: HostProcess) -> None:
        """Wake on every kernel event from the host process; connect again whenever the stream ends."""
        backoff = Backoff(first=2 * self._patience.retry, limit=4 * self._patience.retry_limit)
        while True:
            try:
                async for _ in host.watch():
                    backoff.succeeded()
                    self.stir()
            except (HostRefused, HostUnreachable) as error:
                logger.debug("%s", error)
            await asyncio.sleep(backoff.failed())

    async def watch_ledger(self, files: Files) -> None:
        """Wake when the device plugin allocates something: only the ledger shows it."""
        seen = await files.ledger_stamp()
        while True:
            await asyncio.sleep(self._patience.poll)
            if (now := await files.ledger_stamp()) != seen:
                seen = now
                self.stir()

    async def turn(self) -> float:
        """Run one round; return the seconds until the next, if nothing wakes the loop.

        Raises:
            HostUnreachable: the host process does not answer; what was published stays.
            HostRefused: the host process refused a request.
            PoolFileError: the pool file could not be written.
        """
        await self._read_own_node()
        spec, generation = self._spec, self._generation
        readable = spec is not None and not spec.rejected
        found = await self._machine.look(spec.config if spec and readable else None)
        await self._machine.remember(self._node.status, found)
        done = Done()
        if spec is not None and readable:
            changing = self._changing(found)
            if found.acts(may_change=spec.may_change):
                await self._tell(spec, generation, found, done, changing=changing)
            async with self._telling_progress(spec, generation, found, changing):
                done = await self._machine.carry_out(found, may_change=spec.may_change)
            if done.stale:
                found = await self._machine.look(spec.config)
            await self._machine.publish(found, self._machine.stays_withdrawn(found, may_change=spec.may_change))
        await self._machine.compare(self._node)
        self._converged = None if found.plan.pfs else found.resolution.desired
        await self._tell(spec, generation, found, done, changing=None)
        if spec is not None and readable:
            await self._machine.keep(found)
        return self._pause(found, done)

    def _changing(self, found: Found) -> Reason:
        """Return the reason while steps are carried out. Where the condition is `Drifted` already, that would be no
        transition, so no event would tell why something is given back."""
        drifted = found.drifted or found.resolution.desired == self._converged
        told = node_ready(self._node.status) == (Reason.DRIFTED, False)
        untold = told and any(part.cause is not None for part in found.plan.pfs)
        return Reason.DRIFTED if drifted and not untold else Reason.CHANGING

    def _pause(self, found: Found, done: Done) -> float:
        failed = any(result.outcome is Outcome.FAILED for report in done.reports for result in report.results)
        undone = done.tried and bool(found.plan.calm.steps)
        if failed or undone or done.obstacle is not None:
            return self._backoff.failed()
        self._backoff.succeeded()
        calm = self._calm(found)
        return calm if found.repair_in is None else min(calm, found.repair_in)

    def _calm(self, found: Found) -> float:
        """Seconds until the next round while nothing fails."""
        if found.observation.stuck is not None:
            return self._patience.blocked  # no event tells when the blocked write returns
        if any(blocked.holders for blocked in found.plan.blocked) or being_started(found.in_use):
            return self._patience.blocked
        if self._machine.withdrawn:  # a function changes its pool when the kubelet has stopped to offer it
            return self._patience.blocked
        if found.in_use.holders:
            return self._patience.in_use
        return self._patience.idle * between(0.8, 1.2)

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return
        if not self._stopping:
            # As long as the round took: endless events of the machine may use half of the time at most.
            await asyncio.sleep(self._patience.settle + self._busy)

    async def _cannot(self, error: HostRefused | HostUnreachable | PoolFileError) -> float:
        """Report the error from the second time on: a restart of the host's container takes a second."""
        pause = self._backoff.failed()
        if self._backoff.failures > 1:
            logger.warning("%s", error)
            old = self._node.status
            conditions = with_conditions(old, (unreachable(self._generation, error.reason, str(error)),), timestamp())
            status = {**old, "conditions": wire(conditions)}
            await self._report(status)
        return pause

    def _telling_progress(
        self, spec: NodeSpec, generation: int, found: Found, changing: Reason
    ) -> AbstractAsyncContextManager[None]:
        async def tell(carried: int) -> None:
            await self._tell(spec, generation, found, Done(), changing=changing, carried=carried)

        return telling(tell, lambda: self._machine.carried, self._patience.progress)

    async def _tell(
        self,
        spec: NodeSpec | None,
        generation: int,
        found: Found,
        done: Done,
        *,
        changing: Reason | None,
        carried: int = 0,
    ) -> None:
        facts = StatusFacts(
            spec=spec,
            generation=generation,
            found=found,
            done=done,
            published=self._machine.published,
            offers=self._machine.offers,
            changing=changing,
            agent_version=self._version,
            carried=carried,
        )
        self.figures = figures(facts, self.figures, asyncio.get_running_loop().time())
        await self._report(node_status(facts, self._node.status, timestamp()))

    async def _report(self, status: Mapping[str, Any]) -> None:
        """Write the status; one that flaps is written every `Patience.report_every` seconds, as it is then."""
        self.verdict = node_ready(status)
        if merge_patch(self._node.status, status) and not self._reports.take(time.monotonic()):
            self._untold = True
            return
        self._untold = not await self._word("report", lambda: self._node.report(status))

    async def _read_own_node(self) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._read_again_at:
            return
        self._read_again_at = now + self._patience.retell

        async def read() -> None:
            self._adopt(await self._node.ensure())

        if await self._word("read", read):
            wary = self._unheard_at is not None and now - self._unheard_at < self._patience.wary_for
            limit = self._patience.wary if wary else self._patience.resync
            self._read_again_at = now + limit * between(0.75, 1.0)
        else:
            self._read_again_at = now + min(self._held_for, self._patience.retell)

    async def _word(self, what: str, say: Callable[[], Awaitable[None]]) -> bool:
        """Make one request to the API server; return False when it failed or took more than `Patience.api` seconds."""
        try:
            async with asyncio.timeout(self._patience.api):
                await say()
        except (KubeError, TimeoutError) as error:
            self._unheard_at = asyncio.get_running_loop().time()
            self._held_for = error.retry_in if isinstance(error, KubeError) and error.held else math.inf
            if self._held_for == math.inf:
                text = str(error) or f"no answer within {self._patience.api:.0f} s"
                logger.warning("cannot %s the SriovNode, will try again: %s", what, text)
            return False
        return True


def _which(body: Mapping[str, Any]) -> tuple[str, int]:
    """Return uid and generation of an object."""
    metadata = mapping(body.get("metadata"))
    return text(metadata.get("uid"), 253), number(metadata.get("generation")) or 0

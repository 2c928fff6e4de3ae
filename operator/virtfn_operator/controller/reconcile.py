"""One reconcile (list, decide, write) and the loop that calls it when something happened.

Lists are fresh and complete every time: a watch misses deletions in its gaps, so nothing is decided from what a watch
remembers. A write that fails stops no other; it is decided anew, and tried again with growing patience.
"""

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass

from virtfn_operator import events
from virtfn_operator.api import NODES, POLICIES, POLICY_KIND
from virtfn_operator.clock import micro_timestamp
from virtfn_operator.controller.decide import DEFAULT, Rules, World, Write, decide
from virtfn_operator.controller.timekeeper import Timekeeper
from virtfn_operator.kube import METADATA_ONLY, Kube, ours
from virtfn_operator.kube_error import KubeError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Seconds between reconciles."""

    quiet: float = 0.3
    """After a wake-up: what comes together is looked at together."""
    share: float = 1.0
    """A reconcile that took t seconds is followed by t * share seconds of rest, however many events come."""
    resync: float = 60.0
    """Without any event: watches miss deletions in their gaps."""
    retry: float = 1.0
    retry_limit: float = 30.0


class Reconciler:
    """Wakes, lists, decides, writes."""

    def __init__(
        self, kube: Kube, *, instance: str, pace: Pace | None = None, parallel: int = 16, rules: Rules = DEFAULT
    ) -> None:
        self._kube = kube
        self._instance = instance
        self._pace = pace or Pace()
        self._slots = asyncio.Semaphore(parallel)
        self._rules = rules
        self._time = Timekeeper()
        self._woken = asyncio.Event()
        self._failures = 0
        self._told: frozenset[str] = frozenset()
        self.last_turn = 0.0
        """Loop time when a reconcile last ended, well or not."""

    def wake(self) -> None:
        """Something changed somewhere; not thread-safe."""
        self._woken.set()

    async def run(self, clock: Callable[[], float]) -> None:
        """Reconcile for ever; `clock` is the event loop's."""
        while True:
            self._woken.clear()
            began = clock()
            done = await self.reconcile()
            self.last_turn = clock()
            self._failures = 0 if done else self._failures + 1
            await asyncio.sleep((self.last_turn - began) * self._pace.share + self._pace.quiet)
            await self._rest()

    async def _rest(self) -> None:
        if self._failures:
            limit = min(self._pace.retry * 2 ** (self._failures - 1), self._pace.retry_limit)
            await asyncio.sleep(limit * random.uniform(0.5, 1.0))  # noqa: S311  # jitter is no secret
            return
        try:
            async with asyncio.timeout(self._pace.resync * random.uniform(0.8, 1.2)):  # noqa: S311
                await self._woken.wait()
        except TimeoutError:
            return
        await asyncio.sleep(self._pace.quiet)

    async def reconcile(self) -> bool:
        """One pass; True when everything that had to be written is written."""
        try:
            world = await self._world()
        except KubeError as error:
            logger.warning("cannot look at the cluster, will look again: %s", error)
            return False
        try:
            now, jumped = self._time.read()
            decision = decide(world, now, self._rules, jumped=jumped)
        except Exception:
            logger.exception("deciding failed; nothing is written")
            return False
        self._tell(decision.unreadable)
        return all(await asyncio.gather(*(self._write(write) for write in decision.writes)))

    async def _world(self) -> World:
        policies, states, nodes = await asyncio.gather(
            self._kube.list(ours(POLICIES)),
            self._kube.list(ours(NODES)),
            self._kube.list("/api/v1/nodes", accept=METADATA_ONLY),
        )
        return World(policies=policies, states=states, nodes=nodes)

    async def _write(self, write: Write) -> bool:
        async with self._slots:
            try:
                await self._kube.patch(ours(write.plural, write.name, write.subresource), write.patch)
            except KubeError as error:
                if error.absent:
                    return True  # gone meanwhile: nothing is left to write
                logger.warning("%s %s is not written, will try again: %s", write.plural, write.name, error)
                return False
            logger.info("%s %s: wrote %s", write.plural, write.name, write.subresource or "spec")
            await events.post(
                self._kube,
                write.about,
                POLICY_KIND,
                write.transitions,
                instance=self._instance,
                now=micro_timestamp(),
            )
            return True

    def _tell(self, unreadable: tuple[str, ...]) -> None:
        """Once per finding, not once per reconcile."""
        for line in sorted(set(unreadable) - self._told):
            logger.error("%s", line)
        self._told = frozenset(unreadable)

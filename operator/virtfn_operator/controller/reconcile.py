"""One reconcile (list, decide, write), and the loop that runs it when something happened.

Lists are fresh and complete every time: a watch misses deletions in its gaps, so nothing is decided from what a watch
remembers. A write that fails stops no other; it is decided again and tried again, after a longer pause each time. After
a failure the list that failed is requested first and alone, so that a failing API server gets one request per attempt.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from virtfn_host.backoff import Backoff, between
from virtfn_operator.api import NODES, POLICIES, POLICY_KIND
from virtfn_operator.apiserver import events
from virtfn_operator.apiserver.kube import METADATA_ONLY, Kube, ours
from virtfn_operator.apiserver.kube_error import KubeError
from virtfn_operator.clock import micro_timestamp
from virtfn_operator.controller.decide import DEFAULT, Rules, World, Write, decide
from virtfn_operator.controller.timekeeper import Timekeeper

logger = logging.getLogger(__name__)


WORLD = {ours(POLICIES): "application/json", ours(NODES): "application/json", "/api/v1/nodes": METADATA_ONLY}
"""The lists to decide from, each with its Accept header."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Seconds between reconciles."""

    quiet: float = 0.3
    """After a wake-up, so that events that come together are handled together."""
    share: float = 1.0
    """Not seconds: a reconcile that took t seconds is followed by t * share seconds of rest, however many events
    come."""
    resync: float = 48.0
    """Without any event, at most: a watch misses deletions in its gaps and may hang unseen, and a new policy must still
    show within a minute."""
    retry: float = 1.0
    """After a failed list; the next attempt costs one request."""
    retry_limit: float = 30.0
    rewrite: float = 5.0
    """After failed writes; the next attempt costs three lists and the writes."""
    wary: float = 20.0
    """Instead of `resync`, for `wary_for` seconds after a failure of the API server: a watch may still hang."""
    wary_for: float = 120.0


class Reconciler:
    """Runs reconciles: list, decide, write."""

    def __init__(
        self, kube: Kube, *, instance: str, pace: Pace | None = None, parallel: int = 8, rules: Rules = DEFAULT
    ) -> None:
        self._kube = kube
        self._events = events.Events(kube, instance=instance)
        self._pace = pace or Pace()
        self._slots = asyncio.Semaphore(parallel)
        self._rules = rules
        self._time = Timekeeper()
        self._woken = asyncio.Event()
        self._looks = Backoff(first=self._pace.retry, limit=self._pace.retry_limit)
        self._writes = Backoff(first=self._pace.rewrite, limit=self._pace.retry_limit)
        self._pause = 0.0
        self._unreadable: str | None = None
        """The list that failed last."""
        self._trouble_at: float | None = None
        self._told: frozenset[str] = frozenset()
        self.last_turn = 0.0
        """Loop time when a reconcile last ended, well or not."""

    def wake(self) -> None:
        """Start a reconcile soon; not thread-safe."""
        self._woken.set()

    async def run(self, clock: Callable[[], float]) -> None:
        """Reconcile for ever; `clock` is the event loop's."""
        self.last_turn = clock()
        while True:
            self._woken.clear()
            began = clock()
            done = await self.reconcile()
            self.last_turn = clock()
            if not done:
                self._trouble_at = self.last_turn
            await asyncio.sleep((self.last_turn - began) * self._pace.share + self._pace.quiet)
            await self._rest(done, self.last_turn)

    async def _rest(self, done: bool, now: float) -> None:
        if not done:
            await asyncio.sleep(self._pause)
            return
        wary = self._trouble_at is not None and now - self._trouble_at < self._pace.wary_for
        limit = self._pace.wary if wary else self._pace.resync
        try:
            async with asyncio.timeout(limit * between(0.85, 1.0)):
                await self._woken.wait()
        except TimeoutError:
            return
        await asyncio.sleep(self._pace.quiet)

    async def reconcile(self) -> bool:
        """Run one pass; return True when everything that had to be written is written."""
        try:
            world = await self._world()
        except KubeError as error:
            if not error.held:
                logger.warning("cannot list the cluster's objects, will try again: %s", error)
            self._pause = error.retry_in if error.held else max(self._looks.failed(), error.retry_in)
            return False
        self._looks.succeeded()
        try:
            now, jumped = self._time.read()
            # In a thread: 10,000 policies take seconds, during which health, watches and writes must go on.
            decision = await asyncio.to_thread(decide, world, now, self._rules, jumped=jumped)
        except Exception:
            logger.exception("deciding failed; nothing is written")
            self._pause = self._writes.failed()
            return False
        self._tell(decision.unreadable)
        written = all(await asyncio.gather(*(self._write(write) for write in decision.writes)))
        if written:
            self._writes.succeeded()
        else:
            self._pause = self._writes.failed()
        return written

    async def _world(self) -> World:
        early = {path: await self._list(path) for path in (self._unreadable,) if path is not None}
        self._unreadable = None
        rest = [path for path in WORLD if path not in early]
        late = dict(zip(rest, await asyncio.gather(*map(self._list, rest)), strict=True))
        policies, states, nodes = ((early | late)[path] for path in WORLD)
        return World(policies=policies, states=states, nodes=nodes)

    async def _list(self, path: str) -> list[dict[str, Any]]:
        try:
            return await self._kube.list(path, accept=WORLD[path])
        except KubeError:
            self._unreadable = path
            raise

    async def _write(self, write: Write) -> bool:
        async with self._slots:
            try:
                await self._kube.patch(ours(write.plural, write.name, write.subresource), write.patch)
            except KubeError as error:
                if error.absent:
                    return True  # deleted meanwhile: nothing is left to write
                if error.held:
                    return False
                logger.warning("cannot write %s %s, will try again: %s", write.plural, write.name, error)
                return False
            logger.info("%s %s: wrote %s", write.plural, write.name, write.subresource or "spec")
            await self._events.post(write.about, POLICY_KIND, write.transitions, now=micro_timestamp())
            return True

    def _tell(self, unreadable: tuple[str, ...]) -> None:
        """Log each finding once, not once per reconcile."""
        for line in sorted(set(unreadable) - self._told):
            logger.error("%s", line)
        self._told = frozenset(unreadable)

"""One reconcile (list what must be, decide, write), and the loop that runs it when something happened.

What is decided from is the picture (`picture.py`), which the watches keep. Lists are read at the start, after a gap of
a watch, and seldom as a check. A write that fails stops no other; it is decided again and tried again, after a longer
pause each time. Lists are requested one after the other, so that a failing API server gets one request per attempt.

A stale picture must not give a turn too much. So the answer to a write is known before anything else is decided; a turn
is granted or ended only for the version that was decided from; a grant without an answer counts as granted; and nothing
is written by a process whose lease may be lost (decision 0034).
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any

from virtfn_host.backoff import Backoff, between
from virtfn_host.logs.lines import about
from virtfn_host.metrics import Durations
from virtfn_operator.api import POLICIES, POLICY_KIND
from virtfn_operator.apiserver import events
from virtfn_operator.apiserver.gate import UNANSWERED
from virtfn_operator.apiserver.kube import Kube, ours
from virtfn_operator.apiserver.kube_error import KubeError
from virtfn_operator.clock import micro_timestamp
from virtfn_operator.controller.decide import DEFAULT, Decision, Rules, Write, decide_all
from virtfn_operator.controller.decider import Decider, world_of
from virtfn_operator.controller.evict import Facts
from virtfn_operator.controller.evictions import AGAIN, Evictions
from virtfn_operator.controller.figures import PolicyFigures, PolicyNodes
from virtfn_operator.controller.known import Latest, number_of
from virtfn_operator.controller.listing import check, fill
from virtfn_operator.controller.order import in_order
from virtfn_operator.controller.pace import Pace as Pace
from virtfn_operator.controller.picture import Change, ObjectKind, Picture
from virtfn_operator.controller.see import version_of
from virtfn_operator.controller.startup_taint import StartupTaints
from virtfn_operator.controller.timekeeper import Timekeeper
from virtfn_operator.controller.waking import Waking

WRITE_SECONDS = 4.0
"""Seconds for a write: less than from the moment when a leader stops (`leader.RENEW_DEADLINE`) to when another one may
begin (`leader.LEASE_DURATION`)."""

TRIAL = 0.25
"""Seconds between two looks at whether the API server takes writes again."""

logger = logging.getLogger(__name__)


def same(one: Decision, other: Decision) -> bool:
    """Whether two decisions write the same, in any order."""
    first, second = ({(w.plural, w.name): (w.patch, w.turn) for w in decision.writes} for decision in (one, other))
    evicted = (set(one.evictions), one.refusals) == (set(other.evictions), other.refusals)
    return first == second and evicted


def decide(decider: Decider, changes: Iterable[Change], now: str, *, jumped: bool, facts: Facts) -> Decision:
    """Decide what is due after some changes."""
    decider.take(changes)
    return decider.decide(now, jumped=jumped, facts=facts)


class Reconciler:
    """Runs reconciles: list, decide, write."""

    def __init__(
        self,
        kube: Kube,
        *,
        instance: str,
        pace: Pace | None = None,
        parallel: int = 16,
        rules: Rules = DEFAULT,
        taints: StartupTaints | None = None,
        evictions: Evictions | None = None,
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        """Make a reconciler.

        Args:
            kube: the API server.
            instance: the name of this process, for events.
            pace: how often it looks and writes.
            parallel: requests at the same time.
            rules: the settings of the installation.
            taints: removes start-up taints; None: Nodes are left as they are.
            evictions: evicts pods; None: no pod is evicted.
            leads: whether we may write now.
        """
        self._kube = kube
        self._events = events.Events(kube, instance=instance)
        self._pace = pace or Pace()
        self._slots = asyncio.Semaphore(parallel)
        self._rules = rules
        self._taints = taints
        self._evictions = evictions
        self._evict_again: asyncio.TimerHandle | None = None
        self._leads = leads
        self._picture = Picture(rules.domains)
        self._decider = Decider(rules)
        self._whole: dict[ObjectKind, asyncio.Event] = {kind: asyncio.Event() for kind in ObjectKind}
        self._waking = Waking()
        self._waits = Backoff(first=self._pace.taints, limit=self._pace.resync)
        self._time = Timekeeper()
        self._woken = asyncio.Event()
        self._looks = Backoff(first=self._pace.retry, limit=self._pace.retry_limit)
        self._writes = Backoff(first=self._pace.rewrite, limit=self._pace.retry_limit)
        self._pause = 0.0
        self._told: frozenset[str] = frozenset()
        self._doubted = False
        """Whether to decide once more from everything, as a check."""
        self._left_over = False
        """Whether the last pass had more to write than there was time for."""
        self._took = 0.0
        """Seconds that the last decision took."""
        self.last_turn = 0.0
        """Loop time when a reconcile last ended, well or not."""
        self.turns = Durations()
        self._figures = PolicyFigures()

    @property
    def policy_nodes(self) -> PolicyNodes:
        """How many nodes of each policy are in which state, as of the last pass."""
        return self._figures.policy_nodes

    def wake(self) -> None:
        """Start a reconcile soon; not thread-safe."""
        self._woken.set()

    def tell(self, kind: ObjectKind, event: str, body: Mapping[str, Any]) -> bool:
        """Take over an event of a watch; return False where the watch is of no use because the store was restored."""
        if kind in self._picture.outdated:
            return False
        if not self._picture.objects[kind].tell(event, body):
            return True
        loop = asyncio.get_running_loop()
        name, version = body["metadata"].get("name"), body["metadata"].get("resourceVersion")
        wait = self._waking.moved((kind, name), None if event == "DELETED" else version, loop.time())
        if wait is not None and wait > 0.0:
            loop.call_later(wait, self.wake)
        elif wait is not None:
            self.wake()
        return True

    async def listed(self, kind: ObjectKind) -> str:
        """Have a kind listed again if it was, wait for that, and return the version to watch from."""
        if self._whole[kind].is_set():
            self._whole[kind].clear()
            self._picture.gaps[kind] = None
            self.wake()
        await self._whole[kind].wait()
        return self.newest(kind)

    def newest(self, kind: ObjectKind) -> str:
        """Return the version from which a new watch goes on."""
        self._picture.outdated.discard(kind)
        return str(self._picture.objects[kind].newest or "")

    async def run(self, clock: Callable[[], float]) -> None:
        """Reconcile for ever; `clock` is the event loop's."""
        self.last_turn, number = clock(), 0
        checking = asyncio.create_task(self._check_for_ever())
        try:
            while True:
                self._woken.clear()
                began = clock()
                number += 1
                with about(turn=number):
                    done = await self.reconcile()
                self.last_turn = clock()
                self.turns.took(self.last_turn - began)
                await asyncio.sleep(self._took * self._pace.share + (self._pace.quiet if done else self._pause))
                if done:
                    await self._rest()
        finally:
            checking.cancel()

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(self._pace.resync * between(0.85, 1.0)):
                await self._woken.wait()
        except TimeoutError:
            return
        await asyncio.sleep(self._pace.quiet)

    async def _check_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._pace.check * between(0.8, 1.2))
            for kind in ObjectKind:
                try:
                    await check(self._kube, self._picture, kind)
                except KubeError as error:
                    logger.info("cannot check what the watches told: %s", error)
            self._doubted = True
            self.wake()

    async def reconcile(self) -> bool:
        """Run one pass; return True when everything that had to be written is written."""
        try:
            while self._picture.gaps:  # a list may show that others are needed, too
                kind = next(iter(self._picture.gaps))
                await fill(self._kube, self._picture, kind)
                self._whole[kind].set()
        except KubeError as error:
            if not error.held:
                logger.warning("cannot list the cluster's objects, will try again: %s", error)
            self._pause = error.retry_in if error.held else max(self._looks.failed(), error.retry_in)
            return False
        self._looks.succeeded()
        try:
            changes = self._picture.changes()
            decision = await self._decide(changes, await self._look(changes))
        except Exception:
            logger.exception("deciding failed; nothing is written")
            self._decider = Decider(self._rules)
            self._decider.take(self._picture.everything())
            self._pause = self._writes.failed()
            return False
        self._tell(decision.unreadable)
        self._figures.written(decision.writes)
        written = await self._write_all(decision.writes)
        await self._remove_taints()
        await self._evict(decision)
        if written:
            self._writes.succeeded()
        else:
            self._pause = 0.0 if self._left_over else self._writes.failed()
        return written

    async def _look(self, changes: list[Change]) -> Facts:
        """Tell all that decide beside the decider what changed; return what else is decided from."""
        cordoned = self._picture.cordoned
        self._figures.take(changes)
        if self._taints is not None:
            self._taints.take(changes)
        if self._evictions is None:
            return Facts(cordoned=cordoned)
        self._evictions.take(changes)
        return await self._evictions.look(cordoned)

    async def _evict(self, decision: Decision) -> None:
        """Evict pods; look again at once after a new answer, and in a while to try again what was refused."""
        if self._evictions is None:
            return
        self._evictions.remember(decision.refusals)
        if not decision.evictions:
            return
        if await self._evictions.send(decision.evictions, self._leads):
            self.wake()
        if self._evict_again is not None:
            self._evict_again.cancel()
        self._evict_again = asyncio.get_running_loop().call_later(AGAIN, self.wake)

    async def _decide(self, changes: Iterable[Change], facts: Facts) -> Decision:
        """Decide in a thread: 10,000 policies take seconds, during which health, watches and lease must go on."""
        now, jumped = self._time.read()
        everything = self._picture.everything() if self._doubted else None
        began = time.monotonic()
        try:
            decision = await asyncio.to_thread(decide, self._decider, changes, now, jumped=jumped, facts=facts)
            if everything is not None:
                self._doubted = False
                moment = partial(self._decide_anew, now=now, jumped=jumped, facts=facts)
                decision = await asyncio.to_thread(moment, decision, everything)
            return decision
        finally:
            self._took = time.monotonic() - began

    def _decide_anew(
        self, decision: Decision, everything: Iterable[Change], *, now: str, jumped: bool, facts: Facts
    ) -> Decision:
        """Decide once more, from everything. A difference is told; then the decision from everything counts."""
        anew = decide_all(world_of(everything), now, self._rules, jumped=jumped, facts=facts)
        if same(decision, anew):
            return decision
        logger.error("a decision from everything is another one than the last one; this is a bug in virtfn")
        self._decider = Decider(self._rules)
        self._decider.take(everything)
        return anew

    async def _remove_taints(self) -> None:
        """Remove start-up taints; look again soon where a node has one yet, and ever more rarely."""
        if self._taints is None:
            return
        if await self._taints.settle():
            asyncio.get_running_loop().call_later(self._waits.failed(), self.wake)
        else:
            self._waits.succeeded()

    async def _write_all(self, writes: Iterable[Write]) -> bool:
        """Write in order, and look once more afterwards: an answer may tell of more than what we wrote."""
        order, self._left_over = in_order(writes), False
        until = asyncio.get_running_loop().time() + self._pace.writing
        ended = await self._several(order.ends, until)
        rest = await self._several(order.rest, until)
        begun = await self._several(order.grants, until)
        if order.ends or order.rest or order.grants:
            self.wake()
        return ended and rest and begun

    async def _several(self, writes: Iterable[Write], until: float) -> bool:
        """Write side by side; what has not begun by `until` is decided again first, because much may have happened."""
        return all(await asyncio.gather(*(self._in_time(write, until) for write in writes)))

    async def _in_time(self, write: Write, until: float) -> bool:
        async with self._slots:
            await self._until_open(write, until)
            if asyncio.get_running_loop().time() >= until:
                self._left_over = True
                return False
            return self._leads() and await self._write(write)

    async def _until_open(self, write: Write, until: float) -> None:
        """Wait while the API server asked for a pause, or one request tries for all whether it is well again."""
        loop, path = asyncio.get_running_loop(), ours(write.plural, write.name, write.subresource)
        while (wait := self._kube.gate.hold_others("PATCH", path)) > 0.0 and loop.time() < until:
            await asyncio.sleep(min(wait, TRIAL))

    async def _write(self, write: Write) -> bool:
        kind = ObjectKind(write.plural)
        objects = self._picture.objects[kind]
        fields = {"policy" if write.plural == POLICIES else "node": write.name}
        before = objects.known.get(write.name)
        try:
            answer = await self._patch(write)
        except KubeError as error:
            if error.absent and write.name not in objects.known:
                return True  # a watch told of its deletion: nothing is left to write
            if error.absent:
                # The answer may be wrong, or late where the object was made again. A list tells, and has a version.
                self._picture.gaps[kind] = None
                return False
            if write.turn and not error.held and _may_be_written(error.status):
                objects.promise(write.name)
            if error.status == HTTPStatus.TOO_MANY_REQUESTS:
                self._left_over = True
            elif not error.held and not error.exists:
                logger.warning("cannot write %s %s, will try again: %s", write.plural, write.name, error, extra=fields)
            return False
        self._look_back(before, answer)
        objects.answer(answer)
        logger.info("%s %s: wrote %s", write.plural, write.name, write.subresource or "spec", extra=fields)
        await self._events.post(write.about, POLICY_KIND, write.transitions, now=micro_timestamp())
        return True

    def _look_back(self, before: Latest | None, answer: Mapping[str, Any]) -> None:
        """Notice by the answer to a write that the store was restored: it is older than what was known before."""
        version = number_of(version_of(answer))
        if before is not None and 0 < version < before.version:
            logger.warning("the API server's store was restored from an older copy; listing everything again")
            self._picture.went_back(version)

    async def _patch(self, write: Write) -> dict[str, Any]:
        path = ours(write.plural, write.name, write.subresource)
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                return await self._kube.patch(path, write.patch)
        except TimeoutError:
            raise KubeError(UNANSWERED, f"PATCH {path}: no answer within {WRITE_SECONDS:.0f} s") from None

    def _tell(self, unreadable: tuple[str, ...]) -> None:
        """Log each finding once, not once per reconcile."""
        for line in sorted(set(unreadable) - self._told):
            logger.error("%s", line)
        self._told = frozenset(unreadable)


def _may_be_written(status: int) -> bool:
    """Whether a write may have been carried out although this was the answer."""
    return status == UNANSWERED or status >= HTTPStatus.INTERNAL_SERVER_ERROR

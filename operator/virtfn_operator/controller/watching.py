"""The watches of the controller: they tell the picture of each change, and of a gap when they may have missed one.

A watch goes on from the version that the list or the last event had. It ends after `LASTS` seconds, so that one that
hangs unseen is noticed within a minute, and the next one begins where it ended: this costs a request and no list.

After trouble (refused, cut, expired, nonsense, silence) a watch waits for its attempt (`Attempts`). One at a time
tries, every `PROBE` seconds; once one stands, the others try at once, each every `SPACED` seconds at most. So trouble
of all watches costs few requests and ends soon.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum, auto
from http import HTTPStatus
from typing import Any

from virtfn_host.backoff import between
from virtfn_host.core.values.codec import CodecError
from virtfn_host.core.values.strict_json import parse_json
from virtfn_operator.apiserver.answers import check_event
from virtfn_operator.apiserver.kube import OBJECT_LIMIT, Kube
from virtfn_operator.apiserver.kube_error import KubeError
from virtfn_operator.controller.listing import Source

LASTS = 36
"""Seconds that a watch lasts, at most."""

GRACE = 6.0
"""Seconds that the API server may need to end a watch; one that is still open is taken for hung."""

CALM = 15.0
"""Seconds that a watch must have lasted for the next one to begin at once."""

STANDS = 3.0
"""Seconds after which a watch counts as standing."""

FIRST, PROBE = 2.0, 15.0
"""Seconds until an attempt after trouble: the first, and each later one."""

SPACED = 20.0
"""Seconds from one attempt of a watch to its next, if it did not last: it may stand for a moment again and again."""

logger = logging.getLogger(__name__)


class Ended(Enum):
    """How a watch ended."""

    AS_AGREED = auto()
    """Or cut, if it did not last."""
    CUT = auto()
    """It may go on from where it was."""
    LOST = auto()
    """Events were missed, or may have been: list again."""


class Attempts:
    """Decides when a watch may be tried again after trouble; one for all watches."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._well = asyncio.Event()
        self._failed = 0

    async def wait(self, not_before: float) -> None:
        """Wait for the next attempt, at least until that time; those who wait go one after the other."""
        self._well.clear()
        async with self._turn:
            pause = (FIRST if self._failed == 0 else PROBE) * between(0.8, 1.0)
            self._failed += 1
            try:
                async with asyncio.timeout(pause):
                    await self._well.wait()
            except TimeoutError:
                pass
        await asyncio.sleep(max(0.0, not_before - time.monotonic()))

    def stands(self) -> None:
        """Note that a watch stands, so that the others may try."""
        self._well.set()

    def lasted(self) -> None:
        """Note that a watch lasted: the trouble is over."""
        self._failed = 0


Tell = Callable[[str, Mapping[str, Any]], bool]
"""Takes over an event; returns False where the watch does not tell what is asked any more."""


class Watch:
    """One watch, kept up for ever."""

    def __init__(self, kube: Kube, source: Source, *, attempts: Attempts) -> None:
        self._kube = kube
        self._source = source
        self._attempts = attempts
        self._cuts = 0

    async def keep_up(self, listed: Callable[[], Awaitable[str]], newest: Callable[[], str], tell: Tell) -> None:
        """Watch for ever.

        Args:
            listed: waits until everything is listed, and returns the version to go on from. Called after a gap.
            newest: the version to go on from after an end without a gap.
            tell: called for each event, with its type and object.
        """
        version = await listed()
        while True:
            began = time.monotonic()
            ended, asked = await self._once(version, tell)
            lasted = time.monotonic() - began >= CALM
            if lasted:
                self._attempts.lasted()
            if ended is Ended.AS_AGREED and lasted:
                self._cuts = 0
                version = newest()
                continue
            tried = 0.0 if self._cuts == 0 or lasted else began + SPACED
            await self._attempts.wait(max(tried, time.monotonic() + asked))
            self._cuts += 1
            lost = ended is Ended.LOST or self._cuts > 1
            version = await listed() if lost else newest()

    async def _once(self, version: str, tell: Tell) -> tuple[Ended, float]:
        """Watch until it ends; return how, and the seconds that the API server asked to wait."""
        try:
            async with asyncio.timeout(LASTS + GRACE):
                trouble = await self._lines(version, tell)
        except TimeoutError:
            return self._lost("it did not end when it should: it hangs")
        except KubeError as error:
            if error.status == HTTPStatus.GONE:
                return self._lost("the version is too old")
            if not error.held:
                logger.info("a watch broke off: %s", error)
            return Ended.CUT, error.retry_in
        return self._lost(trouble) if trouble else (Ended.AS_AGREED, 0.0)

    async def _lines(self, version: str, tell: Tell) -> str:
        """Pass on the events of one watch; return why one cannot be passed on, or an empty text."""
        seconds = int(LASTS * between(0.85, 1.0))
        source = self._source
        async with self._kube.watch(
            source.path, accept=source.of_events, version=version, seconds=seconds, query=source.query
        ) as found:
            standing = asyncio.get_running_loop().call_later(STANDS, self._attempts.stands)
            try:
                async for line in found:
                    if (trouble := _passed_on(line, tell)) is not None:
                        return trouble
            finally:
                standing.cancel()
        return ""

    def _lost(self, why: str) -> tuple[Ended, float]:
        logger.info("watch %s: %s; listing again", self._source.path, why)
        return Ended.LOST, 0.0


def _passed_on(line: bytes, tell: Tell) -> str | None:
    """Pass on one event; return why it cannot be, or None."""
    try:
        document = parse_json(line, limit=OBJECT_LIMIT)
    except CodecError as error:
        return str(error)
    if (trouble := check_event(document)) is not None:
        return trouble
    if not tell(document["type"], document["object"]):
        return "it began before the API server's store was restored from a copy"
    return None

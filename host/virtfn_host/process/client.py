"""The agent's end of the host process's socket. One connection per request: a request that hangs holds up no other."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from virtfn_host.core.values.codec import CodecError
from virtfn_host.core.values.model import Observation
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.steps import Plan, Report, StepResult, patience
from virtfn_host.linux.errors import HostError
from virtfn_host.process.protocol import LINE_LIMIT, Look, Refusal, cut, line, parse, value

OBSERVE_DEADLINE = 30.0
"""Seconds for one look; a look with hanging reads takes a few."""


class HostUnreachable(HostError):  # noqa: N818 - the reason's own name
    """The host process does not answer, or not in words of the protocol."""

    reason = Reason.HOST_UNREACHABLE


class HostRefused(HostError):  # noqa: N818
    """The host process says no; `reason` is its own."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class HostClient:
    """Asks the host process that serves a socket."""

    def __init__(self, socket_path: Path | str) -> None:
        self._path = str(socket_path)

    async def observe(self, *, links: bool = False) -> Observation:
        """One look at the machine, with link settings of VFs where `links`.

        Raises:
            HostUnreachable: no answer in OBSERVE_DEADLINE seconds.
            HostRefused: the machine cannot be read.
        """
        try:
            async with asyncio.timeout(OBSERVE_DEADLINE), self._asked("observe", Look(links=links)) as reader:
                return value(Observation, await _answer(reader, "observation"))
        except TimeoutError as error:
            raise HostUnreachable(f"the host process has not answered in {OBSERVE_DEADLINE:.0f} s") from error

    async def apply(self, plan: Plan, on_result: Callable[[StepResult], None] = lambda _: None) -> Report:
        """Carry out a plan, or as much of it as one request takes; `on_result` hears of each step as it ends.

        The report is of what was asked for. The next look finds what is still to be done.

        Raises:
            HostUnreachable: the host process went away; look again, nobody knows how far it came.
        """
        plan = cut(plan)
        deadline = sum(patience(step) for step in plan.steps) + OBSERVE_DEADLINE
        try:
            async with asyncio.timeout(deadline), self._asked("apply", plan) as reader:
                while True:
                    word, body = await _message(reader)
                    if word == "report":
                        return value(Report, body)
                    on_result(value(StepResult, _expected(word, body, "result")))
        except TimeoutError as error:
            raise HostUnreachable(f"the host process has not ended a plan in {deadline:.0f} s") from error

    async def watch(self) -> AsyncIterator[str]:
        """A word for each burst of kernel events, beginning with `watching`.

        Raises:
            HostUnreachable: the connection ended; watch again.
        """
        async with self._asked("watch") as reader:
            while True:
                event = await _answer(reader, "event")
                if not isinstance(event, str):
                    raise CodecError("an event that is no text")
                yield event

    @asynccontextmanager
    async def _asked(self, word: str, body: object = None) -> AsyncIterator[asyncio.StreamReader]:
        try:
            reader, writer = await asyncio.open_unix_connection(self._path, limit=LINE_LIMIT)
        except OSError as error:
            text = f"no host process on {self._path}: {error.strerror or error}"
            raise HostUnreachable(f"{text}; is the host container running? Its log says why") from error
        try:
            writer.write(line(word, body))
            await writer.drain()
            yield reader
        except (OSError, CodecError, ValueError) as error:
            raise HostUnreachable(f"the host process on {self._path}: {error}") from error
        finally:
            writer.close()


async def _answer(reader: asyncio.StreamReader, wanted: str) -> Any:
    return _expected(*await _message(reader), wanted)


def _expected(word: str, body: Any, wanted: str) -> Any:
    if word == "error":
        refusal = value(Refusal, body)
        raise HostRefused(refusal.reason, refusal.message)
    if word != wanted:
        raise CodecError(f"answered {word!r} where {wanted!r} was due")
    return body


async def _message(reader: asyncio.StreamReader) -> tuple[str, Any]:
    text = await reader.readline()
    if not text.endswith(b"\n"):
        raise ConnectionResetError("it went away in the middle of an answer")
    return parse(text)

"""The agent's end of the host process's socket. One connection per request, so a hanging one delays no other."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from virtfn_host.core.values.codec import CodecError
from virtfn_host.core.values.kept import KeptConfig
from virtfn_host.core.values.model import Observation
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import Report, StepResult
from virtfn_host.core.values.steps import Asker, Plan, patience
from virtfn_host.linux.errors import HostError
from virtfn_host.logs.lines import context
from virtfn_host.process.protocol import LINE_LIMIT, PLAIN, Look, Refusal, cut, fitting, line, parse, value

OBSERVE_DEADLINE = 30.0
"""Seconds for one look; a look with hanging reads takes a few seconds."""

KEEP_DEADLINE = 10.0
"""Seconds to write one small file and sync it."""


class HostUnreachable(HostError):  # noqa: N818 - the reason's own name
    """The host process does not answer, or its answer is not one of the protocol."""

    reason = Reason.HOST_UNREACHABLE


class HostRefused(HostError):  # noqa: N818
    """The host process refused a request; `reason` is its own."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class HostClient:
    """Sends requests to the host process that serves a socket."""

    def __init__(self, socket_path: Path | str) -> None:
        self._path = str(socket_path)

    async def observe(self, look: Look = PLAIN) -> Observation:
        """Look at the machine once.

        Raises:
            HostUnreachable: no answer within OBSERVE_DEADLINE seconds.
            HostRefused: the machine cannot be read.
        """
        try:
            async with asyncio.timeout(OBSERVE_DEADLINE), self._asked("observe", look) as reader:
                return value(Observation, await _answer(reader, "observation"))
        except TimeoutError as error:
            raise HostUnreachable(f"the host process has not answered in {OBSERVE_DEADLINE:.0f} s") from error

    async def apply(self, plan: Plan, on_result: Callable[[StepResult], None] = lambda _: None) -> Report:
        """Carry out a plan, or as much of it as fits into one request; `on_result` hears of each step as it ends.

        The report covers the steps that were sent. The next look finds the rest.

        Raises:
            HostUnreachable: the connection ended, and an unknown part of the plan is done; look again.
        """
        plan = cut(replace(plan, asker=_asker()))
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

    async def keep(self, kept: KeptConfig) -> None:
        """Have the last verified config kept for the next boot; nothing of one that is too long for a request.

        Raises:
            HostUnreachable: no answer within KEEP_DEADLINE seconds.
            HostRefused: the file could not be written.
        """
        try:
            async with asyncio.timeout(KEEP_DEADLINE), self._asked("keep", fitting(kept)) as reader:
                await _answer(reader, "kept")
        except TimeoutError as error:
            raise HostUnreachable(f"the host process has not kept a config in {KEEP_DEADLINE:.0f} s") from error

    async def watch(self) -> AsyncIterator[str]:
        """Yield a word for each burst of kernel events; the first word is `watching`.

        Raises:
            HostUnreachable: the connection ended; watch again.
        """
        async with self._asked("watch") as reader:
            while True:
                event = await _answer(reader, "event")
                if not isinstance(event, str):
                    raise CodecError("sent an event that is not text")
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


def _asker() -> Asker | None:
    """Return who asks, as far as the log of this process names it."""
    node, turn = context().get("node"), context().get("turn")
    return Asker(node=node, turn=turn) if isinstance(node, str) and isinstance(turn, int) else None


async def _answer(reader: asyncio.StreamReader, wanted: str) -> Any:
    return _expected(*await _message(reader), wanted)


def _expected(word: str, body: Any, wanted: str) -> Any:
    if word == "error":
        refusal = value(Refusal, body)
        raise HostRefused(refusal.reason, refusal.message)
    if word != wanted:
        raise CodecError(f"answered {word!r} instead of {wanted!r}")
    return body


async def _message(reader: asyncio.StreamReader) -> tuple[str, Any]:
    text = await reader.readline()
    if not text.endswith(b"\n"):
        raise ConnectionResetError("closed the connection in the middle of an answer")
    return parse(text)

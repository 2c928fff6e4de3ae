"""GET /healthz for the processes of Kubernetes' side; whoever reaches the port cannot wear the process out.

Any pod may reach it where no NetworkPolicy is enforced. So what a connection costs is bounded, and so is how many there
are: the newest always has a place, and the oldest loses its own. The kubelet says its whole question as it connects,
and is answered before others can push it out. Whoever holds a connection open and says nothing loses it.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass

CONNECTIONS = 32
"""At once. No more are accepted in one turn of the loop either, so that one which has asked is answered first."""

ASKED_IN = 5.0
"""Seconds in which a question has to be there, and its answer taken."""

QUESTION = 4096
"""Bytes of the longest question; a connection holds twice as many at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How a process is."""

    alive: bool
    """False: the kubelet should restart the process."""
    text: str
    """One line for people."""


class HealthServer:
    """Answers until it is closed."""

    def __init__(self, health: Callable[[], Health]) -> None:
        self._health = health
        self._open: dict[asyncio.StreamWriter, None] = {}
        """From the oldest to the newest."""
        self._server: asyncio.Server | None = None

    async def start(self, port: int) -> None:
        """Listen on every address."""
        self._server = await asyncio.start_server(
            self._answer, port=port, limit=QUESTION, backlog=CONNECTIONS, reuse_address=True
        )

    async def close(self) -> None:
        """Listen no more, and end what is open."""
        if self._server is not None:
            self._server.close()
        for writer in self._open:
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= CONNECTIONS:
            oldest = next(iter(self._open))
            del self._open[oldest]
            oldest.transport.abort()
        self._open[writer] = None
        try:
            async with asyncio.timeout(ASKED_IN):
                question = await reader.readuntil(b"\r\n\r\n")
                writer.write(_said(question, self._health))
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            writer.transport.abort()
        finally:
            self._open.pop(writer, None)
            with contextlib.suppress(OSError):
                writer.close()


def _said(question: bytes, health: Callable[[], Health]) -> bytes:
    if question.split(b" ")[:2] != [b"GET", b"/healthz"]:
        return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    found = health()
    status = "200 OK" if found.alive else "500 Internal Server Error"
    body = f"{found.text}\n".encode(errors="replace")
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}"
    return f"{head}\r\nConnection: close\r\n\r\n".encode() + body

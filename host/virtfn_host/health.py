"""GET /healthz for controller, agent and device plugin; no client can exhaust the process through this port.

Where no NetworkPolicy is enforced, any pod can reach the port. So the cost of a connection is bounded, and so is the
number of connections: a new one always gets a place, and the oldest one is closed. The kubelet sends its whole request
as it connects, and is answered before other clients can push it out. A silent connection is closed.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass

CONNECTIONS = 32
"""Connections at the same time. No more are accepted in one turn of the loop, so that a request is answered first."""

ASKED_IN = 5.0
"""Seconds within which the client must send its request and take the answer."""

QUESTION = 4096
"""Bytes of the longest request; a connection holds at most twice as many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The health of a process."""

    alive: bool
    """False: the kubelet should restart the process."""
    text: str
    """One line for people."""


class HealthServer:
    """Answers health requests until it is closed."""

    def __init__(self, health: Callable[[], Health]) -> None:
        self._health = health
        self._open: dict[asyncio.StreamWriter, None] = {}
        """Open connections, from the oldest to the newest."""
        self._server: asyncio.Server | None = None

    async def start(self, port: int) -> None:
        """Start to listen on every address."""
        self._server = await asyncio.start_server(
            self._answer, port=port, limit=QUESTION, backlog=CONNECTIONS, reuse_address=True
        )

    async def close(self) -> None:
        """Stop listening and close every connection."""
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

"""GET /healthz and /readyz for controller, agent and device plugin, and the server under it; no client can exhaust the
process.

`ports.py` opens the ports. Where no NetworkPolicy is enforced, any pod can reach them. So the cost of a connection is
bounded, and so is the number of connections: a new one always gets a place, and the oldest one is closed. The kubelet
sends its whole request as it connects, and is answered before other clients can push it out. A silent connection is
closed.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
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
    ready: bool = True
    """False: an upgrade should not go on yet; only /readyz asks."""
    text: str
    """One line for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The answer to a request."""

    body: bytes
    status: str = "200 OK"
    kind: str = "text/plain; charset=utf-8"


class PageServer:
    """Answers GET requests for a few pages until it is closed."""

    def __init__(self, pages: Mapping[str, Callable[[], Page]]) -> None:
        """`pages`: each page by its path, made anew for each request."""
        self._pages = {path.encode(): page for path, page in pages.items()}
        self._open: dict[asyncio.StreamWriter, None] = {}
        """Open connections, from the oldest to the newest."""
        self._server: asyncio.Server | None = None

    async def start(self, port: int, host: str | None = None) -> None:
        """Start to listen on this address; None: on every address."""
        self._server = await asyncio.start_server(
            self._answer, host, port, limit=QUESTION, backlog=CONNECTIONS, reuse_address=True
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
                writer.write(self._said(question))
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            writer.transport.abort()
        finally:
            self._open.pop(writer, None)
            with contextlib.suppress(OSError):
                writer.close()

    def _said(self, question: bytes) -> bytes:
        method, _, rest = question.partition(b" ")
        page = self._pages.get(rest.partition(b" ")[0].partition(b"?")[0]) if method == b"GET" else None
        return _answer_of(Page(status="404 Not Found", body=b"") if page is None else page())


class HealthServer(PageServer):
    """Answers health requests until it is closed."""

    def __init__(self, health: Callable[[], Health]) -> None:
        super().__init__({"/healthz": lambda: _alive(health()), "/readyz": lambda: _ready(health())})


def _alive(health: Health) -> Page:
    return _page_of(health, good=health.alive)


def _ready(health: Health) -> Page:
    return _page_of(health, good=health.alive and health.ready)


def _page_of(health: Health, *, good: bool) -> Page:
    status = "200 OK" if good else "500 Internal Server Error"
    return Page(status=status, body=f"{health.text}\n".encode(errors="replace"))


def _answer_of(page: Page) -> bytes:
    head = f"HTTP/1.1 {page.status}\r\nContent-Type: {page.kind}\r\nContent-Length: {len(page.body)}"
    return f"{head}\r\nConnection: close\r\n\r\n".encode() + page.body

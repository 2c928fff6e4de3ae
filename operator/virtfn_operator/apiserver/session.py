"""HTTP to the API server with what the kubelet rotates: token and CA are read again for every request.

A token or a CA that is missing, half written or no good while it is replaced changes nothing: the last good one is
shown and trusted until the new one is whole. VERIFY_X509_STRICT is off because Python 3.13 would refuse the cluster CAs
of EKS and microk8s (no keyUsage or AKI). A body is never read beyond its bound. Used by `kube.py` and by kopf's watch,
which knows it as any aiohttp session.
"""

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator, MutableMapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp

from virtfn_operator.settings import ApiServer

TOKEN_LIMIT = 64 * 1024
CA_LIMIT = 4 * 1024 * 1024

logger = logging.getLogger(__name__)


class BodyTooLargeError(aiohttp.ClientPayloadError):
    """The body of an answer is larger than any honest one; it was not read to its end."""


def ssl_context(ca: Path | None) -> ssl.SSLContext:
    """Trusts the cluster's CA, also one that RFC 5280 to the letter would refuse.

    Raises:
        OSError: the file cannot be read, or holds no certificate (`ssl.SSLError`).
    """
    return _trusting(ca.read_text() if ca else None)


def _trusting(pem: str | None) -> ssl.SSLContext:
    # Python wants ASCII. What is not stands in a comment, or makes a certificate none, as it should.
    plain = None if pem is None else pem.encode("ascii", "replace").decode()
    context = ssl.create_default_context(cadata=plain)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


class Credentials:
    """What a process shows the API server and whom it trusts, as the files say now. Belongs to one event loop."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._token: str | None = None
        self._pem: str | None = None
        self._context: ssl.SSLContext | None = None

    async def current(self) -> tuple[str | None, ssl.SSLContext | bool]:
        """The token, and what aiohttp takes as `ssl`; read in a thread, because a file may hang.

        Raises:
            OSError: there is no good CA yet.
        """
        return await asyncio.to_thread(self._read)

    def _read(self) -> tuple[str | None, ssl.SSLContext | bool]:
        if self._server.token is not None:
            self._token = _token(self._server.token) or self._token
        if not self._server.url.startswith("https"):
            return self._token, True
        if self._server.ca is None:
            self._context = self._context or _trusting(None)
        else:
            self._look_at_ca(self._server.ca)
        if self._context is None:
            raise OSError(f"{self._server.ca}: there is no CA certificate in it yet")
        return self._token, self._context

    def _look_at_ca(self, ca: Path) -> None:
        """Compared by content: a projected volume swaps links, others write in place."""
        text, before = _text(ca, CA_LIMIT), self._pem  # two requests may read at the same time
        if text is None or text == before or "-----BEGIN CERTIFICATE-----" not in text:
            return
        try:
            context = _trusting(text)
        except (ssl.SSLError, ValueError):
            return  # half written: the last good one holds, and the next request looks again
        if before is not None:
            logger.info("the certificate in %s is another one, and trusted from now on", ca)
        self._pem, self._context = text, context


def _token(path: Path) -> str | None:
    text = (_text(path, TOKEN_LIMIT) or "").strip()
    return text if text.isascii() and text.isprintable() and text else None


def _text(path: Path, limit: int) -> str | None:
    """The file's text, in whatever encoding its comments are; None when it cannot be read now: it is being replaced."""
    try:
        with path.open("rb") as file:
            return file.read(limit).decode(errors="replace")
    except OSError:
        return None


class Session:
    """An aiohttp session that shows the current token and trusts the current CA.

    Must be made inside the event loop that uses it.
    """

    def __init__(self, server: ApiServer, *, connections: int) -> None:
        self._credentials = Credentials(server)
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections))

    @property
    def headers(self) -> MutableMapping[str, str]:
        """Sent with every request."""
        return self._session.headers

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._session.closed

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    async def request(self, method: str, url: str, **options: Any) -> aiohttp.ClientResponse:
        """One request; after a 401 once more at once where the token was replaced meanwhile.

        A redirection is not followed: an API server sends none, and the token is not for others.

        Raises:
            aiohttp.ClientError, TimeoutError, OSError: no answer.
        """
        token, response = await self._once(method, url, options)
        if response.status == HTTPStatus.UNAUTHORIZED and (await self._credentials.current())[0] != token:
            response.close()
            _, response = await self._once(method, url, options)
        return response

    async def _once(self, method: str, url: str, options: dict[str, Any]) -> tuple[str | None, aiohttp.ClientResponse]:
        token, trusted = await self._credentials.current()
        shown = {} if token is None else {"Authorization": f"Bearer {token}"}
        headers = {**(options.get("headers") or {}), **shown}
        more = {**options, "headers": headers, "ssl": trusted, "allow_redirects": False}
        return token, await self._session.request(method, url, **more)


async def read_body(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The whole body.

    Raises:
        BodyTooLargeError: it is larger than `limit` bytes.
        aiohttp.ClientError, TimeoutError: it did not come to its end.
    """
    parts, size = [], 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > limit:
            response.close()
            raise BodyTooLargeError(f"the answer is larger than {limit} bytes")
        parts.append(part)
    return b"".join(parts)


async def lines(content: aiohttp.StreamReader, limit: int) -> AsyncIterator[bytes]:
    """The lines of a body as they come, without their ends.

    Raises:
        BodyTooLargeError: one is longer than `limit` bytes.
        aiohttp.ClientError, TimeoutError: the body did not come to its end.
    """
    rest = bytearray()
    async for part in content.iter_any():
        rest += part
        *whole, last = rest.split(b"\n")
        if max(map(len, (*whole, last))) > limit:
            raise BodyTooLargeError(f"a line of the answer is longer than {limit} bytes")
        for line in whole:
            if line:
                yield bytes(line)
        rest = last
    if rest:
        yield bytes(rest)


def retry_after(response: aiohttp.ClientResponse) -> float | None:
    """Seconds that a server asks us to wait; None where it says nothing that can be read (also a date: clocks jump)."""
    text = response.headers.get("Retry-After", "").strip()
    return float(text[:9]) if text.isascii() and text.isdecimal() else None


def status_message(body: bytes) -> str:
    """What a refusal says, as one short line."""
    try:
        document = json.loads(body)
        message = document["message"]
    except (ValueError, KeyError, TypeError, RecursionError):
        message = body[:200].decode(errors="replace")
    return " ".join(str(message).split())[:300]

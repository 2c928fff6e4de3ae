"""HTTP to the API server. Token and CA are read again for every request, because the kubelet rotates them.

While a token or CA file is missing, half written or invalid, the last good one stays in use. VERIFY_X509_STRICT is off
because Python 3.13 would refuse the cluster CAs of EKS and microk8s (no keyUsage or AKI). A body is never read beyond
its bound. Used by `kube.py`, and by kopf's watch in place of an aiohttp session.
"""

import asyncio
import json
import logging
import re
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
    """The body of an answer is larger than allowed; it was not read to its end."""


def ssl_context(ca: Path | None) -> ssl.SSLContext:
    """Return a context that trusts the cluster's CA, even one that RFC 5280 would refuse.

    Raises:
        OSError: the file cannot be read, or holds no certificate (`ssl.SSLError`).
    """
    return _trusting(ca.read_text() if ca else None)


def _trusting(pem: str | None) -> ssl.SSLContext:
    # Python wants ASCII. Other characters are in comments, or they make a certificate invalid, as they should.
    plain = None if pem is None else pem.encode("ascii", "replace").decode()
    context = ssl.create_default_context(cadata=plain)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


class Credentials:
    """The token and the CA of a process, as the files have them now. Belongs to one event loop."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._token: str | None = None
        self._pem: str | None = None
        self._context: ssl.SSLContext | None = None

    async def current(self) -> tuple[str | None, ssl.SSLContext | bool]:
        """Return the token, and the value for aiohttp's `ssl`; read in a thread, because a file may hang.

        Raises:
            OSError: there is no valid CA yet.
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
            raise OSError(f"{self._server.ca}: has no CA certificate yet")
        return self._token, self._context

    def _look_at_ca(self, ca: Path) -> None:
        """Take over a new CA. Compared by content: a projected volume swaps links, others write in place."""
        text, before = _text(ca, CA_LIMIT), self._pem  # two requests may read at the same time
        if text is None or text == before or "-----BEGIN CERTIFICATE-----" not in text:
            return
        try:
            context = _trusting(text)
        except (ssl.SSLError, ValueError):
            return  # half written: the last good one stays, and the next request reads again
        if before is not None:
            logger.info("the CA certificate in %s has changed; the new one is trusted from now on", ca)
        self._pem, self._context = text, context


def _token(path: Path) -> str | None:
    text = (_text(path, TOKEN_LIMIT) or "").strip()
    return text if text.isascii() and text.isprintable() and text else None


def _text(path: Path, limit: int) -> str | None:
    """The file's text, whatever encoding its comments have; None when it cannot be read, while it is replaced."""
    try:
        with path.open("rb") as file:
            return file.read(limit).decode(errors="replace")
    except OSError:
        return None


class Session:
    """An aiohttp session that sends the current token and trusts the current CA.

    Create it inside the event loop that uses it.
    """

    def __init__(self, server: ApiServer, *, connections: int) -> None:
        self._credentials = Credentials(server)
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections))

    @property
    def headers(self) -> MutableMapping[str, str]:
        """The headers that are sent with every request."""
        return self._session.headers

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._session.closed

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    async def request(self, method: str, url: str, **options: Any) -> aiohttp.ClientResponse:
        """Send one request; after a 401 send it again at once if the token was replaced meanwhile.

        A redirection is not followed: an API server sends none, and no other server may get the token.

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
    """Read the whole body.

    Raises:
        BodyTooLargeError: the body is larger than `limit` bytes.
        aiohttp.ClientError, TimeoutError: the body broke off.
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
    """Yield the lines of a body as they come, without line ends.

    Raises:
        BodyTooLargeError: a line is longer than `limit` bytes.
        aiohttp.ClientError, TimeoutError: the body broke off.
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
    """Return the seconds that a server asks us to wait, or None. A date is ignored, because clocks jump."""
    text = response.headers.get("Retry-After", "").strip()
    return float(text[:9]) if text.isascii() and text.isdecimal() else None


def status_message(body: bytes) -> str:
    """Return the message of a refusal as one short line."""
    try:
        document = json.loads(body)
        message = document["message"]
    except (ValueError, KeyError, TypeError, RecursionError):
        message = body[:200].decode(errors="replace")
    return " ".join(str(message).split())[:300]


_DENIED = re.compile(
    r'admission webhook ".+?" denied the request|ValidatingAdmissionPolicy \'.+?\' with binding \'.+?\' denied request'
)


def refusal_of_pod(body: bytes) -> str:
    """Return what refuses the eviction of this one pod, as one short line; empty for any other error.

    It is a PodDisruptionBudget, which the message does not name, but a cause does; or an admission webhook or policy.
    These choose their code themselves, also 429 and 503, so a denial is known by the API server's own words for it.
    """
    try:
        causes = json.loads(body)["details"]["causes"]
        found = next(cause["message"] for cause in causes if cause["reason"] == "DisruptionBudget")
    except (ValueError, LookupError, TypeError, StopIteration, RecursionError):
        found = status_message(body)
        return found if _DENIED.search(found) else ""
    return " ".join(str(found).split())[:300]

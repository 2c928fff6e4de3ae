"""The API server over aiohttp: read, list, patch, create. Knows paths and JSON, nothing of what virtfn's objects mean.

One session for a process and event loop. The token is read again for every request because the kubelet rotates it, and
VERIFY_X509_STRICT is off because Python 3.13 would refuse the cluster CAs of EKS and microk8s (no keyUsage or AKI).
"""

import asyncio
import json
import ssl
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self

import aiohttp

from virtfn_operator.api import GROUP, VERSION
from virtfn_operator.kube_error import KubeError
from virtfn_operator.settings import ApiServer

PAGE = 500
"""Objects per page of a list."""

METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
"""A Node is 10 KB and its labels are 1: at 5,000 nodes this is 45 MB less per list."""

_TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=10)


def ours(plural: str, name: str = "", subresource: str = "") -> str:
    """The path of an object or list of virtfn.dev; all are cluster-scoped."""
    return "/".join(part for part in (f"/apis/{GROUP}/{VERSION}", plural, name, subresource) if part)


def ssl_context(ca: Path | None) -> ssl.SSLContext:
    """Trusts the cluster's CA, also one that RFC 5280 to the letter would refuse."""
    context = ssl.create_default_context(cafile=str(ca) if ca else None)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def open_session(server: ApiServer, *, connections: int) -> aiohttp.ClientSession:
    """A session that shows the current token; must be called inside the event loop that uses it."""

    async def show_token(request: aiohttp.ClientRequest, call: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        if server.token is not None:
            token = (await asyncio.to_thread(server.token.read_text)).strip()
            request.headers["Authorization"] = f"Bearer {token}"
        return await call(request)

    tls = ssl_context(server.ca) if server.url.startswith("https") else True
    connector = aiohttp.TCPConnector(limit=connections, ssl=tls)
    return aiohttp.ClientSession(connector=connector, middlewares=(show_token,))


class Kube:
    """Requests of one process to the API server."""

    def __init__(self, server: ApiServer, *, connections: int) -> None:
        self._url = server.url
        self._session = open_session(server, connections=connections)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def read(self, path: str) -> dict[str, Any]:
        """One object.

        Raises:
            KubeError: not there, not allowed, or no answer.
        """
        return await self._request("GET", path)

    async def list(self, path: str, *, accept: str = "application/json") -> list[dict[str, Any]]:
        """All objects of a list, page by page, as of now (no resourceVersion: never from a stale cache).

        Raises:
            KubeError: not allowed, no answer, or the pages expired underway.
        """
        items: list[dict[str, Any]] = []
        query = {"limit": str(PAGE)}
        while True:
            page = await self._request("GET", path, query=query, headers={"Accept": accept})
            items += page.get("items") or []
            following = (page.get("metadata") or {}).get("continue")
            if not following:
                return items
            query = {"limit": str(PAGE), "continue": following}

    async def patch(self, path: str, patch: Mapping[str, Any]) -> dict[str, Any]:
        """Merge `patch` into an object and return what it is then.

        Raises:
            KubeError: not there, refused by the schema, not allowed, or no answer.
        """
        return await self._request("PATCH", path, body=patch, headers={"Content-Type": "application/merge-patch+json"})

    async def create(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object.

        Raises:
            KubeError: exists, refused, not allowed, or no answer.
        """
        return await self._request("POST", path, body=body, headers={"Content-Type": "application/json"})

    async def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        try:
            async with self._session.request(
                method, self._url + path, params=query, data=data, headers=headers, timeout=_TIMEOUT
            ) as response:
                text = await response.text()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise KubeError(0, f"{method} {path}: no answer from {self._url}: {error!r}") from error
        return _document(method, path, response.status, text)


def _document(method: str, path: str, status: int, text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    if status >= HTTPStatus.BAD_REQUEST:
        message = document.get("message") if isinstance(document, dict) else text[:200]
        raise KubeError(status, f"{method} {path}: {status}: {message}")
    if not isinstance(document, dict):
        raise KubeError(status, f"{method} {path}: {status}: the answer is no JSON object")
    return document

"""The API server over aiohttp: read, list, patch, create. Knows paths and JSON, not the meaning of virtfn's objects.

One session for a process and event loop. A malformed answer is an error, never half an answer: a list without `items`
does not count as empty, because an empty list would give every device back. After failures `gate.py` decides which
requests are held: a held request is not sent and raises at once.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Self

import aiohttp

from virtfn_host.core.values.codec import CodecError, parse_json
from virtfn_operator.api import GROUP, VERSION
from virtfn_operator.apiserver.answers import check_kinds, check_list, check_object
from virtfn_operator.apiserver.gate import UNANSWERED, Gate
from virtfn_operator.apiserver.kube_error import KubeError
from virtfn_operator.apiserver.session import BodyTooLargeError, Session, read_body, retry_after, status_message
from virtfn_operator.apiserver.session import ssl_context as ssl_context
from virtfn_operator.settings import LIST_LIMIT, ApiServer

PAGE = 500
"""Objects per page of a list."""

PAGES = 400
"""Pages of one list, at most; a longer list is an error."""

PAGE_LIMIT = 64 * 1024 * 1024
"""Bytes of a page, at most."""

OBJECT_LIMIT = 4 * 1024 * 1024
"""Bytes of one object, at most; etcd stores 1.5 MiB."""

LIST_SECONDS = 120.0
"""Seconds for all pages of a list together."""

IN_THREAD = 256 * 1024
"""Bytes from which an answer is parsed in a thread: 64 MiB would hold up the event loop for a second."""

METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
"""Accept header for metadata only: a Node is 10 KB, its labels 1 KB, so a list of 5,000 nodes is 45 MB smaller."""

ONE_METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"

_TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=10)


Objects = list[dict[str, Any]]

Check = Callable[[Mapping[str, Any]], str | None]
"""Returns why an answer is not what was asked for, or None."""


def ours(plural: str, name: str = "", subresource: str = "") -> str:
    """Return the path of an object or list of virtfn.dev; all are cluster-scoped."""
    return "/".join(part for part in (f"/apis/{GROUP}/{VERSION}", plural, name, subresource) if part)


class Kube:
    """Requests of one process to the API server."""

    def __init__(
        self,
        server: ApiServer,
        *,
        connections: int,
        clock: Callable[[], float] = time.monotonic,
        list_limit: int = LIST_LIMIT,
    ) -> None:
        self._url = server.url
        self._list_limit = list_limit
        self._session = Session(server, connections=connections)
        self.gate = Gate(clock=clock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def read(self, path: str) -> dict[str, Any]:
        """Read one object.

        Raises:
            KubeError: absent, not allowed, no answer, or a malformed one.
        """
        return await self._object("GET", path)

    async def version(self, path: str) -> str | None:
        """Return the version of an object from the API server's memory, without asking etcd; None where it has none.

        The version may be old: where it differs from the known one, read the object.

        Raises:
            KubeError: as with `read`.
        """
        query, headers = {"resourceVersion": "0"}, {"Accept": ONE_METADATA_ONLY}
        found = await self._request("GET", path, check=check_object, query=query, headers=headers)
        version = found["metadata"].get("resourceVersion")
        return version if isinstance(version, str) and version else None

    async def kinds(self, path: str) -> frozenset[str]:
        """Return the plural names that the API server knows of a group and version.

        Raises:
            KubeError: the group is unknown, or as with `read`.
        """
        found = await self._request("GET", path, check=check_kinds)
        return frozenset(each["name"] for each in found["resources"])

    async def list(self, path: str, *, accept: str = "application/json") -> list[dict[str, Any]]:
        """Return all objects of a list, page by page, as of now (no resourceVersion: never from a stale cache).

        Raises:
            KubeError: not allowed, no answer or a malformed one, or the pages expired meanwhile.
        """
        try:
            async with asyncio.timeout(LIST_SECONDS):
                return await self._pages(path, accept)
        except TimeoutError:
            raise self._strange("GET", path, f"the list did not end within {LIST_SECONDS:.0f} s") from None

    async def _pages(self, path: str, accept: str) -> Objects:
        items: list[dict[str, Any]] = []
        names: set[tuple[object, object]] = set()
        query, left = {"limit": str(PAGE)}, self._list_limit
        for _ in range(PAGES):
            page, size = await self._answer(
                "GET",
                path,
                check=check_list,
                query=query,
                headers={"Accept": accept},
                limit=min(PAGE_LIMIT, left),
                beyond=f": a list may have {self._list_limit} bytes in all, or there is no memory for it; see the"
                " chart's controller.resources.limits.memory",
            )
            left -= size
            found = page["items"] or []
            items += found
            following = page["metadata"].get("continue")
            if not following:
                return items
            names |= {(item["metadata"].get("namespace"), item["metadata"]["name"]) for item in found}
            if not found or len(names) < len(items) or following == query.get("continue"):
                raise self._strange("GET", path, "the list goes on with nothing, or with what it had already")
            query = {"limit": str(PAGE), "continue": str(following)}
        raise self._strange("GET", path, f"the list has more than {PAGES} pages")

    async def patch(self, path: str, patch: Mapping[str, Any]) -> dict[str, Any]:
        """Merge `patch` into an object; return the new object.

        Raises:
            KubeError: absent, refused by the schema, not allowed, or no answer.
        """
        return await self._object("PATCH", path, body=patch, content_type="application/merge-patch+json")

    async def create(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object; return it.

        Raises:
            KubeError: it exists, refused, not allowed, or no answer.
        """
        return await self._object("POST", path, body=body, content_type="application/json")

    async def replace(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Replace an object if it still has the version that was read; return the new one.

        Raises:
            KubeError: changed meanwhile (`exists`), absent, refused, not allowed, or no answer.
        """
        return await self._object("PUT", path, body=body, content_type="application/json")

    async def _object(
        self, method: str, path: str, *, body: Mapping[str, Any] | None = None, content_type: str | None = None
    ) -> dict[str, Any]:
        headers = {"Content-Type": content_type} if content_type else None
        return await self._request(method, path, check=check_object, body=body, headers=headers)

    async def _request(self, method: str, path: str, *, check: Check, **options: Any) -> dict[str, Any]:
        return (await self._answer(method, path, check=check, **options))[0]

    async def _answer(
        self,
        method: str,
        path: str,
        *,
        check: Check,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        limit: int = OBJECT_LIMIT,
        beyond: str = "",
    ) -> tuple[dict[str, Any], int]:
        """Return the answer and its size in bytes; `beyond` ends the error message of an answer larger than `limit`."""
        if (wait := self.gate.enter(method, path)) > 0.0:
            text = f"{method} {path}: not sent after earlier failures; next attempt in {wait:.0f} s"
            raise KubeError(UNANSWERED, text, retry_in=wait, held=True)
        data = None if body is None else json.dumps(body).encode()
        try:
            response = await self._session.request(
                method, self._url + path, params=query, data=data, headers=headers, timeout=_TIMEOUT
            )
            async with response:
                answer = await read_body(response, limit)
        except asyncio.CancelledError:
            self.gate.failed(method, path, UNANSWERED)  # the caller's time-out counts as no answer
            raise
        except BodyTooLargeError as error:
            raise self._strange(method, path, f"{error}{beyond}") from error
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise self._strange(method, path, f"no answer from {self._url}: {type(error).__name__}: {error}") from error
        if response.status >= HTTPStatus.BAD_REQUEST:
            retry_in = self.gate.failed(method, path, response.status, retry_after=retry_after(response))
            text = f"{method} {path}: {response.status}: {status_message(answer)}"
            raise KubeError(response.status, text, retry_in=retry_in)
        try:
            document = await _parsed(answer, limit)
        except CodecError as error:
            raise self._strange(method, path, f"{response.status}: the answer is not a JSON object: {error}") from error
        if response.status >= HTTPStatus.MULTIPLE_CHOICES or not isinstance(document, dict):
            raise self._strange(method, path, f"{response.status}: the answer is not a JSON object of an API server")
        if (trouble := check(document)) is not None:
            raise self._strange(method, path, trouble)
        self.gate.succeeded(method, path)
        return document, len(answer)

    def _strange(self, method: str, path: str, trouble: str) -> KubeError:
        retry_in = self.gate.failed(method, path, UNANSWERED)
        return KubeError(UNANSWERED, f"{method} {path}: {trouble}"[:1000], retry_in=retry_in)


async def _parsed(body: bytes, limit: int) -> object:
    if len(body) < IN_THREAD:
        return parse_json(body, limit=limit)
    return await asyncio.to_thread(parse_json, body, limit=limit)

"""The API server over aiohttp: read, list, patch, create. Knows paths and JSON, not the meaning of virtfn's objects.

One session for a process and event loop. A malformed answer is an error, never half an answer: a list without `items`
does not count as empty, because an empty list would give every device back. After failures `gate.py` decides which
requests are held: a held request is not sent and raises at once.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Self

import aiohttp

from virtfn_host.core.values.codec import CodecError
from virtfn_host.core.values.strict_json import parse_json
from virtfn_operator.api import GROUP, VERSION
from virtfn_operator.apiserver.answers import check_kinds, check_list, check_object
from virtfn_operator.apiserver.gate import UNANSWERED, Gate
from virtfn_operator.apiserver.kube_error import KubeError
from virtfn_operator.apiserver.session import (
    BodyTooLargeError,
    Session,
    lines,
    read_body,
    refusal_of_pod,
    retry_after,
    status_message,
)
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

SERVER_ERROR = HTTPStatus.INTERNAL_SERVER_ERROR

WATCH = "WATCH"
"""The method by which the gate knows watches."""

WATCH_BEGINS = 15.0
"""Seconds until the answer to a watch must have begun: an API server sends the headers at once."""

_TIMEOUT = aiohttp.ClientTimeout(total=30, sock_connect=10)
_ENDLESS = aiohttp.ClientTimeout(total=None, sock_connect=10)


NO_QUERY: Mapping[str, str] = {}

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

    async def remembered(self, path: str) -> dict[str, Any]:
        """Read one object from the API server's memory, without asking etcd; it may be some seconds old.

        Raises:
            KubeError: as with `read`.
        """
        return await self._request("GET", path, check=check_object, query={"resourceVersion": "0"})

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

    async def list(
        self, path: str, *, accept: str = "application/json", query: Mapping[str, str] = NO_QUERY
    ) -> list[dict[str, Any]]:
        """Return all objects of a list, page by page, as of now (no resourceVersion: never from a stale cache).

        Raises:
            KubeError: not allowed, no answer or a malformed one, or the pages expired meanwhile.
        """
        items: Objects = []
        await self.each_page(path, items.extend, accept=accept, query=query)
        return items

    async def each_page(
        self,
        path: str,
        take: Callable[[Objects], None],
        *,
        accept: str = "application/json",
        size: int = PAGE,
        query: Mapping[str, str] = NO_QUERY,
    ) -> str:
        """Read a list as `list` does, but pass on each page; return the resourceVersion of the list.

        Raises:
            KubeError: as with `list`; some pages may have been passed on.
        """
        try:
            async with asyncio.timeout(LIST_SECONDS):
                return await self._pages(path, take, accept, {**query, "limit": str(size)})
        except TimeoutError:
            raise self._strange("GET", path, f"the list did not end within {LIST_SECONDS:.0f} s") from None

    async def _pages(self, path: str, take: Callable[[Objects], None], accept: str, asked: Mapping[str, str]) -> str:
        names: set[tuple[object, object]] = set()
        query, left, number = dict(asked), self._list_limit, 0
        for _ in range(PAGES):
            page, weight = await self._answer(
                "GET",
                path,
                check=check_list,
                query=query,
                headers={"Accept": accept},
                limit=min(PAGE_LIMIT, left),
                beyond=f": a list may have {self._list_limit} bytes in all, or there is no memory for it; see the"
                " chart's controller.resources.limits.memory",
            )
            left -= weight
            found, following = page["items"] or [], page["metadata"].get("continue")
            if following:
                number += len(found)
                names |= {(item["metadata"].get("namespace"), item["metadata"]["name"]) for item in found}
                if not found or len(names) < number or following == query.get("continue"):
                    raise self._strange("GET", path, "the list goes on with nothing, or with what it had already")
            take(found)
            if not following:
                version = page["metadata"].get("resourceVersion")
                return version if isinstance(version, str) else ""
            query = {**asked, "continue": str(following)}
            del page, found  # so that there is one page in memory while the next one is read
        raise self._strange("GET", path, f"the list has more than {PAGES} pages")

    @asynccontextmanager
    async def watch(
        self, path: str, *, accept: str, version: str, seconds: int, query: Mapping[str, str] = NO_QUERY
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open a watch that the API server ends after so many seconds, and yield its lines.

        Raises:
            KubeError: refused, no answer, or the body broke off. A version that expired (410) counts as no failure.
        """
        line = "?".join((path, *query.values()))  # so that two watches of one path do not count as one request
        if (wait := self.gate.enter(WATCH, line)) > 0.0:
            text = f"watch {path}: not sent after earlier failures; next attempt in {wait:.0f} s"
            raise KubeError(UNANSWERED, text, retry_in=wait, held=True)
        asked = {
            **query,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(seconds),
            **({"resourceVersion": version} if version else {}),
        }
        try:
            async with asyncio.timeout(WATCH_BEGINS):
                response = await self._session.request(
                    "GET", self._url + path, params=asked, headers={"Accept": accept}, timeout=_ENDLESS
                )
            async with response:
                await self._refuse_watch(line, response)
                self.gate.succeeded(WATCH, line)
                yield lines(response.content, OBJECT_LIMIT)
        except asyncio.CancelledError:
            self.gate.failed(WATCH, line, UNANSWERED)  # the caller's time-out counts as no answer
            raise
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise self._strange(WATCH, line, f"no answer from {self._url}: {type(error).__name__}: {error}") from error

    async def _refuse_watch(self, path: str, response: aiohttp.ClientResponse) -> None:
        status = response.status
        if status == HTTPStatus.OK:
            return
        retry_in = 0.0
        if status != HTTPStatus.GONE:
            retry_in = self.gate.failed(WATCH, path, status, retry_after=retry_after(response))
        raise KubeError(status, f"watch {path}: {status}", retry_in=retry_in)

    async def patch(self, path: str, patch: Mapping[str, Any]) -> dict[str, Any]:
        """Merge `patch` into an object; return the new object.

        Raises:
            KubeError: absent, refused by the schema, not allowed, or no answer.
        """
        return await self._object("PATCH", path, body=patch, content_type="application/merge-patch+json")

    async def apply(self, path: str, manifest: str, *, manager: str, dry_run: bool = False) -> dict[str, Any]:
        """Apply a manifest on the server's side and take over the fields of other managers; return the object.

        Args:
            path: the object's.
            manifest: the object as YAML.
            manager: the name of the manager of these fields.
            dry_run: only say what the object would be.

        Raises:
            KubeError: refused by the schema, not allowed, or no answer.
        """
        query = {"fieldManager": manager, "force": "true"} | ({"dryRun": "All"} if dry_run else {})
        headers = {"Content-Type": "application/apply-patch+yaml"}
        return await self._request("PATCH", path, check=check_object, query=query, headers=headers, text=manifest)

    async def delete(self, path: str) -> None:
        """Delete an object.

        Raises:
            KubeError: absent, not allowed, or no answer.
        """
        await self._request("DELETE", path, check=lambda _: None)

    async def create(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object; return it.

        Raises:
            KubeError: it exists, refused, not allowed, or no answer.
        """
        return await self._object("POST", path, body=body, content_type="application/json")

    async def evict(self, namespace: str, name: str, uid: str) -> None:
        """Evict the pod of this uid; it keeps its own grace period.

        Raises:
            KubeError: absent, another pod has its name (`exists`), refused (`cause` where it is a PodDisruptionBudget
                or an admission webhook), not allowed, or no answer.
        """
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"namespace": namespace, "name": name},
            "deleteOptions": {"preconditions": {"uid": uid}},
        }
        path = f"/api/v1/namespaces/{namespace}/pods/{name}/eviction"
        headers = {"Content-Type": "application/json"}
        await self._answer("POST", path, check=lambda _: None, body=body, headers=headers, of_pod=True)

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
        text: str | None = None,
        headers: Mapping[str, str] | None = None,
        limit: int = OBJECT_LIMIT,
        beyond: str = "",
        of_pod: bool = False,
    ) -> tuple[dict[str, Any], int]:
        """Return the answer and its size in bytes.

        Args:
            text: the body, where it is not JSON.
            beyond: the end of the error message for an answer larger than `limit`.
            of_pod: whether a refusal, and an error 500, tell of the pod that is to be evicted and not of the server.
        """
        if (wait := self.gate.enter(method, path)) > 0.0:
            why = f"{method} {path}: not sent after earlier failures; next attempt in {wait:.0f} s"
            raise KubeError(UNANSWERED, why, retry_in=wait, held=True)
        data = text.encode() if text is not None else None if body is None else json.dumps(body).encode()
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
            why = f"{method} {path}: {response.status}: {status_message(answer)}"
            if of_pod and (cause := refusal_of_pod(answer)):
                self.gate.succeeded(method, path)
                raise KubeError(response.status, why, cause=cause)
            # A pod with two PodDisruptionBudgets is answered with 500 each time.
            blamed = HTTPStatus.BAD_REQUEST if of_pod and response.status == SERVER_ERROR else response.status
            retry_in = self.gate.failed(method, path, blamed, retry_after=retry_after(response))
            raise KubeError(response.status, why, retry_in=retry_in)
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

"""This node's SriovNode: created when absent, its spec passed on, its status written when it changed.

The status is remembered from our own reads and writes only: events arrive late, and a patch against an old status would
leave old fields in place.
"""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from virtfn_operator.agent.shorten import LEVELS, fitting, refused, shortened
from virtfn_operator.api import API_VERSION, NODE_KIND, NODES
from virtfn_operator.api.conditions import read_conditions, transitions
from virtfn_operator.api.foreign import mapping, text
from virtfn_operator.api.node_resources import allocatable
from virtfn_operator.api.patch import merge_patch
from virtfn_operator.apiserver import events
from virtfn_operator.apiserver.gate import UNANSWERED
from virtfn_operator.apiserver.kube import Kube, ours
from virtfn_operator.apiserver.kube_error import KubeError
from virtfn_operator.clock import micro_timestamp

NOT_TAKEN = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY})
"""Statuses of answers that refuse the content itself; sending it again would not help."""

logger = logging.getLogger(__name__)


class NodeObject:
    """The SriovNode of this node."""

    def __init__(self, kube: Kube, name: str, *, instance: str) -> None:
        self._kube = kube
        self._name = name
        self._events = events.Events(kube, instance=instance)
        self._body: dict[str, Any] | None = None
        self._written: Mapping[str, Any] | None = None
        self._refused: Mapping[str, Any] | None = None
        """The status that the API server refused; not sent again until it changes or the object is read again."""

    @property
    def status(self) -> Mapping[str, Any]:
        """The status as last read or written; empty where it is not an object."""
        return mapping((self._body or {}).get("status"))

    async def ensure(self) -> dict[str, Any]:
        """Read the object; create it when absent.

        A known object is read only when its version differs. The API server answers for the version from memory, so
        thousands of nodes that ask each minute cost etcd nothing.

        Raises:
            KubeError: the API server refused a request or did not answer.
        """
        self._refused = None
        if self._body is not None and await self._unchanged(self._body):
            return self._body
        self._written = None
        try:
            self._body = await self._kube.read(ours(NODES, self._name))
        except KubeError as error:
            if not error.absent:
                raise
            self._body = await self._create()
        return self._body

    async def _unchanged(self, body: Mapping[str, Any]) -> bool:
        known = mapping(body.get("metadata")).get("resourceVersion")
        try:
            return known is not None and known == await self._kube.version(ours(NODES, self._name))
        except KubeError as error:
            if not error.absent:
                raise
            return False

    async def _create(self) -> dict[str, Any]:
        """Create the object without a spec: the controller writes it, and an empty list would give everything back."""
        node = await self._kube.read(f"/api/v1/nodes/{self._name}")
        if not (uid := text(node["metadata"].get("uid"))):
            raise KubeError(UNANSWERED, f"the Node {self._name} has no uid, so it cannot own a SriovNode")
        owner = {"apiVersion": "v1", "kind": "Node", "name": self._name, "uid": uid}
        body = {
            "apiVersion": API_VERSION,
            "kind": NODE_KIND,
            "metadata": {"name": self._name, "ownerReferences": [owner]},
        }
        try:
            return await self._kube.create(ours(NODES), body)
        except KubeError as error:
            if not error.exists:
                raise
            return await self._kube.read(ours(NODES, self._name))

    async def shown(self) -> Mapping[str, int]:
        """Return how much of each resource the Node shows to the scheduler.

        Raises:
            KubeError: the API server refused the request or did not answer.
        """
        return allocatable(await self._kube.remembered(f"/api/v1/nodes/{self._name}"))

    async def report(self, status: Mapping[str, Any]) -> None:
        """Write the status if it differs from the last one, and post events of its transitions.

        Raises:
            KubeError: the API server refused the status or did not answer; write it again later.
        """
        if self._body is None:
            await self.ensure()
        old, whole = self.status, fitting(status)
        # The API server drops fields that its schema does not know. Compare with what was sent, or the same status
        # would be sent for ever.
        if not merge_patch(old, whole) or status in (self._written, self._refused):
            return
        try:
            body, sent = await self._write(old, whole)
        except KubeError as error:
            if not error.held:
                self._body = self._written = None  # read before the next write: it may be deleted or replaced
            raise error from None
        # Where the object was replaced under the same name, the patch had only the changes; the next one has the rest.
        same = _uid(body) == _uid(self._body)
        self._body = body
        self._written, self._refused = (status if same else None, None) if sent is whole else (None, status)
        changes = transitions(read_conditions({"conditions": old.get("conditions")}), read_conditions(sent))
        await self._events.post(body, NODE_KIND, changes, now=micro_timestamp())

    async def _write(
        self, old: Mapping[str, Any], status: Mapping[str, Any]
    ) -> tuple[dict[str, Any], Mapping[str, Any]]:
        """Write the status, or as much of it as the API server accepts; return the new object and what was sent."""
        sent, level = status, 0
        while True:
            try:
                patch = {"status": merge_patch(old, sent)}
                return await self._kube.patch(ours(NODES, self._name, "status"), patch), sent
            except KubeError as error:
                level += 1
                if error.status not in NOT_TAKEN or level == LEVELS:
                    raise
                logger.warning("a smaller status is sent: %s", error)
                sent = shortened(status, level, refused(str(error)))


def _uid(body: object) -> object:
    return mapping(mapping(body).get("metadata")).get("uid")

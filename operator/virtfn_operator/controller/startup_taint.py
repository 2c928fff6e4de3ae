"""Removes the start-up taint of nodes that are ready. `tainted.py` decides which are.

The lists that the controller reads have no taints, because a Node is ten times its metadata. So the Node of each node
whose agent has reported is read once for each of its boots. As long as it has the taint it is read again: at rest until
it has lost it, before that whenever the reason changes for which it keeps it, to log that. A Node that is created anew
(another uid) or boots again is read again.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from virtfn_operator.apiserver.kube import Kube
from virtfn_operator.apiserver.kube_error import KubeError
from virtfn_operator.controller.picture import Change, ObjectKind
from virtfn_operator.controller.see import Once, SeenNode, SeenObject, SeenState, see_node, see_state
from virtfn_operator.controller.tainted import TAINT, at_rest, boot_of, removal, tainted, unrest, why_not

PARALLEL = 8
"""Requests at the same time."""

logger = logging.getLogger(__name__)


class StartupTaints:
    """Remembers which nodes have no start-up taint any more."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._slots = asyncio.Semaphore(PARALLEL)
        self._done: dict[str, tuple[str, str]] = {}
        """Uid and boot of each node without the taint, by name."""
        self._uids: dict[str, str] = {}
        """Uids of the Nodes."""
        self._at_rest: dict[str, Mapping[str, Any]] = {}
        """SriovNodes whose agent has nothing left to do."""
        self._busy: dict[str, tuple[str, str]] = {}
        """Boot of each other node whose agent has reported, and why it is not at rest."""
        self._open: dict[str, None] = {}
        """Nodes to look at."""
        self._told: dict[str, str] = {}
        """Why a node has the taint yet, as logged."""

    async def look(self, states: Iterable[Mapping[str, Any]], nodes: Iterable[Mapping[str, Any]]) -> bool:
        """Remove the taint from every node that is ready.

        Args:
            states: all SriovNodes.
            nodes: the metadata of all Nodes.

        Returns:
            Whether a node at rest has to be read again.
        """
        shared = Once()
        self._at_rest.clear()
        self._busy.clear()
        for state in [see_state(body, shared) for body in states]:
            self._take_state(state.name, state)
        found = {node.name: node for node in [see_node(body, shared) for body in nodes]}
        for name in self._uids.keys() | found.keys():
            self._take_node(name, found.get(name))
        return await self.settle()

    def take(self, changes: Iterable[Change]) -> None:
        """Note changes of SriovNodes and Nodes."""
        for change in changes:
            if change.kind is ObjectKind.STATE:
                self._take_state(change.name, change.seen)
            elif change.kind is ObjectKind.NODE:
                self._take_node(change.name, change.seen)

    def _take_state(self, name: str, seen: SeenObject | None) -> None:
        self._at_rest.pop(name, None)
        self._busy.pop(name, None)
        if not isinstance(seen, SeenState):
            return
        if at_rest(seen.state):
            self._at_rest[name] = seen.body
            self._open[name] = None
        elif boot := boot_of(seen.body):
            self._busy[name] = boot, unrest(seen.state)
            self._open[name] = None

    def _take_node(self, name: str, seen: SeenObject | None) -> None:
        if isinstance(seen, SeenNode):
            self._uids[name] = seen.uid
            self._open[name] = None
        else:
            self._uids.pop(name, None)
            self._done.pop(name, None)
            self._told.pop(name, None)

    async def settle(self) -> bool:
        """Remove the taint from every node that is ready and was not looked at yet; return whether some are left.

        Of a node that is not at rest it is logged why it keeps the taint; its next report opens it again.
        """
        keys = {
            name: (self._uids[name], boot)
            for name in self._open
            if name in self._uids and (boot := self._boot(name)) is not None
        }
        open_ = [name for name, key in keys.items() if self._done.get(name) != key]
        settled = await asyncio.gather(*map(self._settle, open_))
        self._done |= {name: keys[name] for name, done in zip(open_, settled, strict=True) if done}
        left = [name for name, done in zip(open_, settled, strict=True) if not done]
        self._open = dict.fromkeys(name for name in left if name in self._at_rest)
        return bool(self._open)

    def _boot(self, name: str) -> str | None:
        if (body := self._at_rest.get(name)) is not None:
            return boot_of(body)
        return self._busy[name][0] if name in self._busy else None

    async def _settle(self, name: str) -> bool:
        """Return whether the node has no such taint now, in the boot that its SriovNode names."""
        busy = self._busy.get(name)
        if busy is not None and self._told.get(name) == _pointing(name, busy[1]):
            return False
        async with self._slots:
            try:
                node = await self._kube.read(f"/api/v1/nodes/{name}")
                return await self._decide(name, node)
            except KubeError as error:
                if error.absent:
                    return True
                if not error.held and not error.exists:
                    self._tell(name, f"cannot look at it or change it, will try again: {error}", logging.WARNING)
                return False

    async def _decide(self, name: str, node: Mapping[str, Any]) -> bool:
        if not tainted(node):
            self._told.pop(name, None)
            return True
        if name in self._busy:
            self._tell(name, _pointing(name, self._busy[name][1]), logging.INFO)
            return False
        if (why := why_not(self._at_rest[name], node)) != "":
            self._tell(name, why, logging.INFO)
            return False
        await self._kube.patch(f"/api/v1/nodes/{name}", removal(node))
        self._told.pop(name, None)
        logger.info("node %s is ready: removed its taint %s", name, TAINT)
        return True

    def _tell(self, name: str, why: str, level: int) -> None:
        if self._told.get(name) != why:
            self._told[name] = why
            logger.log(level, "node %s keeps its taint %s: %s", name, TAINT, why)


def _pointing(name: str, why: str) -> str:
    return f"{why}; kubectl virtfn why node/{name} says more"

"""Asks the kubelet in each round what it offers to pods, and compares that with what was published.

The kubelet's podresources are asked each time: that costs little and answers from the kubelet's memory. The own Node is
read from the API server, so it is read seldom: ten seconds after a change, when the kubelet should have written it, and
then every five minutes, or in each round while it differs.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from virtfn_host.core.values.offered import PoolSet
from virtfn_host.core.values.reasons import Reason
from virtfn_operator.agent.not_offered import (
    LASTS,
    NOT_COMPARED,
    Clock,
    Compared,
    Offers,
    Since,
    compared,
    differences,
    expected,
    not_on_the_node,
)
from virtfn_operator.agent.ports import Files, Kubelet, KubeletUnreachableError, OwnNode, Patience
from virtfn_operator.api.conditions import READY, find, read_conditions
from virtfn_operator.apiserver.kube_error import KubeError

WRITTEN = 10.0
"""Seconds that a kubelet may take to write a change to its Node (nodeStatusUpdateFrequency)."""

NODE_AGAIN, NODE_FAILED = 300.0, 60.0
"""Seconds until the Node is read again, where it showed what was published, and where it could not be read."""

logger = logging.getLogger(__name__)


class Offering:
    """Remembers of one round for the next since when what differs."""

    def __init__(
        self,
        *,
        kubelet: Kubelet,
        files: Files,
        patience: Patience,
        now: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._kubelet = kubelet
        self._files = files
        self._patience = patience
        self._now = now
        self._booted = wall() - now()
        """Taken once, so that the same moment is always told as the same time of the day."""
        self._since: Since = {}
        self._last = NOT_COMPARED
        self._answered = False
        """Whether a kubelet has answered this process of the agent."""
        self._known: object = None
        """The kubelet that answered last."""
        self._silent_since: float | None = None
        self._steady: tuple[object, Mapping[str, frozenset[str]]] | None = None
        """The kubelet and what it offered as it was published, in the last round; None: something differed."""
        self._steady_since = 0.0
        self._node_due = 0.0
        self._shown: Mapping[str, int] | None = None
        """What the Node showed when it was last read."""

    async def look(self, published: PoolSet, node: OwnNode) -> Offers:
        """Return how the published pools stand with the kubelet."""
        clock = Clock(now=self._now(), booted=self._booted)
        try:
            offer = await self._kubelet.offered()
        except KubeletUnreachableError as error:
            return self._unanswered(str(error), clock.now)
        self._silent_since = None
        plugin = await self._files.plugin()
        if not self._answered and _said_not_offered(node.status, published.boot_id):
            # A new process of the agent goes on where the last one ended.
            self._steady, self._steady_since = (offer.kubelet, expected(published)), clock.now - LASTS
            found = differences(published, offer, plugin)
            self._since = {(it.resource_name, device): self._steady_since for it in found for device in it.devices}
        elif offer.kubelet != self._known:
            told = {it.resource_name for it in self._last.lasting}  # until it offers them: a restart is no cure
            self._since, self._steady = {key: at for key, at in self._since.items() if key[0] in told}, None
        self._answered, self._known = True, offer.kubelet
        outcome = compared(published, offer, plugin, self._since, clock)
        self._since = outcome.since
        self._last = await self._with_node(outcome, published, node, clock.now)
        return self._last

    def _unanswered(self, error: str, now: float) -> Offers:
        """For a moment the last answer stands, without its numbers; then it is unknown what else is offered."""
        self._silent_since = now if self._silent_since is None else self._silent_since
        if now - self._silent_since < LASTS:
            return replace(self._last, counts=None)
        unknown = f"it is unknown what the kubelet offers to pods: {error}"
        self._last = Offers(unknown=unknown, lasting=self._last.lasting)  # silence clears nothing
        return self._last

    # --- what the Node shows ----------------------------------------------------------------------------------------

    async def _with_node(self, outcome: Compared, published: PoolSet, node: OwnNode, now: float) -> Offers:
        if outcome.differences:
            self._steady = None
            return outcome.offers
        wanted = expected(published)
        if self._steady != (self._known, wanted):
            self._steady, self._steady_since, self._node_due, self._shown = (self._known, wanted), now, 0.0, None
        if now - self._steady_since >= WRITTEN and now >= self._node_due:
            self._shown = await self._read_node(node, wanted, now)
        if self._shown is None or now - self._steady_since < LASTS:
            return outcome.offers
        return replace(outcome.offers, lasting=not_on_the_node(published, self._shown))

    async def _read_node(
        self, node: OwnNode, wanted: Mapping[str, frozenset[str]], now: float
    ) -> Mapping[str, int] | None:
        try:
            async with asyncio.timeout(self._patience.api):
                shown = await node.shown()
        except (KubeError, TimeoutError) as error:
            logger.info("cannot read what the Node shows of resources: %s", error or "no answer")
            self._node_due = now + NODE_FAILED
            return None
        as_published = all(shown.get(name, 0) == len(devices) for name, devices in wanted.items())
        self._node_due = now + (NODE_AGAIN if as_published else 0.0)
        return shown


def _said_not_offered(status: Mapping[str, Any], boot_id: str) -> bool:
    ready = find(read_conditions(status), READY)
    return status.get("bootId") == boot_id and ready is not None and ready.reason == Reason.NOT_OFFERED

"""Asks the kubelet in each round what it offers to pods, and compares that with what was published.

The kubelet's podresources are asked each time: that costs little and answers from the kubelet's memory. The own Node is
read from the API server, so it is read seldom: ten seconds after a change, when the kubelet should have written it, and
then every five minutes, or in each round while it differs.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Set
from dataclasses import replace
from typing import Any

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.offered import PoolSet
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.steps import Blocked
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
    ours,
)
from virtfn_operator.agent.ports import Files, Kubelet, KubeletUnreachableError, OwnNode, Patience
from virtfn_operator.api.conditions import READY, UNKNOWN, read_conditions
from virtfn_operator.api.foreign import entries, text
from virtfn_operator.api.node_spec import POLICIES_LIMIT
from virtfn_operator.api.node_status import State
from virtfn_operator.apiserver.kube_error import KubeError

WRITTEN = 10.0
"""Seconds that a kubelet may take to write a change to its Node (nodeStatusUpdateFrequency)."""

NODE_AGAIN, NODE_FAILED = 300.0, 60.0
"""Seconds until the Node is read again, where it showed what was published, and where it could not be read."""

NOT_ASKED = "it is unknown what the kubelet offers to pods: the agent has just started and has not asked it yet"
NOT_YET = "the kubelet answers again, and does not offer everything yet that is published"

_SAID_UNKNOWN = frozenset({(UNKNOWN, Reason.KUBELET_UNREACHABLE), (State.CHANGING, Reason.KUBELET_UNREACHABLE)})
"""How a node or a policy stood where a status said that it is unknown what the kubelet offers."""

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
        self.last = NOT_COMPARED
        """The outcome of the last look."""
        self._remembered = False
        self._said_not_offered = False
        """Whether the process of the agent before this one said so, and no kubelet has answered this one yet."""
        self._stands = False
        """Whether there was an answer in this boot that stands for a moment: to this process, or to the one before."""
        self._known: object = None
        """The kubelet that answered last."""
        self._silent_since: float | None = None
        self._steady: tuple[object, Mapping[str, frozenset[str]]] | None = None
        """The kubelet and what it offered as it was published, in the last round; None: something differed."""
        self._steady_since = 0.0
        self._node_due = 0.0
        self._shown: Mapping[str, int] | None = None
        """What the Node showed when it was last read."""

    def remember(self, status: Mapping[str, Any], boot_id: str) -> None:
        """Go on where the process of the agent before this one ended, as far as its status says, if in this boot."""
        if self._remembered or not status:
            return
        self._remembered = True
        said = _said(status) if status.get("bootId") == boot_id else frozenset()
        self._stands = self._stands or bool(said)
        self._said_not_offered = any(reason == Reason.NOT_OFFERED for _, reason in said)
        if self._said_not_offered or not said.isdisjoint(_SAID_UNKNOWN):
            self.last = replace(self.last, unknown=self.last.unknown or NOT_ASKED)

    async def look(self, published: PoolSet, node: OwnNode) -> None:
        """Ask how the published pools stand with the kubelet; `last` has the answer."""
        clock = Clock(now=self._now(), booted=self._booted)
        try:
            offer = await self._kubelet.offered()
        except KubeletUnreachableError as error:
            self._unanswered(str(error), clock.now)
            return
        self._silent_since = None
        plugin = await self._files.plugin()
        if self._said_not_offered:
            self._steady, self._steady_since = (offer.kubelet, expected(published)), clock.now - LASTS
            found = differences(published, offer, plugin)
            self._since = {(it.resource_name, device): self._steady_since for it in found for device in it.devices}
        elif offer.kubelet != self._known:
            told = {it.resource_name for it in self.last.lasting}  # until it offers them: a restart is no cure
            self._since, self._steady = {key: at for key, at in self._since.items() if key[0] in told}, None
        self._said_not_offered, self._stands, self._known = False, True, offer.kubelet
        outcome = compared(published, offer, plugin, self._since, clock)
        self._since = outcome.since
        offers = await self._with_node(outcome, published, node, clock.now)
        if self.last.unknown and outcome.differences and not offers.lasting:
            offers = replace(offers, unknown=NOT_YET)  # the answer alone makes nothing Ready again
        self.last = offers

    def _unanswered(self, error: str, now: float) -> None:
        """For a moment the last answer stands, if there was one, without its numbers; then it is unknown what else is
        offered."""
        self._silent_since = now if self._silent_since is None else self._silent_since
        if self._stands and not self.last.unknown and now - self._silent_since < LASTS:
            self.last = replace(self.last, counts=None)
        else:
            unknown = f"it is unknown what the kubelet offers to pods: {error}"
            self.last = Offers(unknown=unknown, lasting=self.last.lasting)  # silence clears nothing

    async def elsewhere(self, published: PoolSet, touched: Set[PciAddress]) -> Blocked | None:
        """Say which of these functions another device plugin offers, too: to withdraw them here would not help."""
        try:
            offer = await self._kubelet.offered()
        except KubeletUnreachableError:
            return None  # then they are withdrawn, and the kubelet is waited for
        names = ours(published, await self._files.plugin())
        if (found := offer.elsewhere({str(address) for address in touched}, names)) is None:
            return None
        device, name = found
        text = f"the kubelet offers it as {name}, so another device plugin has it, too: take it from its configuration"
        message = f"{device}: {text}"
        return Blocked(device=PciAddress.parse(device), reason=Reason.VFS_IN_USE, message=message, holders=())

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


def _said(status: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    """How the node and each policy stood, with the reason: the node may have a graver one than a policy."""
    policies = entries(status.get("policies"), POLICIES_LIMIT)
    ready = [(it.status, it.reason) for it in read_conditions(status) if it.type == READY]
    return frozenset(ready) | {(text(it.get("state"), 64), text(it.get("reason"), 64)) for it in policies}

"""Reads the pods that evictions depend on, and sends the evictions that `evict.py` decided on.

Of pods only metadata is read, and only of nodes whose turn waits for pods. Remembers the answers, so that a refused
eviction is sent again after a while and can be told; a controller that starts anew asks the API server again.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus

from virtfn_operator.api.node_state import NodeState
from virtfn_operator.apiserver.gate import UNANSWERED
from virtfn_operator.apiserver.kube import METADATA_ONLY, Kube
from virtfn_operator.apiserver.kube_error import KubeError
from virtfn_operator.controller.evict import (
    SPARED,
    Eviction,
    EvictionAnswer,
    Facts,
    PodOnNode,
    Said,
    disturbs,
    read_pods,
    waits_for_pods,
)
from virtfn_operator.controller.picture import Change, ObjectKind
from virtfn_operator.controller.see import SeenState

PODS_PATH = "/api/v1/pods"

AGAIN = 10.0
"""Seconds until an eviction is sent again; the API server asks for 10 when a PodDisruptionBudget refuses one."""

FRESH = 5.0
"""Seconds that a list of pods is used. An old one does no harm: the uid is a precondition of each eviction."""

logger = logging.getLogger(__name__)


class Evictions:
    """The evictions of this controller."""

    def __init__(self, kube: Kube, *, namespace: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        """Make an object without any answer yet.

        Args:
            kube: the API server.
            namespace: virtfn's own.
            clock: gives seconds that only go on.
        """
        self._kube = kube
        self._spared = SPARED | {namespace}
        self._clock = clock
        self._pods: dict[str, tuple[float, tuple[PodOnNode, ...] | str]] = {}
        self._answers: dict[str, EvictionAnswer] = {}
        self._due: dict[str, float] = {}
        """When an eviction may be sent again, by the pod's uid."""
        self._refusals: dict[str, str] = {}
        self._moving: dict[str, NodeState] = {}
        """Nodes that have a turn or want one."""

    def take(self, changes: Iterable[Change]) -> None:
        """Note changes of SriovNodes."""
        for change in changes:
            if change.kind is not ObjectKind.STATE:
                continue
            if isinstance(change.seen, SeenState) and disturbs(change.seen.state):
                self._moving[change.name] = change.seen.state
            else:
                self._moving.pop(change.name, None)

    async def look(self, cordoned: frozenset[str]) -> Facts:
        """Return what the decision depends on; without nodes that wait for pods, nothing is requested.

        Args:
            cordoned: the names of cordoned Nodes.
        """
        waiting = sorted(name for name, state in self._moving.items() if waits_for_pods(state))
        found = {name: await self._pods_of(name) for name in waiting}
        self._forget(found)
        pods = {name: seen for name, seen in found.items() if seen is not None}
        return Facts(cordoned=cordoned, pods=pods, answers=dict(self._answers), refusals=dict(self._refusals))

    def remember(self, refusals: Mapping[str, str]) -> None:
        """Keep why evictions do not go on, by node, until the node wants no turn any more."""
        self._refusals |= refusals

    async def send(self, evictions: Sequence[Eviction], leads: Callable[[], bool] = lambda: True) -> bool:
        """Send the evictions that are due, as long as we lead; return whether an answer tells something new."""
        before = dict(self._answers)
        # The one that waits longest goes first, so that no pod keeps the others from being asked for.
        for eviction in sorted(evictions, key=lambda one: self._due.get(one.pod.uid, 0.0)):
            if self._clock() < self._due.get(eviction.pod.uid, 0.0):
                continue
            if not leads() or not await self._send(eviction):
                break
        return before != self._answers

    async def _pods_of(self, node: str) -> tuple[PodOnNode, ...] | str | None:
        """Return the pods of a node, or why they may not be read; None: the API server did not answer."""
        at, known = self._pods.get(node, (0.0, None))
        if known is not None and self._clock() - at < FRESH:
            return known
        query = {"fieldSelector": f"spec.nodeName={node},status.phase!=Succeeded,status.phase!=Failed"}
        try:
            found: tuple[PodOnNode, ...] | str = read_pods(
                await self._kube.list(PODS_PATH, accept=METADATA_ONLY, query=query), self._spared
            )
        except KubeError as error:
            if error.status != HTTPStatus.FORBIDDEN:  # a 401 tells of a server that is not well, not of a right
                logger.warning("cannot list the pods of node %s, will try again: %s", node, error)
                return None
            found = f"{error}; see the chart's value eviction.enabled"
        self._pods[node] = (self._clock(), found)
        return found

    async def _send(self, eviction: Eviction) -> bool:
        """Send one eviction and keep its answer; return False where the server is away, so that no other is sent."""
        pod, wait, away = eviction.pod, 0.0, False
        try:
            await self._kube.evict(pod.namespace, pod.name, pod.uid)
        except KubeError as error:
            if error.held:
                return True  # it was not sent: the last answer still counts
            answer, wait, away = _answer(error), error.retry_in, error.status == UNANSWERED
        else:
            answer = EvictionAnswer(said=Said.DONE)
        self._due[pod.uid] = self._clock() + max(AGAIN, wait)
        self._pods.pop(eviction.node, None)
        if answer.said is Said.DONE:
            logger.info("evicted pod %s of node %s (uid %s)", pod, eviction.node, pod.uid)
        elif answer != self._answers.get(pod.uid):
            logger.warning("pod %s of node %s is not evicted: %s", pod, eviction.node, answer.text)
        self._answers[pod.uid] = answer
        return not away

    def _forget(self, found: Mapping[str, tuple[PodOnNode, ...] | str | None]) -> None:
        if all(pods is not None for pods in found.values()):
            seen = {pod.id.uid for pods in found.values() if isinstance(pods, tuple) for pod in pods}
            self._answers = {uid: answer for uid, answer in self._answers.items() if uid in seen}
            self._due = {uid: due for uid, due in self._due.items() if uid in seen}
        self._refusals = {node: why for node, why in self._refusals.items() if node in self._moving}
        self._pods = {node: kept for node, kept in self._pods.items() if node in found}


def _answer(error: KubeError) -> EvictionAnswer:
    """Say what a refused eviction means. A pod that is gone, or that has another uid now, needs none."""
    if error.cause:
        return EvictionAnswer(said=Said.REFUSED, text=error.cause)
    if error.absent or error.exists:  # not where a webhook chose this code
        return EvictionAnswer(said=Said.DONE)
    if error.status in (HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.INTERNAL_SERVER_ERROR):
        return EvictionAnswer(said=Said.REFUSED, text=str(error))
    return EvictionAnswer(said=Said.LATER, text=str(error))

"""Kubernetes Events (events.k8s.io/v1) from condition transitions, and from nothing else.

Both kinds are cluster-scoped, so their events live in the namespace `default` (the API server's rule). An event that
cannot be posted is logged and forgotten: the condition says the same.
"""

import logging
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from virtfn_host.backoff import Allowance
from virtfn_operator.api import API_VERSION
from virtfn_operator.api.conditions import Transition
from virtfn_operator.apiserver.kube import Kube
from virtfn_operator.apiserver.kube_error import KubeError

PATH = "/apis/events.k8s.io/v1/namespaces/default/events"
NOTE_LIMIT, REASON_LIMIT = 1000, 128
"""Bytes, not characters; the API refuses a note of 1024 and more."""

AT_ONCE, EVERY = 25, 300.0
"""Events of one object at once, and seconds until it may have one more: client-go's own bounds. What a node reports is
anybody's writing, and a reason that is another each time would be a story each time."""

SAME_STORY = 3600.0
"""Seconds in which the same transition is told once; events live for an hour."""

STORIES = 4096
"""Transitions that are remembered as told."""

logger = logging.getLogger(__name__)


def event(about: Mapping[str, Any], kind: str, transition: Transition, *, instance: str, now: str) -> dict[str, Any]:
    """The Event object of one transition; Warning when somebody should look."""
    new, metadata = transition.new, about["metadata"]
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": f"{metadata['name'][:200].rstrip('.-')}.{uuid.uuid4().hex[:16]}", "namespace": "default"},
        "eventTime": now,
        "type": "Warning" if new.warning else "Normal",
        "reason": _cut(new.reason, REASON_LIMIT),
        "action": new.type,
        "note": _cut(f"{new.type} is {new.status}: {new.message}", NOTE_LIMIT),
        "regarding": {
            "apiVersion": API_VERSION,
            "kind": kind,
            "name": metadata["name"],
            "uid": metadata.get("uid", ""),
        },
        "reportingController": "virtfn.dev/operator",
        "reportingInstance": instance[:128],
    }


def _cut(text: str, most: int) -> str:
    return text.encode("utf-8", "replace")[:most].decode(errors="ignore")


class Events:
    """Posts the events of one process, each story once.

    What flaps tells its story again and again. So the same transition (object, condition, status, reason) of the same
    generation is told once an hour; an edit by the user is a new story. One object has only so many stories. An event
    that cannot be posted is not insisted on.
    """

    def __init__(self, kube: Kube, *, instance: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._kube = kube
        self._instance = instance
        self._clock = clock
        self._told: dict[tuple[object, ...], float] = {}
        self._budgets: dict[tuple[str, str], Allowance] = {}

    async def post(self, about: Mapping[str, Any], kind: str, changes: Iterable[Transition], *, now: str) -> None:
        """Tell of every transition that was not told of lately.

        Args:
            now: metav1.MicroTime, for people; what is lately is measured by the monotonic clock.
        """
        for transition in changes:
            if self._is_news(about, kind, transition) and self._affords(about, kind):
                await self._post(about, kind, transition, now)

    def _is_news(self, about: Mapping[str, Any], kind: str, transition: Transition) -> bool:
        new, metadata = transition.new, about["metadata"]
        story = (kind, metadata["name"], metadata.get("uid"), new.type, new.status, new.reason, new.observed_generation)
        moment = self._clock()
        told = self._told.get(story)
        if told is not None and moment - told < SAME_STORY:
            return False
        if len(self._told) >= STORIES:
            self._told = {key: at for key, at in self._told.items() if moment - at < SAME_STORY}
        if len(self._told) >= STORIES:
            self._told.clear()
        self._told[story] = moment
        return True

    def _affords(self, about: Mapping[str, Any], kind: str) -> bool:
        if len(self._budgets) >= STORIES:
            self._budgets.clear()
        key = kind, about["metadata"]["name"]
        return self._budgets.setdefault(key, Allowance(burst=AT_ONCE, every=EVERY)).take(self._clock())

    async def _post(self, about: Mapping[str, Any], kind: str, transition: Transition, now: str) -> None:
        try:
            await self._kube.create(PATH, event(about, kind, transition, instance=self._instance, now=now))
        except KubeError as error:
            if not error.held:
                logger.warning("event %s is lost: %s", transition.new.reason, error)

"""Kubernetes Events (events.k8s.io/v1), made from condition transitions only.

Both kinds are cluster-scoped, so their events live in the namespace `default` (the API server's rule). An event that
cannot be posted is logged and dropped, because the condition says the same.
"""

import logging
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from virtfn_host.backoff import Allowance
from virtfn_operator.api import API_VERSION, NODE_KIND
from virtfn_operator.api.conditions import Transition
from virtfn_operator.api.foreign import entries, mapping, number, text
from virtfn_operator.api.node_spec import POLICIES_LIMIT
from virtfn_operator.apiserver.kube import Kube
from virtfn_operator.apiserver.kube_error import KubeError

PATH = "/apis/events.k8s.io/v1/namespaces/default/events"
NOTE_LIMIT, REASON_LIMIT = 1000, 128
"""Bytes, not characters; the API refuses a note of 1024 or more."""

AT_ONCE, EVERY = 25, 300.0
"""Events of one object at once, and seconds until one more: client-go's bounds. Reasons come from node statuses, which
are not trusted: a new reason each time would be a new event each time."""

SAME_STORY = 3600.0
"""Seconds within which the same transition is posted once; events live for an hour."""

STORIES = 4096
"""Posted transitions that are remembered."""

logger = logging.getLogger(__name__)


def event(about: Mapping[str, Any], kind: str, transition: Transition, *, instance: str, now: str) -> dict[str, Any]:
    """Return the Event object of one transition; its type is Warning when people should look at it."""
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


def _edit(about: Mapping[str, Any], kind: str, transition: Transition) -> int:
    """Return a number that changes when a user edits what the object asks for.

    A SriovNode's generation is no such number: the controller writes its spec, and each turn is a new generation. So
    there it is a hash of the uid and generation of all asked policies.
    """
    if kind != NODE_KIND:
        return transition.new.observed_generation
    asked = entries(mapping(about.get("spec")).get("policies"), POLICIES_LIMIT)
    return hash(frozenset((text(policy.get("uid")), number(policy.get("generation"))) for policy in asked))


class Events:
    """Posts the events of one process, each transition once.

    A condition that flaps makes the same transition again and again. So the same transition (object, condition, status,
    reason) is posted once an hour, unless a user edited a policy meanwhile (`_edit`). The events of one object are
    limited too. An event that cannot be posted is not tried again.
    """

    def __init__(self, kube: Kube, *, instance: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._kube = kube
        self._instance = instance
        self._clock = clock
        self._told: dict[tuple[object, ...], float] = {}
        self._budgets: dict[tuple[str, str], Allowance] = {}

    async def post(self, about: Mapping[str, Any], kind: str, changes: Iterable[Transition], *, now: str) -> None:
        """Post every transition that was not posted lately.

        Args:
            about: the object that the events are about.
            kind: its kind.
            changes: the transitions.
            now: metav1.MicroTime, for people; `SAME_STORY` is measured with the monotonic clock.
        """
        for transition in changes:
            if self._is_news(about, kind, transition) and self._affords(about, kind):
                await self._post(about, kind, transition, now)

    def _is_news(self, about: Mapping[str, Any], kind: str, transition: Transition) -> bool:
        new, metadata = transition.new, about["metadata"]
        edit = _edit(about, kind, transition)
        story = (kind, metadata["name"], metadata.get("uid"), new.type, new.status, new.reason, edit)
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
                logger.warning("cannot post the event %s: %s", transition.new.reason, error)

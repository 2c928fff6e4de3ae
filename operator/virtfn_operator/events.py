"""Kubernetes Events (events.k8s.io/v1) from condition transitions, and from nothing else.

Both kinds are cluster-scoped, so their events live in the namespace `default` (the API server's rule). An event that
cannot be posted is logged and forgotten: the condition says the same.
"""

import logging
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from virtfn_operator.api import API_VERSION
from virtfn_operator.api.conditions import Transition
from virtfn_operator.kube import Kube
from virtfn_operator.kube_error import KubeError

PATH = "/apis/events.k8s.io/v1/namespaces/default/events"
NOTE_LIMIT = 1000
"""The API refuses 1024 and more."""

logger = logging.getLogger(__name__)


def event(about: Mapping[str, Any], kind: str, transition: Transition, *, instance: str, now: str) -> dict[str, Any]:
    """The Event object of one transition; Warning when somebody should look."""
    new, metadata = transition.new, about["metadata"]
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": f"{metadata['name'][:200]}.{uuid.uuid4().hex[:16]}", "namespace": "default"},
        "eventTime": now,
        "type": "Warning" if new.warning else "Normal",
        "reason": new.reason,
        "action": new.type,
        "note": f"{new.type} is {new.status}: {new.message}"[:NOTE_LIMIT],
        "regarding": {
            "apiVersion": API_VERSION,
            "kind": kind,
            "name": metadata["name"],
            "uid": metadata.get("uid", ""),
        },
        "reportingController": "virtfn.dev/operator",
        "reportingInstance": instance[:128],
    }


async def post(
    kube: Kube,
    about: Mapping[str, Any],
    kind: str,
    changes: Iterable[Transition],
    *,
    instance: str,
    now: str,
) -> None:
    """Tell of every transition."""
    for transition in changes:
        try:
            await kube.create(PATH, event(about, kind, transition, instance=instance, now=now))
        except KubeError as error:
            logger.warning("event %s is lost: %s", transition.new.reason, error)

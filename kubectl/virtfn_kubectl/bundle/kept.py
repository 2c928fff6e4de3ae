"""Which fields of each kind of object a report keeps: those known to be harmless. Everything else is left out."""

from collections.abc import Iterable, Mapping
from typing import Any

from virtfn_host.core.turn.grant_fields import CDI_FIELDS, GRANT_FIELDS
from virtfn_host.core.turn.policy import ALLOCATION_FIELDS, LINK_FIELDS, POOL_FIELDS, WHOLE_FIELDS
from virtfn_operator.api.node_status import STATUS_FIELDS

ITEMS_LIMIT, DEPTH_LIMIT = 10_000, 32

KeptFields = Mapping[str, "KeptFields | None"]
"""Fields that are kept, each with the fields below it; None for a single value or a list of such."""


def tree(paths: Iterable[str]) -> dict[str, Any]:
    """Return paths like `plan.blocked.reason` as a tree."""
    found: dict[str, Any] = {}
    for path in sorted(paths):
        place = found
        for part in path.split("."):
            place = place.setdefault(part, {})
    return _leaves(found)


def _leaves(found: dict[str, Any]) -> dict[str, Any]:
    return {name: _leaves(below) if below else None for name, below in found.items()}


_MATCHER = dict.fromkeys(("vendor", "device", "class", "driver", "address", "netdev", "numaNode"))
"""Not the serial number, the permanent MAC and the slot: they name one card."""
_OFFER: KeptFields = {
    "grant": {**dict.fromkeys(GRANT_FIELDS), "cdi": dict.fromkeys(CDI_FIELDS)},
    "allocation": dict.fromkeys(ALLOCATION_FIELDS),
}
_POOL: KeptFields = {**dict.fromkeys(POOL_FIELDS), "link": dict.fromkeys(LINK_FIELDS), **_OFFER}
_WHOLE: KeptFields = {**dict.fromkeys(WHOLE_FIELDS), **_OFFER}
_CONDITIONS = dict.fromkeys(("type", "status", "reason", "message", "observedGeneration", "lastTransitionTime"))
_METADATA = dict.fromkeys(("name", "namespace", "generation", "creationTimestamp", "deletionTimestamp"))
_RESOURCES: KeptFields = {
    "requests": dict.fromkeys(("cpu", "memory")),
    "limits": dict.fromkeys(("cpu", "memory")),
}
_STATE: KeptFields = {
    "running": {"startedAt": None},
    "waiting": {"reason": None, "message": None},
    "terminated": dict.fromkeys(("reason", "message", "exitCode", "signal", "startedAt", "finishedAt")),
}

POLICY: KeptFields = {
    "metadata": _METADATA,
    "spec": {
        "priority": None,
        "devices": _MATCHER,
        "virtualFunctions": {"count": None, "mtu": None, "pools": _POOL},
        "wholeFunctions": _WHOLE,
        "allowUnsafeNoIommu": None,
        "disruption": dict.fromkeys(("whenInUse", "maxUnavailable", "onFailure")),
    },
    "status": {
        "observedGeneration": None,
        "nodes": dict.fromkeys(("matching", "ready", "changing", "blocked", "failed", "withoutDevice")),
        "problems": dict.fromkeys(("node", "device", "reason", "message")),
        "conditions": _CONDITIONS,
    },
}
NODE: KeptFields = {
    "metadata": _METADATA,
    "spec": {
        "policies": {
            **dict.fromkeys(("name", "uid", "generation", "count", "allowUnsafeNoIommu")),
            "devices": _MATCHER,
            "pools": _POOL,
            "wholeFunctions": _WHOLE,
        },
        "mayChange": None,
        "needs": None,
    },
    "status": tree(STATUS_FIELDS),
}
MEMBER: KeptFields = {
    "metadata": {"name": None},
    "spec": {"unschedulable": None},
    "status": {
        "conditions": dict.fromkeys(("type", "status", "reason", "lastTransitionTime")),
        "nodeInfo": dict.fromkeys(
            ("kernelVersion", "osImage", "containerRuntimeVersion", "kubeletVersion", "operatingSystem", "architecture")
        ),
    },
}
POD: KeptFields = {
    "metadata": {**_METADATA, "labels": dict.fromkeys(("app.kubernetes.io/component", "app.kubernetes.io/version"))},
    "spec": {"nodeName": None, "priority": None, "containers": {"name": None, "image": None, "resources": _RESOURCES}},
    "status": {
        **dict.fromkeys(("phase", "reason", "message", "startTime", "qosClass")),
        "conditions": dict.fromkeys(("type", "status", "reason", "message", "lastTransitionTime")),
        "containerStatuses": {
            **dict.fromkeys(("name", "ready", "restartCount", "image")),
            "state": _STATE,
            "lastState": _STATE,
        },
    },
}
_STATUS_OF_WORKLOAD = (
    "replicas",
    "readyReplicas",
    "updatedReplicas",
    "desiredNumberScheduled",
    "currentNumberScheduled",
    "numberReady",
    "updatedNumberScheduled",
    "numberUnavailable",
    "observedGeneration",
)
WORKLOAD: KeptFields = {
    "metadata": _METADATA,
    "spec": {
        "replicas": None,
        "template": {"spec": {"containers": {"name": None, "image": None, "resources": _RESOURCES}}},
    },
    "status": dict.fromkeys(_STATUS_OF_WORKLOAD),
}
EVENT: KeptFields = {
    **dict.fromkeys(("type", "reason", "message", "count", "firstTimestamp", "lastTimestamp", "eventTime")),
    "involvedObject": dict.fromkeys(("kind", "namespace", "name")),
}
_IMAGE: KeptFields = dict.fromkeys(("tag", "pullPolicy"))
_PROCESS: KeptFields = {
    "image": _IMAGE,
    "resources": _RESOURCES,
    **dict.fromkeys(("replicas", "turnTimeoutSeconds", "maxUnavailable", "logLevel", "logFormat")),
}
VALUES: KeptFields = {
    "image": _IMAGE,
    **dict.fromkeys(("logLevel", "logFormat", "revisionHistoryLimit")),
    "kubelet": {"rootDir": None},
    "resourceDomains": None,
    "admissionPolicy": dict.fromkeys(("enabled", "hintImport")),
    "networkPolicy": {"enabled": None, "apiServer": {"ports": None}, "dns": {"ports": None}},
    "namespace": {"create": None},
    "securityContextConstraints": {"create": None},
    "controller": _PROCESS,
    "agent": {**_PROCESS, "host": _PROCESS},
    "bootUnit": dict.fromkeys(("enabled", "python")),
    "startupTaint": {"enabled": None},
    "devicePlugin": {**_PROCESS, "deviceInfo": None, "cdi": None},
}


def kept(value: object, fields: KeptFields | None, depth: int = 0) -> Any:
    """Return the part of a JSON value that is kept; None for what is not of the form that the field has."""
    match value:
        case Mapping() if fields is not None and depth < DEPTH_LIMIT:
            return {name: kept(value[name], below, depth + 1) for name, below in fields.items() if name in value}
        case list():
            return [kept(item, fields, depth + 1) for item in value[:ITEMS_LIMIT] if _fits(item, fields)]
        case str() | bool() | int() | float() if fields is None:
            return value
    return None


def _fits(item: object, fields: KeptFields | None) -> bool:
    return isinstance(item, Mapping) if fields is not None else isinstance(item, str | bool | int | float)

"""What the controller keeps of an object: what it decides from, and nothing else. Pure.

Most of a SriovNode is its inventory (`status.functions`), from which nothing is decided here. It is dropped as soon as
the object is read, so that 5,000 nodes cost some megabytes. What is equal on many nodes (outcomes, the policies of a
spec) is kept once. An object that cannot be read is kept as such: it must not count as absent.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from virtfn_host.core.values.resource_names import Domains
from virtfn_operator.api.foreign import ERRORS, entries, mapping, number, optional_text
from virtfn_operator.api.node_state import NodeState, read_node, unknown_node
from virtfn_operator.api.policy import Policy, read_policy
from virtfn_operator.controller import turns
from virtfn_operator.controller.tainted import POOLS_LIMIT

Body = Mapping[str, Any]
T = TypeVar("T")

MOST_SHARED, MOST_CHARACTERS = 16384, 4 << 20
"""Values that are remembered to be shared, and their characters; beyond that all are forgotten: this shares less, and
keeps no old ones. Both are bounded: a few values may be as large as thousands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenPolicy:
    """A SriovPolicy."""

    name: str
    policy: Policy | None
    """None where it cannot be read."""
    why: str = ""
    """Why it cannot be read."""
    body: Body
    """Its name, uid and status, as in the object."""
    version: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenState:
    """A SriovNode."""

    name: str
    state: NodeState
    body: Body
    """Parts of the object, where they are there: name, uid, the note on its turn, spec, boot and pools."""
    last: int = 0
    """The number of its last turn."""
    promised: bool = False
    """Whether a turn was granted to it and no answer came: it counts as granted until the object was read again."""
    version: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenNode:
    """A Node."""

    name: str
    uid: str = ""
    labels: Mapping[str, str] | None
    """None where they cannot be read."""
    version: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenCordon:
    """A Node that an administrator has cordoned."""

    name: str
    version: str = field(default="", compare=False)


SeenObject = SeenPolicy | SeenState | SeenNode | SeenCordon


class Once:
    """Returns one object for all equal ones."""

    def __init__(self) -> None:
        self._known: dict[Any, Any] = {}
        self.characters = 0

    def one(self, value: T) -> T:
        """Return the first value that was equal to this one; values must be hashable."""
        return self._first(value, value)

    def document(self, value: T) -> T:
        """Return the first JSON value that was written like this one."""
        return self._first(("", json.dumps(value)), value)

    def _first(self, key: Any, value: T) -> T:
        if key not in self._known:
            size = len(repr(key))
            if len(self._known) >= MOST_SHARED or self.characters + size > MOST_CHARACTERS:
                self._known.clear()
                self.characters = 0
            self.characters += size
        known: T = self._known.setdefault(key, value)
        return known


def name_of(body: object) -> str:
    """Return the name of an object; empty where it has none."""
    name = _metadata(body).get("name")
    return name if isinstance(name, str) else ""


def version_of(body: object) -> str:
    """Return the resourceVersion of an object; empty where it has none."""
    version = _metadata(body).get("resourceVersion")
    return version if isinstance(version, str) else ""


def see_policy(body: object, domains: Domains | None) -> SeenPolicy | None:
    """Read a SriovPolicy; None where it is being deleted and cannot be read: it asks for nothing any more."""
    name, kept = name_of(body), {"metadata": _some(_metadata(body), "name", "uid"), **_some(mapping(body), "status")}
    try:
        policy, why = read_policy(mapping(body), domains), ""
    except ERRORS as error:
        if _metadata(body).get("deletionTimestamp"):
            return None
        policy, why = None, f"SriovPolicy {name[:253]} is left out, it cannot be read: {error!r:.200}"
    return SeenPolicy(name=name, policy=policy, why=why, body=kept, version=version_of(body))


def see_state(body: object, shared: Once) -> SeenState:
    """Read a SriovNode."""
    metadata = _metadata(body)
    kept = {"metadata": _some(metadata, "name", "uid", "generation"), **_some(mapping(body), "spec", "status")}
    try:
        if isinstance(policies := mapping(kept.get("spec")).get("policies"), list):
            kept["spec"] = {**kept["spec"], "policies": [shared.document(policy) for policy in policies]}
        state = _shared(read_node(kept if "metadata" in mapping(body) else mapping(body)), shared)
        kept["status"] = _boot(mapping(mapping(body).get("status")), shared)
    except ERRORS as error:
        state = unknown_node(name_of(body), 0, f"{error!r:.200}", None, garbled=True, sealed=True)
        kept["status"] = {}
    notes = _some(mapping(metadata.get("annotations")), turns.ANNOTATION)
    kept["metadata"] = _some(metadata, "name", "uid") | ({"annotations": notes} if notes else {})
    note = turns.last(turns.read_note(kept))
    return SeenState(name=name_of(body), state=state, body=kept, last=note, version=version_of(body))


def see_node(body: object, shared: Once) -> SeenNode:
    """Read the metadata of a Node."""
    metadata = _metadata(body)
    labels, uid = metadata.get("labels"), metadata.get("uid")
    if labels is not None and not _are_labels(labels):
        found = None
    else:
        found = {shared.one(key): shared.one(value) for key, value in (labels or {}).items()}
    return SeenNode(name=name_of(body), uid=str(uid), labels=found, version=version_of(body))


def see_cordon(body: object) -> SeenCordon:
    """Read the metadata of a cordoned Node."""
    return SeenCordon(name=name_of(body), version=version_of(body))


def _metadata(body: object) -> Body:
    return mapping(mapping(body).get("metadata"))


def _some(fields: Body, *names: str) -> dict[str, Any]:
    return {name: fields[name] for name in names if name in fields}


def _shared(state: NodeState, shared: Once) -> NodeState:
    return replace(
        state,
        policies=shared.one(tuple(shared.one(outcome) for outcome in state.policies)),
        rejected=shared.one(state.rejected),
    )


def _boot(status: Body, shared: Once) -> Body:
    """Return what the start-up taint depends on."""
    listed = entries(status.get("pools"), POOLS_LIMIT)
    pools = [
        {"resourceName": optional_text(p.get("resourceName"), 317), "healthy": number(p.get("healthy"))} for p in listed
    ]
    boot = status.get("bootId")
    return {"bootId": boot if isinstance(boot, str) else "", "pools": shared.document(pools)}


def _are_labels(labels: object) -> bool:
    """Whether all values are texts: a selector looks them up in sets, where lists and objects cannot be."""
    return isinstance(labels, Mapping) and all(isinstance(value, str) for value in labels.values())

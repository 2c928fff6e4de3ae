"""Reads a SriovPolicy object into a typed value. A bad spec becomes Rejected, with a message that names the field."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from virtfn_host.core.turn.policy import policy_config, read_disruption, read_priority, read_word
from virtfn_host.core.values.desired import PolicyConfig, Rejected
from virtfn_host.core.values.fields import PolicyError, read_mapping, read_text, shown
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.resource_names import Domains, clashing, environment_keys
from virtfn_operator.api.foreign import ERRORS, mapping, number, text
from virtfn_operator.api.selector import LabelSelector, read_selector

PAUSED = "virtfn.dev/paused"
"""The annotation that pauses a policy's rollout. An annotation and not a field: a change of the spec would be a new
generation, which every node must be asked for and has to answer, in the very moment when the user wants quiet; and what
a repository of manifests says of the spec would end the pause at its next sync."""

NAME_LIMIT = 253
FINALIZERS_LIMIT = 16
"""Finalizers that are named."""
MOST_NODES = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxUnavailable:
    """How many of the matching nodes may be in a disruptive change at once."""

    amount: int = 1
    percent: bool = False

    def of(self, nodes: int) -> int:
        """Return the number for so many nodes: a percentage is rounded up, and at least 1."""
        return max(1, math.ceil(nodes * self.amount / 100) if self.percent else self.amount)


class OnFailure(StrEnum):
    """What a policy wants done when a node fails in its turn."""

    STOP = "Stop"  # no other node gets a turn until that node is well
    CONTINUE = "Continue"  # the turn of the node ends, and the others go on


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One policy, as the controller merges it."""

    name: str
    uid: str
    generation: int
    created: str
    """The creationTimestamp: RFC 3339 in UTC, so text order is time order."""
    priority: int = 0
    selector: LabelSelector = field(default_factory=LabelSelector)
    max_unavailable: MaxUnavailable = field(default_factory=MaxUnavailable)
    on_failure: OnFailure = OnFailure.STOP
    paused: bool = False
    """Whether no node may begin a disruptive change for it; those that have begun go on to their end."""
    ending: str = ""
    """Why it asks nothing of nodes any more: it was deleted, and another program's finalizers keep the object."""
    config: PolicyConfig | Rejected

    @property
    def rank(self) -> tuple[int, str, str]:
        """The sort key: by precedence, highest first."""
        return (-self.priority, self.created, self.name)


def read_policy(body: Mapping[str, Any], domains: Domains | None = None) -> Policy:
    """Read a SriovPolicy as the API server gives it; a bad spec gives a Policy whose config is Rejected.

    Args:
        body: the JSON of the object.
        domains: domains that resource names may have beside virtfn.dev; None allows any.

    Raises:
        PolicyError: the object has no name.
    """
    metadata, spec = read_mapping(body.get("metadata"), "metadata"), body.get("spec")
    name = read_text(metadata.get("name"), "metadata.name", NAME_LIMIT)
    uid, created = text(metadata.get("uid")), text(metadata.get("creationTimestamp"))
    known: dict[str, Any] = {
        "name": name,
        "uid": uid,
        "generation": number(metadata.get("generation")) or 0,
        "created": created,
        "paused": _paused(metadata.get("annotations")),
        "ending": why_ending(metadata),
    }
    given = mapping(spec)
    try:
        config = policy_config(**{k: known[k] for k in ("name", "uid", "generation")}, spec=spec or {}, domains=domains)
        if isinstance(config, Rejected):
            return Policy(**known, priority=_rank(given), config=config)
        if (clash := clashing(pool.resource_name for pool in config.pools)) is not None:
            return Policy(**known, priority=_rank(given), config=_name_taken(name, *clash))
        priority = read_priority(given)
        selector = read_selector(given["nodeSelector"], "spec.nodeSelector") if "nodeSelector" in given else None
        limit, on_failure = _max_unavailable(given), _on_failure(given)
    except ERRORS as error:  # no error of one policy may stop the others
        rejected = Rejected(policy=name, device=None, reason=Reason.INVALID_POLICY, message=str(error))
        return Policy(**known, priority=_rank(given), config=rejected)
    return Policy(
        **known,
        priority=priority,
        selector=selector or LabelSelector(),
        max_unavailable=limit,
        on_failure=on_failure,
        config=config,
    )


def _name_taken(policy: str, first: str, second: str) -> Rejected:
    """Reject a policy, not a node's config: a node keeps what it had before this rule existed."""
    text = f"spec.virtualFunctions.pools: {first} and {second} have the same name in a container's environment"
    text += f" (PCIDEVICE_{environment_keys(second)[0]}); rename one"
    return Rejected(policy=policy, device=None, reason=Reason.NAME_TAKEN, message=text)


def _rank(spec: Mapping[str, Any]) -> int:
    """The priority of a rejected policy; 0 where it cannot be read either."""
    try:
        return read_priority(spec)
    except PolicyError:
        return 0


def _paused(annotations: object) -> bool:
    """Any text but `false` pauses: after a typing error the rollout must not go on."""
    value = mapping(annotations).get(PAUSED)
    return value is not None and value != "false"


def why_ending(metadata: Mapping[str, Any]) -> str:
    """Return `Policy.ending` of an object with this metadata."""
    if not metadata.get("deletionTimestamp"):
        return ""
    listed = metadata.get("finalizers")
    names = [text(it, NAME_LIMIT) for it in listed[:FINALIZERS_LIMIT]] if isinstance(listed, list) else []
    words = "it was deleted, and what it had is given back; the object goes when its finalizers are removed"
    return f"{words}: {', '.join(filter(None, names)) or 'none is left'}"


def _on_failure(spec: Mapping[str, Any]) -> OnFailure:
    return read_word(OnFailure, read_disruption(spec).get("onFailure", OnFailure.STOP), "spec.disruption.onFailure")


def _max_unavailable(spec: Mapping[str, Any]) -> MaxUnavailable:
    value, path = read_disruption(spec).get("maxUnavailable", 1), "spec.disruption.maxUnavailable"
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MOST_NODES:
        return MaxUnavailable(amount=value)
    if isinstance(value, str) and (found := re.fullmatch(r"([0-9]{1,3})%", value)) and 0 < int(found[1]) <= 100:
        return MaxUnavailable(amount=int(found[1]), percent=True)
    text = f"{shown(value)} is out of range; write a number from 1 to {MOST_NODES}, or a percentage from 1% to 100%"
    raise PolicyError(f"{path}: {text}")

"""A SriovPolicy object to a typed value. What cannot be carried out comes back as Rejected and names its field."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from virtfn_host.core.policy import PolicyError, policy_config
from virtfn_host.core.reasons import Reason
from virtfn_host.core.wanted import PolicyConfig, Rejected
from virtfn_operator.api.selector import LabelSelector, read_selector

PRIORITY_LIMIT = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class MaxUnavailable:
    """How many of the matching nodes may be in a disruptive change at once."""

    amount: int = 1
    percent: bool = False

    def of(self, nodes: int) -> int:
        """The number for so many nodes: a percentage is rounded up, and one may always go."""
        return max(1, math.ceil(nodes * self.amount / 100) if self.percent else self.amount)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One policy as the controller merges it."""

    name: str
    uid: str
    generation: int
    created: str
    """creationTimestamp: RFC 3339 in UTC, so that text order is time order."""
    priority: int = 0
    selector: LabelSelector = field(default_factory=LabelSelector)
    max_unavailable: MaxUnavailable = field(default_factory=MaxUnavailable)
    config: PolicyConfig | Rejected

    @property
    def rank(self) -> tuple[int, str, str]:
        """Sorts the policy that claims first first."""
        return (-self.priority, self.created, self.name)


def read_policy(body: Mapping[str, Any]) -> Policy:
    """Read a SriovPolicy as the API server gives it; a bad spec is a Policy whose config is Rejected."""
    metadata, spec = body["metadata"], body.get("spec") or {}
    name, uid = str(metadata["name"]), str(metadata.get("uid", ""))
    generation, created = int(metadata.get("generation", 0)), str(metadata.get("creationTimestamp", ""))
    priority = spec.get("priority", 0) if isinstance(spec, Mapping) else 0
    known: dict[str, Any] = {"name": name, "uid": uid, "generation": generation, "created": created}
    try:
        selector = read_selector(spec.get("nodeSelector") if isinstance(spec, Mapping) else None, "spec.nodeSelector")
        priority = _priority(priority)
        config = policy_config(name=name, uid=uid, generation=generation, spec=spec)
        limit = _max_unavailable(spec) if isinstance(spec, Mapping) else MaxUnavailable()
    except (AttributeError, TypeError, ValueError) as error:  # whatever it is, it stops no other policy
        rejected = Rejected(policy=name, device=None, reason=Reason.INVALID_POLICY, message=str(error))
        rank = priority if isinstance(priority, int) else 0
        return Policy(**known, priority=rank, config=rejected)
    return Policy(**known, priority=priority, selector=selector, max_unavailable=limit, config=config)


def _priority(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > PRIORITY_LIMIT:
        raise PolicyError(f"spec.priority: {value!r} is no number from -{PRIORITY_LIMIT} to {PRIORITY_LIMIT}")
    return value


def _max_unavailable(spec: Mapping[str, Any]) -> MaxUnavailable:
    disruption = spec.get("disruption") or {}
    if not isinstance(disruption, Mapping):
        raise PolicyError(f"spec.disruption: want an object, got {disruption!r}")
    if unknown := sorted(set(disruption) - {"whenInUse", "maxUnavailable"}):
        raise PolicyError(f"spec.disruption.{unknown[0]}: unknown field; known are whenInUse, maxUnavailable")
    if (when := disruption.get("whenInUse", "Wait")) != "Wait":
        not_yet = "Evict is not carried out by this version" if when == "Evict" else f"{when!r} is not Wait"
        raise PolicyError(f"spec.disruption.whenInUse: {not_yet}")
    value, path = disruption.get("maxUnavailable", 1), "spec.disruption.maxUnavailable"
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return MaxUnavailable(amount=value)
    if isinstance(value, str) and (found := re.fullmatch(r"(\d{1,3})%", value)) and 0 < int(found[1]) <= 100:
        return MaxUnavailable(amount=int(found[1]), percent=True)
    raise PolicyError(f"{path}: {value!r} is no number from 1 and no percentage from 1% to 100%")

"""SriovNode: NodeConfig to its spec and back, and what the controller reads of a node's status.

The spec is read by the rules that read a policy (`core/policy.py`), so that what the two accept cannot differ. The
status is read leniently: agent and controller may be of different versions during an upgrade.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from virtfn_host.core.codec import encode
from virtfn_host.core.model import LinkRequest
from virtfn_host.core.policy import indexes_text, policy_config
from virtfn_host.core.reasons import Reason
from virtfn_host.core.wanted import DeviceMatcher, NodeConfig, PolicyConfig, PoolRequest, Rejected, WholeRequest
from virtfn_operator.api.conditions import Condition, read_conditions
from virtfn_operator.api.node_status import PolicyOutcome, State


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSpec:
    """What the controller asks of a node."""

    config: NodeConfig
    may_change: bool
    """Whether a disruptive plan may be carried out now."""
    rejected: tuple[Rejected, ...] = ()
    """Policies this version cannot read: then nothing may be done, because leaving one out would give it back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """One SriovNode as the controller sees it."""

    name: str
    generation: int
    spec: NodeSpec | None
    """None: the controller has not spoken yet."""
    observed_generation: int
    disruptive: bool
    policies: tuple[PolicyOutcome, ...]
    rejected: tuple[Rejected, ...]
    conditions: tuple[Condition, ...]


def write_spec(config: NodeConfig, may_change: bool) -> dict[str, Any]:
    """The spec that `read_spec` reads back."""
    return {"policies": [_policy(policy) for policy in config.policies], "mayChange": may_change}


def _policy(policy: PolicyConfig) -> dict[str, Any]:
    return {
        "name": policy.name,
        "uid": policy.uid,
        "generation": policy.generation,
        "devices": [_matcher(matcher) for matcher in policy.devices],
        **(_virtual(policy) if policy.whole is None else {"wholeFunctions": _whole(policy.whole)}),
    }


def _virtual(policy: PolicyConfig) -> dict[str, Any]:
    count = {} if policy.count is None else {"count": policy.count}
    return {**count, "pools": [_pool(pool) for pool in policy.pools]}


def _whole(whole: WholeRequest) -> dict[str, Any]:
    return {"resourceName": whole.resource_name, "driver": whole.driver}


def _matcher(matcher: DeviceMatcher) -> dict[str, Any]:
    fields = {
        "vendor": matcher.vendor,
        "device": matcher.device,
        "class": matcher.class_code,
        "driver": matcher.driver,
        "address": str(matcher.address) if matcher.address else None,
        "netdev": matcher.netdev,
        "numaNode": matcher.numa_node,
    }
    return {key: value for key, value in fields.items() if value is not None}


def _pool(pool: PoolRequest) -> dict[str, Any]:
    indexes = {} if pool.indexes is None else {"indexes": indexes_text(pool.indexes)}
    link = {} if pool.link is None else {"link": _link(pool.link)}
    return {"resourceName": pool.resource_name, **indexes, "driver": pool.driver, **link}


def _link(link: LinkRequest) -> dict[str, Any]:
    return {key: value for key, value in encode(link).items() if value is not None}


def read_spec(spec: Mapping[str, Any]) -> NodeSpec | None:
    """The spec of a SriovNode; None while it holds no `policies`, which is something else than an empty list."""
    if not isinstance(spec.get("policies"), list):
        return None
    read = [_read_policy(item) for item in spec["policies"]]
    return NodeSpec(
        config=NodeConfig(policies=tuple(item for item in read if isinstance(item, PolicyConfig))),
        may_change=spec.get("mayChange") is True,
        rejected=tuple(item for item in read if isinstance(item, Rejected)),
    )


def _read_policy(item: object) -> PolicyConfig | Rejected:
    fields = item if isinstance(item, Mapping) else {}
    head = {"name", "uid", "generation", "devices"}
    rest = {key: value for key, value in fields.items() if key not in head}
    what = rest if "wholeFunctions" in rest else {"virtualFunctions": rest}
    spec = {"devices": fields.get("devices"), **what}
    generation = fields.get("generation")
    return policy_config(
        name=str(fields.get("name", "")),
        uid=str(fields.get("uid", "")),
        generation=generation if isinstance(generation, int) else 0,
        spec=spec,
    )


def read_node(body: Mapping[str, Any]) -> NodeState:
    """A SriovNode as the API server gives it; what a status lacks is empty."""
    metadata, status = body["metadata"], body.get("status") or {}
    plan = status.get("plan") or {}
    return NodeState(
        name=str(metadata["name"]),
        generation=int(metadata.get("generation", 0)),
        spec=read_spec(body.get("spec") or {}),
        observed_generation=int(status.get("observedGeneration", 0)),
        disruptive=plan.get("disruptive") is True,
        policies=tuple(_outcome(item) for item in status.get("policies") or ()),
        rejected=tuple(_rejected(item) for item in status.get("rejected") or ()),
        conditions=read_conditions(status),
    )


def _outcome(item: Mapping[str, Any]) -> PolicyOutcome:
    state = item.get("state")
    return PolicyOutcome(
        name=str(item.get("name", "")),
        uid=str(item.get("uid", "")),
        generation=int(item.get("generation", 0)),
        state=State(state) if state in tuple(State) else State.CHANGING,
        reason=str(item.get("reason", "")),
        message=str(item.get("message", "")),
        device=item.get("device"),
    )


def _rejected(item: Mapping[str, Any]) -> Rejected:
    reason = item.get("reason")
    return Rejected(
        policy=str(item.get("policy", "")),
        device=item.get("device"),
        reason=Reason(reason) if reason in tuple(Reason) else Reason.INVALID_POLICY,
        message=str(item.get("message", "")),
    )

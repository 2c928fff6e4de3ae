"""SriovNode.spec: NodeConfig to JSON and back.

The spec is read by the rules that read a policy (`core/turn/policy.py`), so both accept the same. Only unknown fields
differ: in a policy they are typing errors; in a spec a controller of another version wrote them, so they are ignored
unless the spec `needs` them (decision 0020).

There are two readers. The agent carries all of the spec out, so it reads all of it (`read_spec`). The controller wrote
the spec and looks up single policies only (`AskedSpec`), so a damaged spec costs it nothing.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from virtfn_host.core.turn.grant_fields import CDI_FIELDS, GRANT_FIELDS, extras_fields
from virtfn_host.core.turn.policy import (
    ALLOCATION_FIELDS,
    LINK_FIELDS,
    MATCHER_FIELDS,
    POOL_FIELDS,
    WHOLE_FIELDS,
    policy_config,
)
from virtfn_host.core.values.choice import ANY
from virtfn_host.core.values.codec import CodecError, encode
from virtfn_host.core.values.desired import (
    DeviceMatcher,
    NodeConfig,
    PolicyConfig,
    PoolRequest,
    Rejected,
    WhenInUse,
    WholeRequest,
)
from virtfn_host.core.values.envelope import expect_known
from virtfn_host.core.values.fields import PolicyError, read_number, read_text, weight
from virtfn_host.core.values.indexes import indexes_text
from virtfn_host.core.values.model import LinkRequest
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.resource_names import RESOURCE_DOMAIN, Domains
from virtfn_operator.api.foreign import entries, text

POLICIES_LIMIT = 1024
"""Policies of one node; the CRD's bound."""

SPEC_LIMIT = 512 * 1024
"""Bytes of the policies of one node as JSON. The API server's store takes 1.5 MiB for spec and status together."""

EVICT_LIMIT = 256
"""Pods that a spec names; the CRD's bound."""

_HIGHEST = 2**63 - 1

_Fields = Mapping[str, "_Fields | None"]
"""Fields that this version knows, each with the fields below it; None for a single value."""

_OFFER: _Fields = {
    "grant": {**dict.fromkeys(GRANT_FIELDS), "cdi": dict.fromkeys(CDI_FIELDS)},
    "allocation": dict.fromkeys(ALLOCATION_FIELDS),
}
_POLICY: _Fields = {
    **dict.fromkeys(("name", "uid", "generation", "count", "mtu", "allowUnsafeNoIommu", "whenInUse")),
    "devices": dict.fromkeys(MATCHER_FIELDS),
    "pools": {**dict.fromkeys(POOL_FIELDS), "link": dict.fromkeys(LINK_FIELDS), **_OFFER},
    "wholeFunctions": {**dict.fromkeys(WHOLE_FIELDS), **_OFFER},
}
_SPEC: _Fields = {
    "policies": _POLICY,
    "mayChange": None,
    "needs": None,
    "evict": dict.fromkeys(("namespace", "name", "uid")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSpec:
    """What the controller asks of a node."""

    config: NodeConfig
    may_change: bool
    """Whether a disruptive plan may be carried out now."""
    rejected: tuple[Rejected, ...] = ()
    """Policies that this version cannot read. Then nothing may be done: without them, their functions would be given
    back."""
    forbidden: tuple[Rejected, ...] = ()
    """Policies of `config` with a resource name that is not allowed here: carried out, but not offered to pods."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class PodId:
    """One pod; a later one of the same name has another uid."""

    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, kw_only=True)
class AskedSpec:
    """The spec of a SriovNode as the controller reads it, usually what the controller itself wrote."""

    policies: tuple[Any, ...]
    """The JSON of the policies, not parsed."""
    may_change: bool
    evict: tuple[PodId, ...] = ()
    """The pods that the agent was asked to look for once more before they are evicted."""
    unread: Rejected | None = None
    """Why this version can read none of them."""

    def policy(self, uid: str) -> PolicyConfig | Rejected | None:
        """Return what is asked for this policy now; Rejected where that cannot be read."""
        if self.unread is not None:
            return self.unread
        if (found := self._by_uid.get(uid)) is not None:
            return _read_policy(found)
        return _without_uid() if self._nameless else None

    def entry(self, uid: str) -> Mapping[str, Any] | None:
        """Return what is asked for this policy now, not parsed."""
        return self._by_uid.get(uid)

    @cached_property
    def uids(self) -> frozenset[str]:
        """The uids of the policies that have one."""
        return frozenset(self._by_uid)

    @cached_property
    def _by_uid(self) -> Mapping[str, Mapping[str, Any]]:
        return {item["uid"]: item for item in reversed(self.policies) if _has_uid(item)}

    @cached_property
    def _nameless(self) -> bool:
        return not all(map(_has_uid, self.policies))


def _has_uid(item: object) -> bool:
    return isinstance(item, Mapping) and isinstance(item.get("uid"), str) and item["uid"] != ""


def _without_uid() -> Rejected:
    message = "an entry of spec.policies has no uid"
    return Rejected(policy="", device=None, reason=Reason.INVALID_POLICY, message=message)


@dataclass(slots=True)
class Wires:
    """The JSON of each policy, made once because it is the same for every matching node."""

    _made: dict[int, tuple[PolicyConfig, dict[str, Any], int]] = field(default_factory=dict)

    def of(self, policy: PolicyConfig) -> dict[str, Any]:
        """Return the entry for `spec.policies`."""
        return self._entry(policy)[1]

    def size(self, policy: PolicyConfig) -> int:
        """Return the size of that entry as JSON, in bytes."""
        return self._entry(policy)[2]

    def _entry(self, policy: PolicyConfig) -> tuple[PolicyConfig, dict[str, Any], int]:
        if (found := self._made.get(id(policy))) is None:
            wire = _policy(policy)
            found = self._made[id(policy)] = (policy, wire, weight(wire, "spec") + 2)
        return found


def write_spec(
    config: NodeConfig, may_change: bool, wires: Wires | None = None, evict: Sequence[PodId] = ()
) -> dict[str, Any]:
    """Return the spec as JSON, as `read_spec` reads it."""
    made = wires or Wires()
    needs = sorted({f"policies.devices.{field}" for policy in config.policies for field in _narrowed_by(policy)})
    spec: dict[str, Any] = {"policies": [made.of(policy) for policy in config.policies], "mayChange": may_change}
    if evict:
        spec["evict"] = [encode(pod) for pod in evict]
    return {**spec, "needs": needs} if needs else spec


_LATER = {"permanent_mac": "permanentMac", "serial_number": "serialNumber", "slot": "slot"}
"""Fields of a matcher that earlier agents do not know: without them, a matcher would match more (decision 0020)."""


def _narrowed_by(policy: PolicyConfig) -> list[str]:
    return [name for field, name in _LATER.items() if any(getattr(m, field) is not None for m in policy.devices)]


def _policy(policy: PolicyConfig) -> dict[str, Any]:
    return {
        "name": policy.name,
        "uid": policy.uid,
        "generation": policy.generation,
        "devices": [_matcher(matcher) for matcher in policy.devices],
        **(_virtual(policy) if policy.whole is None else {"wholeFunctions": _whole(policy.whole)}),
        **({"allowUnsafeNoIommu": True} if policy.allow_unsafe_no_iommu else {}),
        **({"whenInUse": str(policy.when_in_use)} if policy.when_in_use is not WhenInUse.WAIT else {}),
    }


def _virtual(policy: PolicyConfig) -> dict[str, Any]:
    count = {} if policy.count is None else {"count": policy.count}
    mtu = {} if policy.mtu is None else {"mtu": policy.mtu}
    return {**count, "pools": [_pool(pool) for pool in policy.pools], **mtu}


def _whole(whole: WholeRequest) -> dict[str, Any]:
    return {"resourceName": whole.resource_name, "driver": whole.driver, **_grant(whole), **_allocation(whole)}


def _grant(asked: PoolRequest | WholeRequest) -> dict[str, Any]:
    found = extras_fields(asked.extras)
    return {"grant": found} if found else {}


def _allocation(asked: PoolRequest | WholeRequest) -> dict[str, Any]:
    found = {
        **({"requireLink": True} if asked.require_link else {}),
        **({"prefer": str(asked.choice.prefer)} if asked.choice.prefer is not ANY.prefer else {}),
        **({"topology": str(asked.choice.topology)} if asked.choice.topology is not ANY.topology else {}),
    }
    return {"allocation": found} if found else {}


def _matcher(matcher: DeviceMatcher) -> dict[str, Any]:
    fields = {
        "vendor": matcher.vendor,
        "device": matcher.device,
        "class": matcher.class_code,
        "driver": matcher.driver,
        "address": str(matcher.address) if matcher.address else None,
        "netdev": matcher.netdev,
        "numaNode": matcher.numa_node,
        "permanentMac": matcher.permanent_mac,
        "serialNumber": matcher.serial_number,
        "slot": matcher.slot,
    }
    return {key: value for key, value in fields.items() if value is not None}


def _pool(pool: PoolRequest) -> dict[str, Any]:
    indexes = {} if pool.indexes is None else {"indexes": indexes_text(pool.indexes)}
    link = {} if pool.link is None else {"link": _link(pool.link)}
    offer = {**_grant(pool), **_allocation(pool)}
    return {"resourceName": pool.resource_name, **indexes, "driver": pool.driver, **link, **offer}


def _link(link: LinkRequest) -> dict[str, Any]:
    return {key: value for key, value in encode(link).items() if value is not None}


def asked_spec(spec: Mapping[str, Any]) -> AskedSpec | None:
    """Read the spec of a SriovNode without parsing its policies; None while it has no list `policies`."""
    policies = spec.get("policies")
    if not isinstance(policies, list):
        return None
    may_change = spec.get("mayChange") is True
    evict = tuple(
        PodId(**{field: text(item.get(field), 253) for field in ("namespace", "name", "uid")})
        for item in entries(spec.get("evict"), EVICT_LIMIT)
    )
    return AskedSpec(
        policies=tuple(policies[:POLICIES_LIMIT]), may_change=may_change, evict=evict, unread=_not_understood(spec)
    )


def read_spec(spec: Mapping[str, Any], domains: Domains | None = None) -> NodeSpec | None:
    """Read the spec of a SriovNode; None while it has no list `policies`. An empty list is not None.

    Args:
        spec: the JSON of the spec.
        domains: domains that resource names may have beside virtfn.dev; None allows any.
    """
    policies = spec.get("policies") if isinstance(spec, Mapping) else None
    if not isinstance(policies, list):
        return None
    may_change = spec.get("mayChange") is True
    if (unread := _too_much(policies) or _not_understood(spec)) is not None:
        return NodeSpec(config=NodeConfig(policies=()), may_change=may_change, rejected=(unread,))
    read = [_read_policy(item) for item in policies]
    good = tuple(item for item in read if isinstance(item, PolicyConfig))
    return NodeSpec(
        config=NodeConfig(policies=good),
        may_change=may_change,
        rejected=tuple(item for item in read if isinstance(item, Rejected)) + _twice(good),
        forbidden=()
        if domains is None
        else tuple(_forbidden(policy, domains) for policy in good if strays(policy, domains)),
    )


def _too_much(policies: list[Any]) -> Rejected | None:
    try:
        size = weight(policies, "spec.policies")
    except PolicyError as error:
        return Rejected(policy="", device=None, reason=Reason.INVALID_POLICY, message=str(error))
    if len(policies) <= POLICIES_LIMIT and size <= SPEC_LIMIT:
        return None
    message = f"{len(policies)} policies, {size} bytes; one node may have {POLICIES_LIMIT} policies, {SPEC_LIMIT} bytes"
    return Rejected(policy="", device=None, reason=Reason.TOO_LARGE, message=f"spec.policies: {message}")


def _not_understood(spec: Mapping[str, Any]) -> Rejected | None:
    if "needs" not in spec:
        return None
    try:
        expect_known(spec["needs"], frozenset(_paths(_SPEC)))
    except CodecError as error:
        return Rejected(policy="", device=None, reason=Reason.INVALID_POLICY, message=f"spec: {error}")
    return None


def _paths(fields: _Fields, before: str = "") -> Iterator[str]:
    for name, below in fields.items():
        yield before + name
        yield from _paths(below or {}, f"{before}{name}.")


def _known(value: object, fields: _Fields | None) -> object:
    """The part of a JSON value that this version knows."""
    match value:
        case Mapping() if fields is not None:
            return {name: _known(item, fields[name]) for name, item in value.items() if name in fields}
        case list():
            return [_known(item, fields) if isinstance(item, Mapping) else item for item in value]
        case _:
            return value


def _twice(policies: tuple[PolicyConfig, ...]) -> tuple[Rejected, ...]:
    """Reject policies whose name comes twice: their outcomes would be mixed up."""
    message = "the policy is listed twice in spec.policies"
    often = (name for name, number in Counter(policy.name for policy in policies).items() if number > 1)
    return tuple(Rejected(policy=name, device=None, reason=Reason.INVALID_POLICY, message=message) for name in often)


def strays(policy: PolicyConfig, domains: Domains) -> list[str]:
    """Return the resource names of the policy whose domain is not allowed here."""
    return [name for name in policy.resource_names if not offered_here(name, domains)]


def offered_here(resource_name: str, domains: Domains) -> bool:
    """Whether this full resource name may be offered to pods here."""
    return resource_name.partition("/")[0] in domains | {RESOURCE_DOMAIN}


def _forbidden(policy: PolicyConfig, domains: Domains) -> Rejected:
    name = strays(policy, domains)[0]
    message = f"{name} is not offered to pods: its domain is not allowed here; see the chart's value resourceDomains"
    return Rejected(policy=policy.name, device=None, reason=Reason.INVALID_POLICY, message=message)


def _read_policy(item: object) -> PolicyConfig | Rejected:
    known = _known(item, _POLICY)
    fields = known if isinstance(known, Mapping) else {}
    head = {"name", "uid", "generation", "devices", "allowUnsafeNoIommu", "whenInUse"}
    rest = {key: value for key, value in fields.items() if key not in head}
    what = rest if "wholeFunctions" in rest else {"virtualFunctions": rest}
    what = {**what, **{key: fields[key] for key in ("allowUnsafeNoIommu",) if key in fields}}
    if "whenInUse" in fields:
        what["disruption"] = {"whenInUse": fields["whenInUse"]}
    try:
        name = read_text(fields.get("name"), "name", 253)
        uid = read_text(fields["uid"], "uid", 253) if "uid" in fields else ""
        generation = read_number(fields.get("generation", 0), _HIGHEST, "generation")
    except PolicyError as error:
        whose = text(fields.get("name"), 253)
        return Rejected(policy=whose, device=None, reason=Reason.INVALID_POLICY, message=f"spec.policies: {error}")
    return policy_config(name=name, uid=uid, generation=generation, spec={"devices": fields.get("devices"), **what})

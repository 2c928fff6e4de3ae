"""Read a policy's spec, as the user wrote it, into a PolicyConfig. The command line and the operator share this code.

The CRD's schema refuses most faults at `kubectl apply`. They are checked again here, because the command line has no
API server and an object can be older than its schema. Every refusal names the field.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import TypeVar

from virtfn_host.core.turn.grant_fields import read_extras
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.choice import ANY, Choice, Prefer, Topology
from virtfn_host.core.values.desired import DeviceMatcher, PolicyConfig, PoolRequest, Rejected, WhenInUse, WholeRequest
from virtfn_host.core.values.fields import (
    PolicyError,
    TooLargeError,
    read_list,
    read_mapping,
    read_matching,
    read_number,
    read_object,
    read_switch,
    shown,
    weight,
)
from virtfn_host.core.values.indexes import MAX_VFS, Indexes, clash, indexes_text, parse_indexes, read_indexes
from virtfn_host.core.values.model import Lasting, LinkRequest, LinkState
from virtfn_host.core.values.names import MAX_MTU, MIN_MTU, mac_address, serial_number, slot_name
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.resource_names import RESOURCE_DOMAIN, Domains, resource_name

__all__ = [
    "API_VERSION",
    "MAX_VFS",
    "RESOURCE_DOMAIN",
    "PolicyError",
    "indexes_text",
    "names_macs",
    "netdevs_named",
    "parse_indexes",
    "policy_config",
    "read_disruption",
    "read_priority",
    "read_word",
]

API_VERSION = "virtfn.dev/v1alpha1"
"""What a file of policies is written in."""

POLICY_LIMIT = 64 * 1024
"""Most bytes of one policy's spec as JSON. 64 matchers and 64 pools with every field set need a third of it."""

POLICY_RANGES = 1024
"""Most ranges of indexes in all pools of one policy; the CRD's rule allows 256."""

MAX_PRIORITY = 1000
"""The lowest priority is -1000."""

MAX_NUMA_NODE = 65535
MAX_NETDEV = 128
"""Most characters of an alternative name (ALTIFNAMSIZ)."""

MAX_VLAN, MAX_QOS, MAX_RATE = 4094, 7, 2**32 - 1
"""IEEE 802.1Q reserves VLAN 4095; a priority has 3 bits; netlink has 32 bits for a rate, in Mbit/s."""

SPEC_FIELDS = (
    *("nodeSelector", "priority", "devices", "virtualFunctions", "wholeFunctions", "allowUnsafeNoIommu"),
    "disruption",
)
MATCHER_FIELDS = (
    *("vendor", "device", "class", "driver", "address", "netdev", "numaNode"),
    *("permanentMac", "serialNumber", "slot"),
)
POOL_FIELDS = ("resourceName", "indexes", "driver", "link", "grant", "allocation")
LINK_FIELDS = ("mac", "guid", "vlan", "vlanQos", "trust", "spoofCheck", "minTxRate", "maxTxRate", "linkState")
WHOLE_FIELDS = ("resourceName", "driver", "grant", "allocation")
ALLOCATION_FIELDS = ("requireLink", "prefer", "topology")
DISRUPTION_FIELDS = ("whenInUse", "maxUnavailable", "onFailure")

_Word = TypeVar("_Word", bound=StrEnum)

_HEX4 = re.compile(r"[0-9a-f]{4}")
_CLASS = re.compile(r"([0-9a-f]{2}){1,3}")
_DRIVER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,54}")  # also the name of the module to load: names.py


def policy_config(
    *, name: str, uid: str, generation: int, spec: Mapping[str, object], domains: Domains | None = None
) -> PolicyConfig | Rejected:
    """Read `spec` of a SriovPolicy. A bad spec is returned as Rejected, never raised.

    Args:
        domains: domains that resource names may have beside virtfn.dev; None allows any, as on a node without cluster.
    """
    try:
        return _policy_config(name, uid, generation, spec, domains)
    except PolicyError as error:
        reason = Reason.TOO_LARGE if isinstance(error, TooLargeError) else Reason.INVALID_POLICY
        return Rejected(policy=name, device=None, reason=reason, message=str(error))


def _policy_config(
    name: str, uid: str, generation: int, spec: Mapping[str, object], domains: Domains | None
) -> PolicyConfig:
    if (size := weight(spec, "spec")) > POLICY_LIMIT:
        text = f"{size} bytes are more than the {POLICY_LIMIT} of one policy"
        raise TooLargeError(f"spec: {text}; split it into two policies")
    fields = _spec_fields(spec)
    devices = tuple(
        _matcher(item, f"spec.devices[{n}]") for n, item in enumerate(read_list(fields.get("devices"), "spec.devices"))
    )
    if not devices:
        raise PolicyError("spec.devices: name at least one device")
    whole = _whole(fields["wholeFunctions"], domains) if "wholeFunctions" in fields else None
    virtual = fields.get("virtualFunctions")
    count, pools, mtu = (None, (), None) if whole else _virtual_functions(virtual, domains)
    return PolicyConfig(
        name=name,
        uid=uid,
        generation=generation,
        devices=devices,
        count=count,
        pools=pools,
        whole=whole,
        mtu=mtu,
        allow_unsafe_no_iommu=_switch(fields, "allowUnsafeNoIommu", "spec") is True,
        when_in_use=_when_in_use(read_disruption(fields)),
    )


def _spec_fields(spec: object) -> Mapping[str, object]:
    given = read_mapping(spec, "spec")
    if "wholeFunctions" in given and "virtualFunctions" in given:
        raise PolicyError("spec: has both virtualFunctions and wholeFunctions; a policy is about one of them")
    for field in ("virtualFunctions", "devices"):
        if given.get(field, ()) is None:
            raise PolicyError(f"spec.{field}: is missing; it is null")
    return read_object(given, "spec", SPEC_FIELDS)


def netdevs_named(policies: Iterable[PolicyConfig]) -> tuple[str, ...]:
    """Netdevs that policies name, sorted; some may be alternative names."""
    return tuple(sorted({d.netdev for policy in policies for d in policy.devices if d.netdev is not None}))


def names_macs(policies: Iterable[PolicyConfig]) -> bool:
    """Return whether a policy names a permanent MAC."""
    return any(d.permanent_mac is not None for policy in policies for d in policy.devices)


def read_priority(spec: Mapping[str, object]) -> int:
    """Return `spec.priority`; the policy with the highest number has precedence.

    Raises:
        PolicyError: the priority is not a number from -1000 to 1000.
    """
    return read_number(spec.get("priority", 0), MAX_PRIORITY, "spec.priority", lowest=-MAX_PRIORITY)


def read_disruption(spec: Mapping[str, object]) -> Mapping[str, object]:
    """Return `spec.disruption`; the controller reads `maxUnavailable` and `onFailure` from it.

    Raises:
        PolicyError: it is not an object, or has other fields.
    """
    return read_object(spec.get("disruption", {}), "spec.disruption", DISRUPTION_FIELDS)


def _when_in_use(disruption: Mapping[str, object]) -> WhenInUse:
    return read_word(WhenInUse, disruption.get("whenInUse", WhenInUse.WAIT), "spec.disruption.whenInUse")


def _whole(value: object, domains: Domains | None) -> WholeRequest:
    path = "spec.wholeFunctions"
    fields = read_object(value, path, WHOLE_FIELDS)
    return WholeRequest(
        resource_name=resource_name(fields.get("resourceName"), f"{path}.resourceName", domains),
        driver=_driver(fields, path),
        require_link=_require_link(fields, path),
        choice=_choice(fields, path),
        extras=read_extras(fields.get("grant", {}), f"{path}.grant", _driver(fields, path)),
    )


def _virtual_functions(
    value: object, domains: Domains | None
) -> tuple[int | None, tuple[PoolRequest, ...], int | None]:
    path = "spec.virtualFunctions"
    fields = read_object(value, path, ("count", "pools", "mtu"))
    count = None if "count" not in fields else read_number(fields["count"], MAX_VFS, f"{path}.count", "number of VFs")
    items = read_list(fields.get("pools", []), f"{path}.pools")
    pools = tuple(_pool(item, f"{path}.pools[{n}]", domains) for n, item in enumerate(items))
    _check_pools(pools, count)
    mtu = read_number(fields["mtu"], MAX_MTU, f"{path}.mtu", "MTU", lowest=MIN_MTU) if "mtu" in fields else None
    return count, pools, mtu


def _pool(item: object, path: str, domains: Domains | None) -> PoolRequest:
    fields = read_object(item, path, POOL_FIELDS)
    return PoolRequest(
        resource_name=resource_name(fields.get("resourceName"), f"{path}.resourceName", domains),
        indexes=None if "indexes" not in fields else read_indexes(fields["indexes"], f"{path}.indexes"),
        driver=_driver(fields, path),
        link=None if "link" not in fields else _link(fields["link"], f"{path}.link"),
        require_link=_require_link(fields, path),
        choice=_choice(fields, path),
        extras=read_extras(fields.get("grant", {}), f"{path}.grant", _driver(fields, path)),
    )


def _require_link(fields: Mapping[str, object], path: str) -> bool:
    return _switch(_allocation(fields, path), "requireLink", f"{path}.allocation") is True


def _choice(fields: Mapping[str, object], path: str) -> Choice:
    allocation = _allocation(fields, path)
    return Choice(
        prefer=read_word(Prefer, allocation.get("prefer", ANY.prefer), f"{path}.allocation.prefer"),
        topology=read_word(Topology, allocation.get("topology", ANY.topology), f"{path}.allocation.topology"),
    )


def _allocation(fields: Mapping[str, object], path: str) -> Mapping[str, object]:
    return read_object(fields.get("allocation", {}), f"{path}.allocation", ALLOCATION_FIELDS)


def read_word(kind: type[_Word], value: object, path: str) -> _Word:
    """Return one of a closed list of words.

    Raises:
        PolicyError: it is none of them.
    """
    if not isinstance(value, str) or value not in tuple(kind):
        raise PolicyError(f"{path}: {shown(value)} is not one of {', '.join(kind)}")
    return kind(value)


def _driver(fields: Mapping[str, object], path: str) -> str:
    return read_matching(fields.get("driver", "vfio-pci"), _DRIVER, f"{path}.driver", "a driver name like vfio-pci")


def _link(item: object, path: str) -> LinkRequest:
    fields = read_object(item, path, LINK_FIELDS)
    request = LinkRequest(
        mac=_lasting(fields.get("mac"), f"{path}.mac"),
        guid=_lasting(fields.get("guid"), f"{path}.guid"),
        vlan=_number(fields, "vlan", MAX_VLAN, path),
        vlan_qos=_number(fields, "vlanQos", MAX_QOS, path),
        trust=_switch(fields, "trust", path),
        spoof_check=_switch(fields, "spoofCheck", path),
        min_tx_rate=_number(fields, "minTxRate", MAX_RATE, path),
        max_tx_rate=_number(fields, "maxTxRate", MAX_RATE, path),
        link_state=_link_state(fields.get("linkState"), f"{path}.linkState"),
    )
    if request.vlan_qos is not None and request.vlan is None:
        raise PolicyError(f"{path}.vlanQos: a priority needs a vlan")
    if request.vlan_qos and not request.vlan:
        raise PolicyError(f"{path}.vlanQos: {request.vlan_qos} needs a vlan from 1; 0 is untagged")
    if request.max_tx_rate and (request.min_tx_rate or 0) > request.max_tx_rate:
        raise PolicyError(f"{path}.minTxRate: {request.min_tx_rate} is more than maxTxRate {request.max_tx_rate}")
    return request


def _number(fields: Mapping[str, object], field: str, highest: int, path: str) -> int | None:
    return read_number(fields[field], highest, f"{path}.{field}") if field in fields else None


def _switch(fields: Mapping[str, object], field: str, path: str) -> bool | None:
    return read_switch(fields[field], f"{path}.{field}") if field in fields else None


def _lasting(value: object, path: str) -> Lasting | None:
    if value is None:
        return None
    if not isinstance(value, str) or value not in tuple(Lasting):
        raise PolicyError(f"{path}: {shown(value)} is not {' or '.join(Lasting)}; leave it out to have it untouched")
    return Lasting(value)


def _link_state(value: object, path: str) -> LinkState | None:
    return None if value is None else read_word(LinkState, value, path)


def _check_pools(pools: tuple[PoolRequest, ...], count: int | None) -> None:
    path = "spec.virtualFunctions.pools"
    if count != 0 and not pools:
        raise PolicyError(f"{path}: name at least one pool")
    open_ended = [pool.resource_name for pool in pools if pool.indexes is None]
    if len(open_ended) > 1:
        raise PolicyError(f"{path}: only one pool may leave out indexes, not {' and '.join(open_ended[:2])}")
    firsts: dict[str, PoolRequest] = {}
    for n, pool in enumerate(pools):
        _check_alike(firsts.setdefault(pool.resource_name, pool), pool, f"{path}[{n}]")
        if count is not None and pool.ranges and pool.ranges[-1][1] >= count:
            beyond = max(count, pool.ranges[-1][0])
            raise PolicyError(f"{path}[{n}].indexes: {beyond} is not below count {count}")
    _check_overlap(pools, path)


def _check_alike(first: PoolRequest, pool: PoolRequest, path: str) -> None:
    """Refuse what differs between pools of one name: the kubelet knows one resource, so it would not be done."""
    if pool.driver != first.driver:
        raise PolicyError(f"{path}.driver: {pool.resource_name} already has driver {first.driver}")
    if pool.extras != first.extras:
        raise PolicyError(f"{path}.grant: {pool.resource_name} already has another grant; write the same in both pools")
    if pool.choice != first.choice:
        text = f"{pool.resource_name} already has another prefer or topology; write the same in both pools"
        raise PolicyError(f"{path}.allocation: {text}")


def _check_overlap(pools: tuple[PoolRequest, ...], path: str) -> None:
    """Search sorted ranges: comparing each pool with each other would be 64 * 64 * 128 * 128 comparisons."""
    ranges = sorted(one for pool in pools for one in pool.ranges)
    if len(ranges) > POLICY_RANGES:
        raise TooLargeError(f"{path}: {len(ranges)} ranges of indexes are more than the {POLICY_RANGES} of one policy")
    if (index := clash(ranges)) is not None:
        first, second = [n for n, pool in enumerate(pools) if index in Indexes(pool.ranges)][:2]
        text = f"{index} already belongs to {pools[first].resource_name}"
        raise PolicyError(f"{path}[{second}].indexes: {text}")


def _matcher(item: object, path: str) -> DeviceMatcher:
    fields = read_object(item, path, MATCHER_FIELDS)
    if not fields:
        raise PolicyError(f"{path}: an empty matcher would match every device; name a field")
    return DeviceMatcher(
        vendor=_optional(fields, "vendor", _HEX4, path, "4 hex digits like 8086"),
        device=_optional(fields, "device", _HEX4, path, "4 hex digits like 10c9"),
        class_code=_optional(fields, "class", _CLASS, path, "2, 4 or 6 hex digits like 0200"),
        driver=_optional(fields, "driver", _DRIVER, path, "a driver name like igb"),
        address=_address(fields["address"], f"{path}.address") if "address" in fields else None,
        netdev=_netdev(fields["netdev"], f"{path}.netdev") if "netdev" in fields else None,
        numa_node=_numa_node(fields["numaNode"], f"{path}.numaNode") if "numaNode" in fields else None,
        permanent_mac=_parsed(fields, "permanentMac", mac_address, path),
        serial_number=_parsed(fields, "serialNumber", serial_number, path),
        slot=_parsed(fields, "slot", slot_name, path),
    )


def _parsed(fields: Mapping[str, object], field: str, parse: Callable[[str], str], path: str) -> str | None:
    """Read a text that one of `names.py` parses."""
    if field not in fields:
        return None
    value = fields[field]
    if not isinstance(value, str):
        raise PolicyError(f"{path}.{field}: {shown(value)} is not a text; put it in quotes")
    try:
        return parse(value)
    except ValueError as error:
        raise PolicyError(f"{path}.{field}: {error}") from error


def _address(value: object, path: str) -> PciAddress:
    try:
        return PciAddress.parse(value if isinstance(value, str) and len(value) <= 32 else shown(value))
    except ValueError as error:
        raise PolicyError(f"{path}: {error}") from error


def _netdev(value: object, path: str) -> str:
    bad = not isinstance(value, str) or not 0 < len(value) <= MAX_NETDEV or "/" in value or not value.isprintable()
    if bad or not isinstance(value, str):
        raise PolicyError(f"{path}: {shown(value)} is not a netdev name like eth0")
    return value


def _numa_node(value: object, path: str) -> int:
    return read_number(value, MAX_NUMA_NODE, path, "NUMA node")


def _optional(fields: Mapping[str, object], field: str, pattern: re.Pattern[str], path: str, want: str) -> str | None:
    return read_matching(fields[field], pattern, f"{path}.{field}", want) if field in fields else None

"""Read a policy's spec, as the user wrote it, into a PolicyConfig. The command line and the operator share this code.

The CRD's schema refuses most faults at `kubectl apply`. They are checked again here, because the command line has no
API server and an object can be older than its schema. Every refusal names the field.
"""

import re
from collections.abc import Iterable, Mapping

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import DeviceMatcher, PolicyConfig, PoolRequest, Rejected, WholeRequest
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
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.resource_names import RESOURCE_DOMAIN, Domains, resource_name

__all__ = [
    "MAX_VFS",
    "RESOURCE_DOMAIN",
    "PolicyError",
    "indexes_text",
    "netdevs_named",
    "parse_indexes",
    "policy_config",
    "read_disruption",
    "read_priority",
]

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

MATCHER_FIELDS = ("vendor", "device", "class", "driver", "address", "netdev", "numaNode")
POOL_FIELDS = ("resourceName", "indexes", "driver", "link")
LINK_FIELDS = ("mac", "guid", "vlan", "vlanQos", "trust", "spoofCheck", "minTxRate", "maxTxRate", "linkState")
WHOLE_FIELDS = ("resourceName", "driver")

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
    if "wholeFunctions" in fields:
        whole = _whole(fields["wholeFunctions"], domains)
        return PolicyConfig(
            name=name, uid=uid, generation=generation, devices=devices, count=None, pools=(), whole=whole
        )
    count, pools = _virtual_functions(fields.get("virtualFunctions"), domains)
    return PolicyConfig(name=name, uid=uid, generation=generation, devices=devices, count=count, pools=pools)


def _spec_fields(spec: object) -> Mapping[str, object]:
    given = read_mapping(spec, "spec")
    if "wholeFunctions" in given and "virtualFunctions" in given:
        raise PolicyError("spec: has both virtualFunctions and wholeFunctions; a policy is about one of them")
    for field in ("virtualFunctions", "devices"):
        if given.get(field, ()) is None:
            raise PolicyError(f"spec.{field}: is missing; it is null")
    known = ("nodeSelector", "priority", "devices", "virtualFunctions", "wholeFunctions", "disruption")
    fields = read_object(given, "spec", known)
    read_disruption(fields)
    return fields


def netdevs_named(policies: Iterable[PolicyConfig]) -> tuple[str, ...]:
    """Netdevs that policies name, sorted; some may be alternative names."""
    return tuple(sorted({d.netdev for policy in policies for d in policy.devices if d.netdev is not None}))


def read_priority(spec: Mapping[str, object]) -> int:
    """Return `spec.priority`; the policy with the highest number has precedence.

    Raises:
        PolicyError: the priority is not a number from -1000 to 1000.
    """
    return read_number(spec.get("priority", 0), MAX_PRIORITY, "spec.priority", lowest=-MAX_PRIORITY)


def read_disruption(spec: Mapping[str, object]) -> Mapping[str, object]:
    """Return `spec.disruption`; the controller reads `maxUnavailable` from it.

    Raises:
        PolicyError: it is not an object, has other fields, or `whenInUse` is not `Wait`.
    """
    disruption = read_object(spec.get("disruption", {}), "spec.disruption", ("whenInUse", "maxUnavailable"))
    if disruption.get("whenInUse", "Wait") != "Wait":
        raise PolicyError("spec.disruption.whenInUse: this version supports only Wait")
    return disruption


def _whole(value: object, domains: Domains | None) -> WholeRequest:
    path = "spec.wholeFunctions"
    fields = read_object(value, path, WHOLE_FIELDS)
    return WholeRequest(
        resource_name=resource_name(fields.get("resourceName"), f"{path}.resourceName", domains),
        driver=_driver(fields, path),
    )


def _virtual_functions(value: object, domains: Domains | None) -> tuple[int | None, tuple[PoolRequest, ...]]:
    path = "spec.virtualFunctions"
    fields = read_object(value, path, ("count", "pools"))
    count = None if "count" not in fields else read_number(fields["count"], MAX_VFS, f"{path}.count", "number of VFs")
    items = read_list(fields.get("pools", []), f"{path}.pools")
    pools = tuple(_pool(item, f"{path}.pools[{n}]", domains) for n, item in enumerate(items))
    _check_pools(pools, count)
    return count, pools


def _pool(item: object, path: str, domains: Domains | None) -> PoolRequest:
    fields = read_object(item, path, POOL_FIELDS)
    return PoolRequest(
        resource_name=resource_name(fields.get("resourceName"), f"{path}.resourceName", domains),
        indexes=None if "indexes" not in fields else read_indexes(fields["indexes"], f"{path}.indexes"),
        driver=_driver(fields, path),
        link=None if "link" not in fields else _link(fields["link"], f"{path}.link"),
    )


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
    if value is None:
        return None
    if not isinstance(value, str) or value not in tuple(LinkState):
        raise PolicyError(f"{path}: {shown(value)} is not one of {', '.join(LinkState)}")
    return LinkState(value)


def _check_pools(pools: tuple[PoolRequest, ...], count: int | None) -> None:
    path = "spec.virtualFunctions.pools"
    if count != 0 and not pools:
        raise PolicyError(f"{path}: name at least one pool")
    open_ended = [pool.resource_name for pool in pools if pool.indexes is None]
    if len(open_ended) > 1:
        raise PolicyError(f"{path}: only one pool may leave out indexes, not {' and '.join(open_ended[:2])}")
    drivers: dict[str, str] = {}
    for n, pool in enumerate(pools):
        if drivers.setdefault(pool.resource_name, pool.driver) != pool.driver:
            text = f"{pool.resource_name} already has driver {drivers[pool.resource_name]}"
            raise PolicyError(f"{path}[{n}].driver: {text}")
        if count is not None and pool.ranges and pool.ranges[-1][1] >= count:
            beyond = max(count, pool.ranges[-1][0])
            raise PolicyError(f"{path}[{n}].indexes: {beyond} is not below count {count}")
    _check_overlap(pools, path)


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
    )


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

"""A policy's spec as the user wrote it to a PolicyConfig. The command line and the operator share it.

The CRD's schema says no to most of this at `kubectl apply`; it is said again here because the command line has no API
server, and because an object can be older than its schema. Every refusal names the field.
"""

import re
from collections.abc import Mapping, Sequence

from virtfn_host.core.address import PciAddress
from virtfn_host.core.model import LinkRequest, LinkState
from virtfn_host.core.reasons import Reason
from virtfn_host.core.wanted import DeviceMatcher, PolicyConfig, PoolRequest, Rejected, WholeRequest

RESOURCE_DOMAIN = "virtfn.dev"
"""Put before a resource name without a slash."""

MAX_VFS = 65535
"""`sriov_numvfs` is 16 bits wide (PCIe SR-IOV capability)."""

MAX_VLAN, MAX_QOS, MAX_RATE = 4094, 7, 2**32 - 1
"""IEEE 802.1Q keeps 4095; a priority has 3 bits; a rate is 32 bits wide in netlink, in Mbit/s."""

_HEX4 = re.compile(r"[0-9a-f]{4}")
_CLASS = re.compile(r"([0-9a-f]{2}){1,3}")
_DRIVER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,62}")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_DOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


class PolicyError(ValueError):
    """The spec cannot be carried out as it stands; the message names the field."""


def policy_config(*, name: str, uid: str, generation: int, spec: Mapping[str, object]) -> PolicyConfig | Rejected:
    """Read `spec` of a SriovPolicy; a spec that cannot be carried out comes back as Rejected, never as an exception."""
    try:
        return _policy_config(name, uid, generation, spec)
    except PolicyError as error:
        return Rejected(policy=name, device=None, reason=Reason.INVALID_POLICY, message=str(error))


def _policy_config(name: str, uid: str, generation: int, spec: Mapping[str, object]) -> PolicyConfig:
    known = ("nodeSelector", "priority", "devices", "virtualFunctions", "wholeFunctions", "disruption")
    fields = _object(spec, "spec", known)
    disruption = _object(fields.get("disruption", {}), "spec.disruption", ("whenInUse", "maxUnavailable"))
    if disruption.get("whenInUse", "Wait") != "Wait":
        raise PolicyError("spec.disruption.whenInUse: only Wait is carried out by this version")
    devices = tuple(
        _matcher(item, f"spec.devices[{n}]") for n, item in enumerate(_list(fields.get("devices"), "spec.devices"))
    )
    if not devices:
        raise PolicyError("spec.devices: name at least one device")
    if "wholeFunctions" in fields:
        if "virtualFunctions" in fields:
            raise PolicyError("spec: has both virtualFunctions and wholeFunctions; a policy is about one of them")
        whole = _whole(fields["wholeFunctions"])
        return PolicyConfig(
            name=name, uid=uid, generation=generation, devices=devices, count=None, pools=(), whole=whole
        )
    count, pools = _virtual_functions(fields.get("virtualFunctions"))
    return PolicyConfig(name=name, uid=uid, generation=generation, devices=devices, count=count, pools=pools)


def _whole(value: object) -> WholeRequest:
    path = "spec.wholeFunctions"
    fields = _object(value, path, ("resourceName", "driver"))
    return WholeRequest(
        resource_name=_resource_name(fields.get("resourceName"), f"{path}.resourceName"), driver=_driver(fields, path)
    )


def _virtual_functions(value: object) -> tuple[int | None, tuple[PoolRequest, ...]]:
    path = "spec.virtualFunctions"
    fields = _object(value, path, ("count", "pools"))
    count = _count(fields.get("count"))
    items = _list(fields.get("pools", []), f"{path}.pools")
    pools = tuple(_pool(item, f"{path}.pools[{n}]") for n, item in enumerate(items))
    _check_pools(pools, count)
    return count, pools


def parse_indexes(text: str, path: str = "indexes") -> tuple[int, ...]:
    """`0-3,6` to (0, 1, 2, 3, 6).

    Raises:
        PolicyError: a part is no index or range, a range runs backwards, or an index stands twice.
    """
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,5})(?:-(\d{1,5}))?\s*", part)
        if match is None:
            raise PolicyError(f"{path}: {part!r} is no VF index or range; write it like 0-3,6")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise PolicyError(f"{path}: the range {part.strip()} runs backwards")
        if last >= MAX_VFS:
            raise PolicyError(f"{path}: {last} is no VF index, the highest is {MAX_VFS - 1}")
        found += range(first, last + 1)
    if len(set(found)) != len(found):
        raise PolicyError(f"{path}: {text!r} names an index twice")
    return tuple(sorted(found))


def indexes_text(indexes: Sequence[int]) -> str:
    """(0, 1, 2, 3, 6) to `0-3,6`: the shortest text that `parse_indexes` reads back."""
    runs: list[tuple[int, int]] = []
    for index in sorted(indexes):
        if runs and index == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], index)
        else:
            runs.append((index, index))
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def _count(value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_VFS:
        raise PolicyError(f"spec.virtualFunctions.count: {value!r} is no number of VFs from 0 to {MAX_VFS}")
    return value


def _pool(item: object, path: str) -> PoolRequest:
    fields = _object(item, path, ("resourceName", "indexes", "driver", "link"))
    indexes = fields.get("indexes")
    if indexes is not None and not isinstance(indexes, str):
        raise PolicyError(f"{path}.indexes: want text like 0-3,6, got {indexes!r}")
    return PoolRequest(
        resource_name=_resource_name(fields.get("resourceName"), f"{path}.resourceName"),
        indexes=None if indexes is None else parse_indexes(indexes, f"{path}.indexes"),
        driver=_driver(fields, path),
        link=None if fields.get("link") is None else _link(fields["link"], f"{path}.link"),
    )


def _driver(fields: Mapping[str, object], path: str) -> str:
    return _matching(fields.get("driver", "vfio-pci"), _DRIVER, f"{path}.driver", "a driver name like vfio-pci")


def _link(item: object, path: str) -> LinkRequest:
    known = ("vlan", "vlanQos", "trust", "spoofCheck", "minTxRate", "maxTxRate", "linkState")
    fields = _object(item, path, known)
    request = LinkRequest(
        vlan=_number(fields.get("vlan"), MAX_VLAN, f"{path}.vlan"),
        vlan_qos=_number(fields.get("vlanQos"), MAX_QOS, f"{path}.vlanQos"),
        trust=_switch(fields.get("trust"), f"{path}.trust"),
        spoof_check=_switch(fields.get("spoofCheck"), f"{path}.spoofCheck"),
        min_tx_rate=_number(fields.get("minTxRate"), MAX_RATE, f"{path}.minTxRate"),
        max_tx_rate=_number(fields.get("maxTxRate"), MAX_RATE, f"{path}.maxTxRate"),
        link_state=_link_state(fields.get("linkState"), f"{path}.linkState"),
    )
    if request.vlan_qos is not None and request.vlan is None:
        raise PolicyError(f"{path}.vlanQos: a priority needs a vlan")
    if request.vlan_qos and not request.vlan:
        raise PolicyError(f"{path}.vlanQos: {request.vlan_qos} needs a vlan from 1; 0 is untagged")
    if request.max_tx_rate and (request.min_tx_rate or 0) > request.max_tx_rate:
        raise PolicyError(f"{path}.minTxRate: {request.min_tx_rate} is more than maxTxRate {request.max_tx_rate}")
    return request


def _number(value: object, highest: int, path: str) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= highest:
        raise PolicyError(f"{path}: {value!r} is no number from 0 to {highest}")
    return value


def _switch(value: object, path: str) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise PolicyError(f"{path}: {value!r} is neither true nor false")
    return value


def _link_state(value: object, path: str) -> LinkState | None:
    if value is None:
        return None
    if not isinstance(value, str) or value not in tuple(LinkState):
        raise PolicyError(f"{path}: {value!r} is none of {', '.join(LinkState)}")
    return LinkState(value)


def _resource_name(value: object, path: str) -> str:
    if not isinstance(value, str) or not value:
        raise PolicyError(f"{path}: a pool needs a resource name")
    domain, slash, name = value.rpartition("/")
    domain = domain if slash else RESOURCE_DOMAIN
    # The kubelet's own rules: a qualified name, and its substring test for kubernetes.io/.
    if not _NAME.fullmatch(name) or not _DOMAIN.fullmatch(domain) or len(domain) > 244:
        raise PolicyError(f"{path}: {value!r} is no resource name like fast or vendor.example/fast")
    if f"{domain}/".endswith("kubernetes.io/") or domain.startswith("requests."):
        raise PolicyError(f"{path}: {value!r} lies in a domain that Kubernetes keeps for itself")
    return f"{domain}/{name}"


def _check_pools(pools: tuple[PoolRequest, ...], count: int | None) -> None:
    if count != 0 and not pools:
        raise PolicyError("spec.virtualFunctions.pools: name at least one pool")
    seen: dict[int, str] = {}
    drivers: dict[str, str] = {}
    open_ended = [pool.resource_name for pool in pools if pool.indexes is None]
    if len(open_ended) > 1:
        raise PolicyError(f"spec.virtualFunctions.pools: only one pool may leave out indexes, not {open_ended}")
    for n, pool in enumerate(pools):
        path = f"spec.virtualFunctions.pools[{n}]"
        for index in pool.indexes or ():
            if count is not None and index >= count:
                raise PolicyError(f"{path}.indexes: {index} is not below count {count}")
            if index in seen:
                raise PolicyError(f"{path}.indexes: {index} belongs to {seen[index]} already")
            seen[index] = pool.resource_name
        if drivers.setdefault(pool.resource_name, pool.driver) != pool.driver:
            raise PolicyError(f"{path}.driver: {pool.resource_name} has driver {drivers[pool.resource_name]} already")


def _matcher(item: object, path: str) -> DeviceMatcher:
    known = ("vendor", "device", "class", "driver", "address", "netdev", "numaNode")
    fields = _object(item, path, known)
    if not fields:
        raise PolicyError(f"{path}: an empty matcher would match every device; name a field")
    return DeviceMatcher(
        vendor=_optional(fields.get("vendor"), _HEX4, f"{path}.vendor", "4 hex digits like 8086"),
        device=_optional(fields.get("device"), _HEX4, f"{path}.device", "4 hex digits like 10c9"),
        class_code=_optional(fields.get("class"), _CLASS, f"{path}.class", "2, 4 or 6 hex digits like 0200"),
        driver=_optional(fields.get("driver"), _DRIVER, f"{path}.driver", "a driver name like igb"),
        address=_address(fields.get("address"), f"{path}.address"),
        netdev=_netdev(fields.get("netdev"), f"{path}.netdev"),
        numa_node=_numa_node(fields.get("numaNode"), f"{path}.numaNode"),
    )


def _address(value: object, path: str) -> PciAddress | None:
    if value is None:
        return None
    try:
        return PciAddress.parse(str(value))
    except ValueError as error:
        raise PolicyError(f"{path}: {error}") from error


def _netdev(value: object, path: str) -> str | None:
    if value is not None and (not isinstance(value, str) or not value or "/" in value or len(value) > 128):
        raise PolicyError(f"{path}: {value!r} is no netdev name")
    return value


def _numa_node(value: object, path: str) -> int | None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise PolicyError(f"{path}: {value!r} is no NUMA node")
    return value


def _object(value: object, path: str, known: tuple[str, ...]) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise PolicyError(f"{path}: {'is missing' if value is None else f'want an object, got {value!r}'}")
    for field in value:
        if field not in known:
            raise PolicyError(f"{path}.{field}: unknown field; known are {', '.join(known)}")
    return value


def _list(value: object, path: str) -> Sequence[object]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise PolicyError(f"{path}: {'is missing' if value is None else f'want a list, got {value!r}'}")
    if len(value) > 64:
        raise PolicyError(f"{path}: at most 64, got {len(value)}")
    return value


def _optional(value: object, pattern: re.Pattern[str], path: str, want: str) -> str | None:
    return None if value is None else _matching(value, pattern, path, want)


def _matching(value: object, pattern: re.Pattern[str], path: str, want: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise PolicyError(f"{path}: {value!r} is not {want}")
    return value

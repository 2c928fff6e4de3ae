"""The functions that pods are offered (PoolSet) and those allocated lately (Ledger). Agent and device plugin exchange
both as files. The plugin also writes how each resource stands with the kubelet (Registrations), and for itself the
device nodes that containers were given (Grants).

Frozen values only; `pools.py` decides, `linux/poolfile.py` reads and writes the files.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.codec import NEEDED
from virtfn_host.core.values.model import Function
from virtfn_host.core.values.names import shown_name
from virtfn_host.core.values.reasons import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolDevice:
    """One function on offer. `healthy` False withdraws it from new pods and does not disturb running ones."""

    address: PciAddress
    driver: str
    numa_node: int | None
    healthy: bool
    reason: Reason | None
    """Why the function is not healthy; None: it is healthy."""


def offer(function: Function, driver: str, reason: Reason | None = None) -> PoolDevice:
    """A function as pods are offered it: on this driver, and healthy unless there is a reason."""
    healthy = reason is None
    return PoolDevice(
        address=function.address, driver=driver, numa_node=function.numa_node, healthy=healthy, reason=reason
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicePool:
    """All functions offered under one resource name."""

    resource_name: str
    devices: tuple[PoolDevice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSet:
    """The whole pool file: everything that this node offers, and the boot for which it is valid."""

    boot_id: str
    pools: tuple[DevicePool, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """An entry of the device plugin's ledger: a function that the kubelet allocated to a pod."""

    address: PciAddress
    resource_name: str
    at: float
    """Seconds since boot, because the time of day may be set back and forth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Recent allocations by the device plugin: they count until the kubelet lists the pod."""

    boot_id: str
    allocations: tuple[Allocation, ...]
    lost_at: float | None = field(default=None, metadata=NEEDED)
    """When an earlier ledger was found unreadable, in seconds since boot. Allocations before that are missing here.
    None: no ledger was lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """How one resource stands with the kubelet."""

    resource_name: str
    registered: bool
    """Whether the kubelet has the list of devices."""
    since: float
    """When that began, in seconds since boot."""
    refusal: str
    """The kubelet's answer to the last failed attempt, or why the kubelet did not answer; empty: no attempt failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registrations:
    """The registrations of all resources that the device plugin serves now, and of no others."""

    boot_id: str
    registrations: tuple[Registration, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The device nodes that the last answer to Allocate named for a function. The kubelet gives a container the same
    nodes at each start, also after a reboot, when they may be another function's.
    """

    address: PciAddress
    resource_name: str
    driver: str
    nodes: tuple[str, ...]
    """Paths of device nodes on the host, e.g. `/dev/vfio/vfio` and `/dev/vfio/12`; empty without a vfio driver."""
    boot_id: str
    """The boot in which the function was given to a container."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grants:
    """The last grant of each function, from this boot or an earlier one; the newest last."""

    grants: tuple[Grant, ...]


# --- checks of a file's values --------------------------------------------------------------------------------------

MOST_POOLS = 1024
MOST_DEVICES = 65536
"""Most devices of one node, in all its pools; the kubelet becomes slow long before."""
MOST_REFUSAL = 300
"""Most characters of a kubelet's answer."""
MOST_GRANTS = 16384
"""Most grants of one node. The document must stay under 4 MiB, and a grant takes about 200 bytes."""
MOST_NUMA_NODES = 1024
"""MAX_NUMNODES of the kernel, as the largest distributions set it."""

_NAME_LIMIT = 512
"""Characters. virtfn_deviceplugin/names.py checks the name pool by pool, so that one bad name stops no other pool."""
_BOOT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def check_pools(pools: PoolSet) -> None:
    """Check a pool file's values before they are used.

    Raises:
        ValueError: a name is not valid, a number is out of range, a device appears twice, or a list is too long.
    """
    _check_boot_id(pools.boot_id)
    if len(pools.pools) > MOST_POOLS:
        raise ValueError(f"{len(pools.pools)} pools, at most {MOST_POOLS}")
    if (count := sum(len(pool.devices) for pool in pools.pools)) > MOST_DEVICES:
        raise ValueError(f"{count} devices, at most {MOST_DEVICES}")
    for pool in pools.pools:
        _check_resource_name(pool.resource_name)
        _expect_once([device.address for device in pool.devices], f"{pool.resource_name}: device")
        for device in pool.devices:
            _check_driver(device.address, device.driver)
            if device.numa_node is not None and not 0 <= device.numa_node < MOST_NUMA_NODES:
                raise ValueError(f"{device.address}: NUMA node {device.numa_node}, wanted 0 to {MOST_NUMA_NODES - 1}")


def check_ledger(ledger: Ledger) -> None:
    """Check a ledger's values before they are used.

    Raises:
        ValueError: see `check_pools`.
    """
    _check_boot_id(ledger.boot_id)
    if len(ledger.allocations) > MOST_DEVICES:
        raise ValueError(f"{len(ledger.allocations)} allocations, at most {MOST_DEVICES}")
    if ledger.lost_at is not None:
        _check_time("lostAt", ledger.lost_at)
    for entry in ledger.allocations:
        _check_resource_name(entry.resource_name)
        _check_time(f"{entry.address}:", entry.at)


def check_registrations(registrations: Registrations) -> None:
    """Check the values of registrations before they are used.

    Raises:
        ValueError: see `check_pools`.
    """
    _check_boot_id(registrations.boot_id)
    if len(registrations.registrations) > MOST_POOLS:
        raise ValueError(f"{len(registrations.registrations)} registrations, at most {MOST_POOLS}")
    for one in registrations.registrations:
        _check_resource_name(one.resource_name)
        _check_time(f"{one.resource_name}:", one.since)
        if len(one.refusal) > MOST_REFUSAL or not one.refusal.isprintable():
            raise ValueError(f"{one.resource_name}: its refusal is not one line of at most {MOST_REFUSAL} characters")


def check_grants(grants: Grants) -> None:
    """Check the values of grants before they are used.

    Raises:
        ValueError: see `check_pools`.
    """
    if len(grants.grants) > MOST_GRANTS:
        raise ValueError(f"{len(grants.grants)} grants, at most {MOST_GRANTS}")
    _expect_once([grant.address for grant in grants.grants], "grant of")
    for grant in grants.grants:
        _check_boot_id(grant.boot_id)
        _check_resource_name(grant.resource_name)
        _check_driver(grant.address, grant.driver)
        for node in grant.nodes:
            if not _NODE.fullmatch(node):
                raise ValueError(f"{grant.address}: {node[:_SHOWN]!r} is not a device node of vfio")


_NODE = re.compile(r"/dev/(iommu|vfio/(vfio|(noiommu-)?[0-9]{1,10}|devices/vfio[0-9]{1,10}))")
_SHOWN = 80
_YEAR_5138 = 1e11


def _check_boot_id(boot_id: str) -> None:
    if not _BOOT_ID.fullmatch(boot_id):
        raise ValueError(f"{boot_id[:_SHOWN]!r} is not a boot id")


def _check_time(whose: str, seconds: float) -> None:
    if not 0 <= seconds < _YEAR_5138:
        raise ValueError(f"{whose} {seconds} is not a time in seconds")


def _check_driver(address: PciAddress, name: str) -> None:
    if not _may_be_a_driver(name):
        raise ValueError(f"{address}: {name[:_SHOWN]!r} is not the name of a driver")


def _may_be_a_driver(name: str) -> bool:
    """Accept any printable file name: it is only compared with those in sysfs. A stricter rule once stopped the pool
    file of a whole node because of one function with an unusual driver.
    """
    try:
        return shown_name(name).isprintable()
    except ValueError:
        return False


def _check_resource_name(name: str) -> None:
    if len(name) > _NAME_LIMIT:
        raise ValueError(f"{name[:_SHOWN]!r}... is not a resource name: {len(name)} characters")


def _expect_once(things: Sequence[object], what: str) -> None:
    if len(set(things)) != len(things):
        ((twice, _),) = Counter(things).most_common(1)
        raise ValueError(f"{what} {str(twice)[:_SHOWN]} appears twice")

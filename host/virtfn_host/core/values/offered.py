"""What pods are offered (PoolSet), and what they were given lately (Ledger); agent and plugin tell each other by it.
How each resource stands with the kubelet (Registrations) the plugin tells, too. What each container was given (Grants)
is the plugin's own.

Frozen values only; deciding is `pools.py`, the files are `linux/poolfile.py`.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.codec import NEEDED
from virtfn_host.core.values.names import shown_name
from virtfn_host.core.values.reasons import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolDevice:
    """One function that pods may be given. `healthy` False withdraws it from new pods and disturbs nobody."""

    address: PciAddress
    driver: str
    numa_node: int | None
    healthy: bool
    reason: Reason | None
    """Why it is not healthy; None when it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicePool:
    """All functions offered under one resource name."""

    resource_name: str
    devices: tuple[PoolDevice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSet:
    """The whole pool file: everything this node offers, and for which boot."""

    boot_id: str
    pools: tuple[DevicePool, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """A line of the device plugin's ledger: this function was handed to the kubelet for a pod."""

    address: PciAddress
    resource_name: str
    at: float
    """Seconds since the machine booted: the time of day may be set back and forth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What the device plugin handed out lately: bridges the moment until the kubelet lists it."""

    boot_id: str
    allocations: tuple[Allocation, ...]
    lost_at: float | None = field(default=None, metadata=NEEDED)
    """When it was found that an earlier ledger could not be read; what was handed out before that is not in this one.
    In seconds since the machine booted; None: nothing was lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """How one resource stands with the kubelet."""

    resource_name: str
    registered: bool
    """Whether the kubelet has the list of devices."""
    since: float
    """Since when that is so, in seconds since the machine booted."""
    refusal: str
    """What the kubelet answered the last attempt that failed, or why it could not be asked; empty: none has failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registrations:
    """How each resource stands that the device plugin serves now; one that it does not serve is not in it."""

    boot_id: str
    registrations: tuple[Registration, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What the last answer to Allocate named for a function. The kubelet gives a container the same device nodes again
    whenever it starts, also after a reboot, when they may be another function's.
    """

    address: PciAddress
    resource_name: str
    driver: str
    nodes: tuple[str, ...]
    """Paths of device nodes on the host, e.g. `/dev/vfio/vfio` and `/dev/vfio/12`; empty on a driver of the kernel."""
    boot_id: str
    """The boot in which it was given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grants:
    """The last grant of each function, whatever the boot; the newest last."""

    grants: tuple[Grant, ...]


# --- what of it nobody need believe --------------------------------------------------------------------------------

MOST_POOLS = 1024
MOST_DEVICES = 65536
"""Of one node, in all its pools; the kubelet itself is slow long before."""
MOST_REFUSAL = 300
"""Characters of what a kubelet answered."""
MOST_GRANTS = 16384
"""Of one node; the document has to stay under 4 MiB, and a grant is about 200 bytes."""
MOST_NUMA_NODES = 1024
"""MAX_NUMNODES of the kernel, as the largest distributions set it."""

_NAME_LIMIT = 512
"""Characters. Whether it is a name at all is asked pool by pool (deviceplugin/names.py): one stops no other."""
_BOOT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def check_pools(pools: PoolSet) -> None:
    """Whether this may be offered, before anything is made of it.

    Raises:
        ValueError: a name that is none, a number out of its range, something twice, or too much of something.
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
            if not _may_be_a_driver(device.driver):
                raise ValueError(f"{device.address}: {device.driver[:_SHOWN]!r} is no name of a driver")
            if device.numa_node is not None and not 0 <= device.numa_node < MOST_NUMA_NODES:
                raise ValueError(f"{device.address}: NUMA node {device.numa_node}, wanted 0 to {MOST_NUMA_NODES - 1}")


def check_ledger(ledger: Ledger) -> None:
    """Whether this can be what a device plugin noted.

    Raises:
        ValueError: see `check_pools`.
    """
    _check_boot_id(ledger.boot_id)
    if len(ledger.allocations) > MOST_DEVICES:
        raise ValueError(f"{len(ledger.allocations)} allocations, at most {MOST_DEVICES}")
    if ledger.lost_at is not None and not 0 <= ledger.lost_at < _YEAR_5138:
        raise ValueError(f"lostAt {ledger.lost_at} is no time in seconds")
    for entry in ledger.allocations:
        _check_resource_name(entry.resource_name)
        if not 0 <= entry.at < _YEAR_5138:
            raise ValueError(f"{entry.address}: {entry.at} is no time in seconds")


def check_registrations(registrations: Registrations) -> None:
    """Whether this can be what a device plugin tells.

    Raises:
        ValueError: see `check_pools`.
    """
    _check_boot_id(registrations.boot_id)
    if len(registrations.registrations) > MOST_POOLS:
        raise ValueError(f"{len(registrations.registrations)} registrations, at most {MOST_POOLS}")
    for one in registrations.registrations:
        _check_resource_name(one.resource_name)
        if not 0 <= one.since < _YEAR_5138:
            raise ValueError(f"{one.resource_name}: {one.since} is no time in seconds")
        if len(one.refusal) > MOST_REFUSAL or not one.refusal.isprintable():
            raise ValueError(f"{one.resource_name}: its refusal is no line of at most {MOST_REFUSAL} characters")


def check_grants(grants: Grants) -> None:
    """Whether this can be what a device plugin noted.

    Raises:
        ValueError: see `check_pools`.
    """
    if len(grants.grants) > MOST_GRANTS:
        raise ValueError(f"{len(grants.grants)} grants, at most {MOST_GRANTS}")
    _expect_once([grant.address for grant in grants.grants], "grant of")
    for grant in grants.grants:
        _check_boot_id(grant.boot_id)
        _check_resource_name(grant.resource_name)
        if not _may_be_a_driver(grant.driver):
            raise ValueError(f"{grant.address}: {grant.driver[:_SHOWN]!r} is no name of a driver")
        for node in grant.nodes:
            if not _NODE.fullmatch(node):
                raise ValueError(f"{grant.address}: {node[:_SHOWN]!r} is no device node of vfio")


_NODE = re.compile(r"/dev/(iommu|vfio/(vfio|(noiommu-)?[0-9]{1,10}|devices/vfio[0-9]{1,10}))")
_SHOWN = 80
_YEAR_5138 = 1e11


def _check_boot_id(boot_id: str) -> None:
    if not _BOOT_ID.fullmatch(boot_id):
        raise ValueError(f"{boot_id[:_SHOWN]!r} is no boot id")


def _may_be_a_driver(name: str) -> bool:
    """It is only compared with what sysfs shows, which is any file name: a stricter rule kept the pools of a whole node
    from being written because of one function with a strange driver.
    """
    try:
        return shown_name(name).isprintable()
    except ValueError:
        return False


def _check_resource_name(name: str) -> None:
    if len(name) > _NAME_LIMIT:
        raise ValueError(f"{name[:_SHOWN]!r}... is no resource name: {len(name)} characters")


def _expect_once(things: Sequence[object], what: str) -> None:
    if len(set(things)) != len(things):
        ((twice, _),) = Counter(things).most_common(1)
        raise ValueError(f"{what} {str(twice)[:_SHOWN]} is there twice")

"""What pods are offered (PoolSet), and what they were given lately (Ledger); agent and plugin tell each other by it.

Frozen values only; deciding is `pools.py`, the files are `linux/poolfile.py`.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.model import Function
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


# --- what of it nobody need believe --------------------------------------------------------------------------------

MOST_POOLS = 1024
MOST_DEVICES = 65536
"""Of one node, in all its pools; the kubelet itself is slow long before."""
MOST_NUMA_NODES = 1024
"""MAX_NUMNODES of the kernel, as the largest distributions set it."""

_NAME_LIMIT = 512
"""Characters. Whether it is a name at all is asked pool by pool (virtfn_deviceplugin/names.py): one stops no other."""
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
    for entry in ledger.allocations:
        _check_resource_name(entry.resource_name)
        if not 0 <= entry.at < _YEAR_5138:
            raise ValueError(f"{entry.address}: {entry.at} is no time in seconds")


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

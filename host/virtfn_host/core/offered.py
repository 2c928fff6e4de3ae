"""What pods are offered (PoolSet), and what they were given lately (Ledger); agent and plugin tell each other by it.

Frozen values only; deciding is `pools.py`, the files are `linux/poolfile.py`.
"""

from dataclasses import dataclass

from virtfn_host.core.address import PciAddress
from virtfn_host.core.reasons import Reason


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
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What the device plugin handed out lately: bridges the moment until the kubelet lists it."""

    boot_id: str
    allocations: tuple[Allocation, ...]

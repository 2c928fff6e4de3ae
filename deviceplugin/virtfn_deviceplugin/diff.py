"""Compares old pools with new ones: which servers to start, to update and to stop. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.offered import DevicePool, PoolSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """The servers to start, to update and to stop. An unchanged pool appears nowhere."""

    start: tuple[DevicePool, ...]
    update: tuple[DevicePool, ...]
    """Lists that only lose functions first: one that changes its pool must not be on offer in both."""
    stop: tuple[str, ...]


def diff(served: Mapping[str, DevicePool], wanted: PoolSet) -> Changes:
    """Compare the pools that are served with all pools that should be."""
    by_name = {pool.resource_name: pool for pool in wanted.pools}
    changed = [by_name[name] for name in sorted(by_name.keys() & served.keys()) if by_name[name] != served[name]]
    return Changes(
        start=tuple(by_name[name] for name in sorted(by_name.keys() - served.keys())),
        update=tuple(sorted(changed, key=lambda pool: not _healthy(pool) <= _healthy(served[pool.resource_name]))),
        stop=tuple(sorted(served.keys() - by_name.keys())),
    )


def _healthy(pool: DevicePool) -> set[PciAddress]:
    return {device.address for device in pool.devices if device.healthy}

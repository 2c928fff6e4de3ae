"""Logs which published functions the kubelet is not offered, and why: the agent's status sends people to this log.

A driver that is unloaded takes all functions with it, and a function may come and go at each look. So a line names a
few functions of a resource, and each function is told of once a minute at most.
"""

import logging
from collections.abc import Callable

from virtfn_host.core.values.offered import PoolSet
from virtfn_host.linux.clock import since_boot

log = logging.getLogger("virtfn.deviceplugin")

NAMED = 3
"""Functions that a line names."""
AGAIN = 60.0
"""Fewest seconds until the same function is told of again, if it was healthy meanwhile or the cause is another one."""


class Withheld:
    """Compares what is published with what the kubelet is told."""

    def __init__(self, now: Callable[[], float] = since_boot) -> None:
        self._now = now
        self._told: dict[tuple[str, str], tuple[str, float]] = {}
        """By resource and function, what was said and when."""

    def tell(self, published: PoolSet, true: PoolSet) -> None:
        """Log the functions that are published as healthy and are not; `true` has the same pools, as they are now."""
        now = self._now()
        found = {
            (pool.resource_name, str(device.address)): device.message or str(device.reason)
            for said, pool in zip(published.pools, true.pools, strict=True)
            for promised, device in zip(said.devices, pool.devices, strict=True)
            if promised.healthy and not device.healthy
        }
        self._told = {key: it for key, it in self._told.items() if key in found or now - it[1] < AGAIN}
        fresh: dict[str, list[str]] = {}
        for key, why in found.items():
            said_before, at = self._told.get(key, ("", -AGAIN))
            if why != said_before and now - at >= AGAIN:
                self._told[key] = (why, now)
                fresh.setdefault(key[0], []).append(f"{key[1]} {why}")
        for name, lines in fresh.items():
            more = f"; and {len(lines) - NAMED} more" if len(lines) > NAMED else ""
            log.warning("%s: published, but not offered: %s%s", name, "; ".join(lines[:NAMED]), more)

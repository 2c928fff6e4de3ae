"""The one clock of a node that nobody sets: agent and device plugin compare each other's times by it.

The time of day jumps, by an administrator or by NTP on a node whose battery is empty. A ledger entry of an hour to come
would hold a function for that hour, and one of an hour ago would free a function whose pod is being started.
"""

import time


def since_boot() -> float:
    """Seconds since this machine booted, asleep or awake; the same in every container of it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)

"""The clock of a node that cannot be set: agent and device plugin compare each other's times by it.

The time of day jumps when an administrator sets it, or NTP on a node with an empty battery. With that clock, a ledger
entry from an hour ahead would hold a function for an hour, and one from an hour ago would free a function whose pod is
being started.
"""

import time


def since_boot() -> float:
    """Return the seconds since this machine booted, asleep or awake; the same in each of its containers."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)

"""Notices changes of functions by a few listings, without a look at each function.

A look at 2,048 functions costs a tenth of a second. A function that leaves its driver, and a device node that comes or
goes, changes the listings of the drivers' folders or of /dev/vfio. Other changes are found by the next look at every
function, and by Allocate, which reads each function anew.
"""

from collections.abc import Iterable

from virtfn_host.linux.errors import HostError
from virtfn_host.linux.read.sysfs import Sysfs

Listings = tuple[tuple[str, ...] | None, ...]


class Watching:
    """Compares the listings of each look with those of the look before."""

    def __init__(self, sysfs: Sysfs) -> None:
        self._sysfs = sysfs
        self._seen: Listings | None = None

    def moved(self, drivers: Iterable[str]) -> bool:
        """Return whether the listings have changed since the last look. An unreadable listing counts as a change."""
        try:
            found = self._listings(drivers)
        except HostError:
            found = None
        moved = found is None or found != self._seen
        self._seen = found
        return moved

    def _listings(self, drivers: Iterable[str]) -> Listings:
        folders = [self._sysfs.driver(name) for name in sorted(set(drivers))]
        folders += [f"{self._sysfs.dev}/vfio", f"{self._sysfs.dev}/vfio/devices"]
        return tuple(self._sysfs.names(folder) for folder in folders)

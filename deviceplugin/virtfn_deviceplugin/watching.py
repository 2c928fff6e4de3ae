"""Whether anything moved since the last look, by a few listings instead of a look at each function.

A look at 2,048 functions costs a tenth of a second. A function that leaves its driver, or a device node that comes or
goes, shows in the listings of the drivers' folders and of /dev/vfio. What shows there not is found by the next whole
look, and by Allocate, which reads what it answers.
"""

from collections.abc import Iterable

from virtfn_host.linux.errors import HostError
from virtfn_host.linux.read.sysfs import Sysfs

Listings = tuple[tuple[str, ...] | None, ...]


class Watching:
    """Compares each look with the one before."""

    def __init__(self, sysfs: Sysfs) -> None:
        self._sysfs = sysfs
        self._seen: Listings | None = None

    def moved(self, drivers: Iterable[str]) -> bool:
        """Whether the listings differ from the last time; what cannot be read counts as moved."""
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

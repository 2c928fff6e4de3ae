"""A sysfs in which every file is read once: made for one look at the machine and thrown away after it.

One look needs the same driver link, group and folder several times; for 127 VFs that was half of its time. Facts that
must be fresh, for example after the in-use lock is taken, are read by a new `OneLook`.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from virtfn_host.core.values.address import PciAddress
from virtfn_host.linux.read.sysfs import Sysfs

T = TypeVar("T")


class OneLook(Sysfs):
    """Reads through another Sysfs and remembers the answers."""

    def __init__(self, sysfs: Sysfs) -> None:
        super().__init__(sysfs.sys, sysfs.dev, sysfs.proc)
        self._behind = sysfs
        self._read: dict[str | Path, str | None] = {}
        self._links: dict[str | Path, str | None] = {}
        self._names: dict[str | Path, tuple[str, ...] | None] = {}
        self._folders: dict[PciAddress, str] = {}
        self._bound: dict[PciAddress, str | None] = {}
        self._group_of: dict[PciAddress, int | None] = {}
        self._vfio_drivers: set[str] = set()
        self._found: dict[Callable[[Sysfs], Any], Any] = {}

    def device(self, address: PciAddress, *names: str) -> str:
        """See Sysfs. The path is the folder behind the bus's link: to follow the link was half of every read."""
        folder = self._folders.get(address)
        if folder is None:
            folder = self._folders[address] = self._folder(super().device(address))
        return f"{folder}/{'/'.join(names)}" if names else folder

    def vf_address(self, pf: PciAddress, index: int) -> PciAddress | None:
        """See Sysfs."""
        found = super().vf_address(pf, index)
        self._are_beside(pf, () if found is None else (found,))
        return found

    def vf_addresses(self, pf: PciAddress) -> dict[int, PciAddress]:
        """See Sysfs."""
        found = super().vf_addresses(pf)
        self._are_beside(pf, found.values())
        return found

    def _are_beside(self, pf: PciAddress, vfs: Iterable[PciAddress]) -> None:
        """Note the folders of VFs without reading them: they are beside the PF's (pci_iov_add_virtfn in the kernel)."""
        folder = self.device(pf).rpartition("/")[0]
        for vf in vfs:
            self._folders.setdefault(vf, f"{folder}/{vf}")

    def again(self) -> "OneLook":
        """Return a new look that has read nothing but knows the functions' folders, which do not move."""
        look = OneLook(self._behind)
        look._folders |= self._folders
        return look

    def _folder(self, path: str) -> str:
        try:
            target = os.readlink(path)
        except OSError:  # No such function, or a folder instead of a link; later reads below it find out.
            return path
        return f"{self.sys}/{target.removeprefix('../../../')}"

    def read(self, path: str | Path) -> str | None:
        """See Sysfs."""
        if path not in self._read:
            self._read[path] = self._behind.read(path)
        return self._read[path]

    def link(self, path: str | Path) -> str | None:
        """See Sysfs."""
        if path not in self._links:
            self._links[path] = self._behind.link(path)
        return self._links[path]

    def names(self, path: str | Path) -> tuple[str, ...] | None:
        """See Sysfs."""
        if path not in self._names:
            self._names[path] = self._behind.names(path)
        return self._names[path]

    def bound_driver(self, address: PciAddress) -> str | None:
        """See Sysfs. Kept by address, because driver and group are read most often and making the path takes time."""
        if address not in self._bound:
            self._bound[address] = super().bound_driver(address)
        return self._bound[address]

    def group(self, address: PciAddress) -> int | None:
        """See Sysfs."""
        if address not in self._group_of:
            self._group_of[address] = super().group(address)
        return self._group_of[address]

    def vfio_bound(self, address: PciAddress) -> bool:
        """See Sysfs. A driver that has one function through vfio has all of its functions so. One that does not show it
        may be in its probe, so the next function is asked again."""
        driver = self.bound_driver(address)
        if driver is None or driver in self._vfio_drivers:
            return driver is not None
        if found := super().vfio_bound(address):
            self._vfio_drivers.add(driver)
        return found

    @classmethod
    def of(cls, sysfs: Sysfs) -> "OneLook":
        """Return `sysfs` itself if it is one look already, so that inventory and evidence of use agree."""
        return sysfs if isinstance(sysfs, cls) else cls(sysfs)

    def once(self, find: Callable[[Sysfs], T]) -> T:
        """Return what `find` finds by this look; only the first call searches."""
        if find not in self._found:
            self._found[find] = find(self)
        found: T = self._found[find]
        return found

    def told(self, find: Callable[[Sysfs], T], found: T) -> None:
        """Store what `find` found by another look, so that this one need not search."""
        self._found[find] = found

    def open_group(self, node: str) -> int:
        """See Sysfs."""
        return self._behind.open_group(node)

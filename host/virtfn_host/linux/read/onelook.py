"""A sysfs in which every file is read once: for one look at the machine, thrown away after it.

One look asks for the same driver link, group and folder several times, each for its own question; for 127 VFs that was
half of the look. What must be fresh, as after the in-use lock is taken, is read by a new one.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from virtfn_host.core.values.address import PciAddress
from virtfn_host.linux.read.sysfs import Sysfs

T = TypeVar("T")


class OneLook(Sysfs):
    """Reads through another one, and remembers."""

    def __init__(self, sysfs: Sysfs) -> None:
        super().__init__(sysfs.sys, sysfs.dev, sysfs.proc)
        self._behind = sysfs
        self._read: dict[str | Path, str | None] = {}
        self._links: dict[str | Path, str | None] = {}
        self._names: dict[str | Path, tuple[str, ...] | None] = {}
        self._folders: dict[PciAddress, str] = {}
        self._bound: dict[PciAddress, str | None] = {}
        self._group_of: dict[PciAddress, int | None] = {}
        self._vfio_drivers: dict[str, bool] = {}
        self._found: dict[Callable[[Sysfs], Any], Any] = {}

    def device(self, address: PciAddress, *names: str) -> str:
        """See Sysfs; by the folder that the bus's link leads to, because following it was half of every read."""
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
        """A VF's folder is beside its PF's (pci_iov_add_virtfn in the kernel), so nobody need ask for it."""
        folder = self.device(pf).rpartition("/")[0]
        for vf in vfs:
            self._folders.setdefault(vf, f"{folder}/{vf}")

    def again(self) -> "OneLook":
        """A new look that has read nothing yet, but knows where functions are: that stays as long as they do."""
        look = OneLook(self._behind)
        look._folders |= self._folders
        return look

    def _folder(self, path: str) -> str:
        try:
            target = os.readlink(path)
        except OSError:  # No such function, or a folder and no link: whoever reads in it will see.
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
        """See Sysfs; by address, because this and the group are asked for most, and to make the path costs too."""
        if address not in self._bound:
            self._bound[address] = super().bound_driver(address)
        return self._bound[address]

    def group(self, address: PciAddress) -> int | None:
        """See Sysfs."""
        if address not in self._group_of:
            self._group_of[address] = super().group(address)
        return self._group_of[address]

    def vfio_bound(self, address: PciAddress) -> bool:
        """See Sysfs; asked once for a driver, because a driver is a vfio driver for all of its devices or for none."""
        driver = self.bound_driver(address)
        if driver is None:
            return False
        if driver not in self._vfio_drivers:
            self._vfio_drivers[driver] = super().vfio_bound(address)
        return self._vfio_drivers[driver]

    @classmethod
    def of(cls, sysfs: Sysfs) -> "OneLook":
        """This one, if it is one look already: inventory and evidence of use then agree."""
        return sysfs if isinstance(sysfs, cls) else cls(sysfs)

    def once(self, find: Callable[[Sysfs], T]) -> T:
        """What `find` finds by this look; only the first call looks."""
        if find not in self._found:
            self._found[find] = find(self)
        found: T = self._found[find]
        return found

    def told(self, find: Callable[[Sysfs], T], found: T) -> None:
        """What `find` finds, from another look, so that this one need not look."""
        self._found[find] = found

    def open_group(self, node: str) -> int:
        """See Sysfs."""
        return self._behind.open_group(node)

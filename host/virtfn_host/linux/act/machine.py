"""What steps touch, how it is remembered before the first touch, and that one process does so at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.model import PhysicalFunction
from virtfn_host.core.values.steps import FunctionRef
from virtfn_host.linux.act.expect import expect_place
from virtfn_host.linux.act.journal import Journal
from virtfn_host.linux.act.wall import Wall
from virtfn_host.linux.errors import AnotherWriterError, NetlinkError, StaleSnapshotError
from virtfn_host.linux.look.inventory import read_pf
from virtfn_host.linux.netlink.asks import Netlink
from virtfn_host.linux.netlink.shown import with_links
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.linux.touch.modules import Modules
from virtfn_host.linux.touch.writer import Writer


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Everything a step may touch."""

    sysfs: Sysfs
    writer: Writer
    journal: Journal
    modules: Modules
    netlink: Netlink | None = None
    """None: this machine has no link settings and no addresses."""
    remembered: set[tuple[PciAddress, bool]] = field(default_factory=set)
    """PFs, and whether whole, whose journal entry is known to be there during one apply."""
    places: dict[PciAddress, dict[int, PciAddress]] = field(default_factory=dict)
    """Where the VFs of a PF are during one apply: an index has one address as long as the number of VFs stands."""
    wall: Wall = field(init=False)
    """What is refused whatever a plan says."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "wall", Wall(self.sysfs, self.journal))


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Be the one process that writes on this node, by a lock on the folder of its journal, which leaves no file.

    Raises:
        AnotherWriterError: another one has the lock.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            text = f"another virtfn process writes on this node (it has {folder} locked); wait for it or stop it"
            raise AnotherWriterError(text) from error
        yield
    finally:
        os.close(fd)


def remember(machine: Machine, pf: PciAddress, *, whole: bool = False, ends_vfs: bool = False) -> None:
    """Before the first touch of a PF, or of the function itself: how it was, with the link settings of its VFs.

    Where those cannot be told, only a step that ends the VFs, and their settings with them, is refused.
    """
    if (pf, whole) in machine.remembered:
        return
    vendor, device = (machine.sysfs.hex_digits(pf, name) for name in ("vendor", "device"))
    # To look at 127 VFs for an entry that is there already would cost more than to unbind ten of them.
    if not (known := machine.journal.knows(pf, vendor, device)) or whole:
        found = look_at(machine.sysfs, pf)
        if found.vfs and machine.netlink is not None and not known:
            found = _seen_links(found, machine.sysfs, machine.netlink, needed=ends_vfs)
        machine.journal.remember(found, whole=whole)
    machine.remembered.update({(pf, whole), (pf, False)})


def _seen_links(pf: PhysicalFunction, sysfs: Sysfs, netlink: Netlink, *, needed: bool) -> PhysicalFunction:
    try:
        return with_links(pf, sysfs, netlink)
    except NetlinkError:
        if needed:
            raise
        return pf


def look_at(sysfs: Sysfs, pf: PciAddress, netlink: Netlink | None = None) -> PhysicalFunction:
    """A PF as it is at this moment.

    Raises:
        StaleSnapshotError: there is none.
        SysfsReadError: it does not read.
    """
    found = read_pf(sysfs, pf, netlink)
    if found is None:
        raise StaleSnapshotError(f"{pf} is not there any more; look and plan again")
    return found


def address_of(machine: Machine, function: FunctionRef) -> PciAddress:
    """Where a function of a step is.

    Raises:
        StaleSnapshotError: not there, or not where the plan was made for.
    """
    if function.index is None:
        return function.pf
    if function.pf not in machine.places:
        machine.places[function.pf] = machine.sysfs.vf_addresses(function.pf)
    return expect_place(function, machine.places[function.pf].get(function.index))

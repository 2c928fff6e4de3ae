"""What steps touch, how it is remembered before the first touch, and that one process does so at a time."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.model import Function, Pf
from virtfn_host.core.values.steps import FunctionRef
from virtfn_host.linux.act.expect import expect_place
from virtfn_host.linux.act.journal import Journal
from virtfn_host.linux.act.wall import Wall
from virtfn_host.linux.errors import AnotherWriterError, NetlinkError, StaleSnapshotError
from virtfn_host.linux.look.inventory import read_one
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


class PfApply:
    """One PF within one apply: the machine, and what is known of the PF while its steps are carried out."""

    def __init__(self, machine: Machine, unwanted: Callable[[], bool] = lambda: False) -> None:
        self.machine = machine
        self.unwanted = unwanted
        """Whether whoever asked has gone and others wait."""
        self.wall = Wall(machine.sysfs, machine.journal)
        """What is refused whatever a plan says."""
        self.remembered: set[bool] = set()
        """That the journal has its entry: False, of its VFs; True, of the function itself."""
        self.places: dict[int, PciAddress] | None = None
        """Where its VFs are: an index has one address as long as the number of VFs stands."""


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


def remember(work: PfApply, pf: PciAddress, *, whole: bool = False, ends_vfs: bool = False) -> None:
    """Before the first touch of a PF, or of the function itself: how it was, with the link settings of its VFs.

    Where those cannot be told, only a step that ends the VFs, and their settings with them, is refused.
    """
    if whole in work.remembered:
        return
    machine = work.machine
    # To look at 127 VFs for an entry that is there already would cost more than to unbind ten of them.
    if (known := machine.journal.entry(machine.sysfs.card(pf))) is None or whole:
        found = look_at(machine.sysfs, pf)
        if isinstance(found, Pf) and found.vfs and machine.netlink is not None and known is None:
            found = _seen_links(found, machine.sysfs, machine.netlink, needed=ends_vfs)
        machine.journal.remember(found, whole=whole)
    work.remembered.update({whole, False})


def _seen_links(pf: Pf, sysfs: Sysfs, netlink: Netlink, *, needed: bool) -> Pf:
    try:
        return with_links(pf, sysfs, netlink)
    except NetlinkError:
        if needed:
            raise
        return pf


def look_at(sysfs: Sysfs, pf: PciAddress, netlink: Netlink | None = None) -> Function:
    """A PF, or a function that is handed out whole, as it is at this moment.

    Raises:
        StaleSnapshotError: there is none.
        SysfsReadError: it does not read.
    """
    found = read_one(sysfs, pf, netlink)
    if found is None:
        raise StaleSnapshotError(f"{pf} is not there any more; look and plan again")
    return found


def address_of(work: PfApply, function: FunctionRef) -> PciAddress:
    """Where a function of a step is.

    Raises:
        StaleSnapshotError: not there, or not where the plan was made for.
    """
    if function.index is None:
        return function.pf
    if work.places is None:
        work.places = work.machine.sysfs.vf_addresses(function.pf)
    return expect_place(function, work.places.get(function.index))

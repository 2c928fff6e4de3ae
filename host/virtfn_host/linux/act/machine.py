"""What steps touch (`Machine`, `PfApply`), the note before the first touch (`remember`), one writer (`only_writer`)."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.model import Function, Pf
from virtfn_host.core.values.steps import FunctionRef, PfPlan
from virtfn_host.linux.act import tries
from virtfn_host.linux.act.expect import expect_place
from virtfn_host.linux.act.journal import Journal
from virtfn_host.linux.act.standing import standings
from virtfn_host.linux.act.tries import PfTries, TriesFile
from virtfn_host.linux.act.wall import Wall
from virtfn_host.linux.clock import since_boot
from virtfn_host.linux.errors import AnotherWriterError, NetlinkError, StaleSnapshotError, SysfsReadError
from virtfn_host.linux.look.identity import card_of
from virtfn_host.linux.look.inventory import read_one
from virtfn_host.linux.look.other_names import with_every_name
from virtfn_host.linux.netlink.asks import Netlink
from virtfn_host.linux.netlink.shown import with_links
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.linux.touch.modules import Modules
from virtfn_host.linux.touch.reader import Reader
from virtfn_host.linux.touch.writer import Writer


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Everything that a step may touch."""

    sysfs: Sysfs
    writer: Writer
    journal: Journal
    modules: Modules
    netlink: Netlink | None = None
    """None: link settings and addresses of netdevs are not looked at."""
    reader: Reader | None = None
    """Reads what may hang, for `apply` alone. None: it is read directly."""
    now: Callable[[], float] = since_boot
    """Seconds since boot."""

    @property
    def tries(self) -> TriesFile:
        """What was tried in this boot."""
        return TriesFile(self.journal.path.with_name(tries.NAME), self.sysfs.boot_id())


class PfApply:
    """One PF within one apply: the machine, and what is known of the PF during its steps."""

    def __init__(self, machine: Machine, part: PfPlan, unwanted: Callable[[], bool] = lambda: False) -> None:
        self.machine = machine
        self.tries = PfTries(
            machine.tries, part, lambda: standings(machine.sysfs, part.pf, machine.reader), machine.now
        )
        """Counts destructive steps."""
        self.unwanted = unwanted
        """Whether the client has gone and another plan waits."""
        self.wall = Wall(machine.sysfs, machine.journal, machine.reader)
        """Refuses what must not be done, whatever a plan says."""
        self.remembered: set[bool] = set()
        """What the journal has of the PF: False, its VFs; True, the function itself."""
        self.places: dict[int, PciAddress] | None = None
        """Addresses of its VFs by index: they are fixed as long as the number of VFs is."""


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Be the one process that writes on this node. The lock is on the journal's folder, so it leaves no file.

    Raises:
        AnotherWriterError: another process has the lock.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AnotherWriterError(
                f"another virtfn process writes on this node (it has {folder} locked); wait for it or stop it; where an"
                " agent runs, that is its host process: use a policy instead"
            ) from error
        yield
    finally:
        os.close(fd)


def remember(work: PfApply, pf: PciAddress, *, whole: bool = False, ends_vfs: bool = False) -> None:
    """Note how a PF is, with the link settings of its VFs, before its first touch, or before that of the function.

    Args:
        whole: the function itself is about to be touched.
        ends_vfs: the step ends the VFs, and their link settings with them. Only then it fails where these settings
            cannot be read; otherwise a later touch of the PF notes those of VFs that are still as they were.
    """
    if whole in work.remembered:
        return
    machine = work.machine
    # A look at 127 VFs, for an entry that exists already and lacks nothing, would take longer than ten unbinds.
    known = machine.journal.entry(card_of(machine.sysfs, pf, machine.reader))
    lacks_links = known is None or (known.number_untouched and any(vf.link is None for vf in known.vfs))
    if lacks_links or whole:
        found = look_at(machine.sysfs, pf, reader=machine.reader)
        if whole and machine.netlink is not None:
            found = with_every_name(found, machine.netlink)  # a policy may know it by one, and its netdev ends now
        if isinstance(found, Pf) and found.vfs and machine.netlink is not None and lacks_links:
            found = _seen_links(found, machine, machine.netlink, needed=ends_vfs)
        machine.journal.remember(found, whole=whole)
    work.remembered.update({whole, False})


def _seen_links(pf: Pf, machine: Machine, netlink: Netlink, *, needed: bool) -> Pf:
    def lost(_: PciAddress, error: SysfsReadError) -> None:
        if needed:
            raise error

    try:
        return with_links(pf, machine.sysfs, netlink, machine.reader, lost)
    except NetlinkError:
        if needed:
            raise
        return pf


def look_at(sysfs: Sysfs, pf: PciAddress, netlink: Netlink | None = None, reader: Reader | None = None) -> Function:
    """Read a PF, or a function that is handed out whole, as it is at this moment.

    Raises:
        StaleSnapshotError: the PF is gone.
        SysfsReadError: something of it cannot be read.
    """
    found = read_one(sysfs, pf, netlink, reader)
    if found is None:
        raise StaleSnapshotError(f"{pf} is not there any more; look and plan again")
    return found


def address_of(work: PfApply, function: FunctionRef) -> PciAddress:
    """Return the address of a step's function.

    Raises:
        StaleSnapshotError: the function is not there, or has another address than in the plan.
    """
    if function.index is None:
        return function.pf
    if work.places is None:
        work.places = work.machine.sysfs.vf_addresses(function.pf)
    return expect_place(function, work.places.get(function.index))

"""This machine as the verbs use it: its sysfs, its netlink, one look at it, its journal, and the wish to stop."""

import argparse
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from pathlib import Path

from virtfn_host.cli.output import Output
from virtfn_host.cli.policy import UsageError
from virtfn_host.core.turn.policy import names_macs, netdevs_named
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import PolicyConfig
from virtfn_host.core.values.model import InUse, Inventory
from virtfn_host.core.values.reasons import Reason
from virtfn_host.linux.act.journal import Journal
from virtfn_host.linux.errors import HostError
from virtfn_host.linux.look.inventory import read_inventory
from virtfn_host.linux.look.other_names import AskedNames, asked_names
from virtfn_host.linux.netlink.asks import Netlink
from virtfn_host.linux.read.onelook import OneLook
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.linux.touch.reader import Reader
from virtfn_host.linux.use.lock import evidence
from virtfn_host.linux.use.stuck import blocked_write


def sysfs_of(options: argparse.Namespace) -> Sysfs:
    """Return the sysfs of the machine that the options name.

    Raises:
        UsageError: it has no PCI bus.
    """
    sysfs = _sysfs(options)
    devices = sysfs.sys / "bus/pci/devices"
    if sysfs.names(devices) is None:
        raise UsageError(f"there is no {devices}: this machine has no PCI bus, or /sys is not mounted here")
    return sysfs


def boot_id_of(options: argparse.Namespace) -> str:
    """Return the ID of this boot, or UNKNOWN, also of a machine without a PCI bus."""
    return _sysfs(options).boot_id()


def _sysfs(options: argparse.Namespace) -> Sysfs:
    return Sysfs(*places(options.root.absolute(), os.environ))  # our child processes have / as working directory


PLACES = ("VIRTFN_SYS", "VIRTFN_DEV", "VIRTFN_PROC")
"""Variables that name the node's /sys, /dev and /proc where they are mounted elsewhere, as in the container `host`."""


def places(root: Path, environ: Mapping[str, str]) -> tuple[Path, Path, Path]:
    """Return the paths of sys, dev and proc below a root; for /, the environment may name others."""
    named = (environ.get(name, "") if root == Path("/") else "" for name in PLACES)
    below = (root / "sys", root / "dev", root / "proc")
    return tuple(Path(path).absolute() if path else own for path, own in zip(named, below, strict=True))  # type: ignore[return-value]


@contextmanager
def netlink_of(sysfs: Sysfs) -> Iterator[Netlink]:
    """Yield a connection to rtnetlink, and end it."""
    netlink = Netlink(sysfs.proc)
    try:
        yield netlink
    finally:
        netlink.close()


def must_be_root(sysfs: Sysfs) -> None:
    """Refuse to go on where sysfs cannot be written.

    Raises:
        HostError: this is so.
    """
    probe = sysfs.sys / "bus/pci/drivers_probe"
    if os.geteuid() and not os.access(probe, os.W_OK):
        raise HostError(f"only root may write {probe}; run it as root")


def look(
    sysfs: Sysfs, output: Output, *, links: bool = False, policies: Sequence[PolicyConfig] = (), macs: bool = False
) -> tuple[Inventory, InUse]:
    """Read inventory and uses, also while another program's write is blocked; only our writes would queue behind it.

    Args:
        macs: ask for each permanent MAC. Sysfs has it only where no other one is set, as in a bond.
    """
    with netlink_of(sysfs) as netlink:
        seen = OneLook(sysfs)
        asked = asked_names(netdevs_named(policies), netlink)
        inventory = look_once(
            seen,
            netlink if links else None,
            asked=asked,
            guids=netlink,
            macs=netlink if macs or names_macs(policies) else None,
        )
        tell_of_blocked_write(sysfs, inventory, output)
        return inventory, evidence(seen, inventory, name_processes=True, netlink=netlink)


def tell_of_blocked_write(sysfs: Sysfs, inventory: Inventory, output: Output) -> None:
    """Complain of a write of another program that is blocked."""
    if (stuck := blocked_write(sysfs, inventory)) is not None:
        output.complain(stuck.text, Reason.STUCK)


def look_once(
    sysfs: Sysfs,
    netlink: Netlink | None = None,
    only: Set[PciAddress] | None = None,
    *,
    asked: AskedNames | None = None,
    guids: Netlink | None = None,
    macs: Netlink | None = None,
) -> Inventory:
    """Look at the machine through a reader with a deadline; see `read_inventory`."""
    reader = Reader()
    try:
        return read_inventory(sysfs, reader, netlink, only, asked, guids, macs)
    finally:
        reader.close()


def journal_of(options: argparse.Namespace) -> Journal:
    """Return the journal of this machine."""
    return Journal(journal_file(options), sysfs_of(options).boot_id)


def journal_file(options: argparse.Namespace) -> Path:
    """Return the path of the journal."""
    path: Path = options.root / "var/lib/virtfn/journal.json"
    return path


@contextmanager
def asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C, a lost terminal or SIGTERM end the work before its next step, never inside one.

    A second signal ends it at once.
    """
    asked: list[int] = []

    def ask(number: int, _: object) -> None:
        asked.append(number)
        signal.signal(number, former[signal.Signals(number)])

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    former = {number: signal.signal(number, ask) for number in numbers}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)

"""The container that removes virtfn's files from its node, when `helm uninstall` has deleted everything else.

It runs twice in one pod: as an init container, so that the pod is ready when the node is clean, and once more when the
pod ends, because a process of virtfn that was still ending may have written. It has no capability, no token and no
network, and touches no device.

The journal of functions that are not given back stays: without it nobody could give them back. Folders stay, too: they
are mounted here and cannot be removed from within. They are empty, and those below /run go with the next boot.
"""

import argparse
import logging
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from virtfn_host.linux.act.journal import Journal
from virtfn_host.linux.act.machine import only_writer
from virtfn_host.linux.act.unit import BootUnit
from virtfn_host.linux.errors import AnotherWriterError, HostError, JournalUnreadableError
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.logs.start import LoggedArguments, add_log_options, start_log

STATE = Path("var/lib/virtfn")
FOLDERS = (STATE, Path("var/lib/virtfn-grants"), Path("run/virtfn"), Path("run/virtfn-ledger"))
"""Folders in which all is virtfn's."""

SOCKETS = Path("var/lib/kubelet/device-plugins")
"""Folder with sockets of all device plugins; virtfn's begin with its name."""

PATIENCE = 60.0
"""Seconds to wait until the host process, which alone may write the journal, has ended."""

LOOK = 0.5
"""Seconds between two attempts; no event tells that a lock is free."""

log = logging.getLogger("virtfn.clean-up")


def main() -> None:
    """Remove the files, or wait for SIGTERM before."""
    options = _arguments().parse_args()
    start_log(options)
    if options.at_the_end:
        signals = {signal.SIGTERM, signal.SIGINT}
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        signal.sigwait(signals)
    sysfs = Sysfs(Path("/sys"), Path("/dev"), Path("/proc"))
    patience = 0.0 if options.at_the_end else PATIENCE
    try:
        clean(options.root, Journal(options.root / STATE / "journal.json", sysfs.boot_id), patience)
    except (HostError, OSError) as error:
        log.error("this node is not clean: %s", error)
        sys.exit(1)


def clean(root: Path, journal: Journal, patience: float = 0.0) -> None:
    """Remove what is left of virtfn below `root`; keep the journal of what is not given back.

    Raises:
        AnotherWriterError: another process of virtfn still writes after `patience` seconds.
        OSError: something could not be removed.
    """
    unit = BootUnit(root=root)
    if unit.archive.parent.is_dir() and (root / unit.units).is_dir():
        unit.remove()
    until = time.monotonic() + patience
    while True:
        try:
            with only_writer(journal.path.parent):
                kept = _kept(journal)
                for path in _files(root, kept):
                    path.unlink(missing_ok=True)
                    log.info("removed %s", path)
                return
        except AnotherWriterError:
            if time.monotonic() >= until:
                raise
        time.sleep(LOOK)


def _kept(journal: Journal) -> tuple[Path, ...]:
    """Return the journal where it is needed, and say why."""
    try:
        left = journal.originals()
    except JournalUnreadableError as error:
        log.warning("%s stays: %s", journal.path, error)
        return (journal.path,)
    for original in left:
        log.warning("%s is not given back; the journal stays for it", original.address)
    return (journal.path,) if left else ()


def _files(root: Path, kept: Iterable[Path]) -> Iterator[Path]:
    for folder in FOLDERS:
        if (root / folder).is_dir():
            yield from (path for path in sorted((root / folder).iterdir()) if path not in kept and not path.is_dir())
    if (root / SOCKETS).is_dir():
        yield from sorted((root / SOCKETS).glob("virtfn*"))


def _arguments() -> argparse.ArgumentParser:
    parser = LoggedArguments(prog="virtfn-clean-up", description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--root", type=Path, default=Path("/host"), help="the node's root, as far as it is mounted here"
    )
    parser.add_argument("--at-the-end", action="store_true", help="wait for SIGTERM first")
    add_log_options(parser)
    return parser


if __name__ == "__main__":
    main()

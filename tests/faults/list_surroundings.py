"""Faults of files and neighbours: journal, pool file, ledger, kubelet, host process, sysfs (13.4, 13.10, 13.13)."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import outside
from fault import Fault, Policy, and_other, fast, on_kernel, the_same
from faulty_node import FaultyNode

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.envelope import checksum_of
from virtfn_host.core.values.offered import Ledger
from virtfn_host.core.values.reasons import Reason
from virtfn_host.linux import poolfile
from virtfn_host.linux.act import journal
from virtfn_host.linux.act.machine import only_writer


def of_a_newer_version(good: str) -> str:
    """Return the journal with `needs`: it cannot be understood without a field that this version does not know."""
    document = {**json.loads(good), "needs": ["originals.eswitch"]}
    return json.dumps({**document, "checksum": checksum_of(document)})


def journal_says(change: Callable[[str], str]) -> Callable[[FaultyNode], AbstractContextManager[None]]:
    """Change the journal, as another program, a full disk or a newer version does."""

    @contextmanager
    def written(node: FaultyNode) -> Iterator[None]:
        good = node.journal.read_text()
        node.journal.write_text(change(good))
        yield
        node.journal.write_text(good)

    return written


@contextmanager
def journal_read_only(node: FaultyNode) -> Iterator[None]:
    """Make the journal's folder read-only."""
    if node.fake:

        def refuse(*_: Any) -> None:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

        with patch.object(journal, "write_atomically", refuse):
            yield
        return
    folder = str(node.journal.parent)
    with outside.mounted_over(folder, folder, "ro"):
        yield


@contextmanager
def pools_unwritable(node: FaultyNode) -> Iterator[None]:
    """Replace the folder of the pool file by a file."""
    folder = node.pools_file.parent
    folder.rename(folder.with_name("away"))
    folder.write_text("")
    yield
    folder.unlink()
    folder.with_name("away").rename(folder)


@contextmanager
def ledger_broken(node: FaultyNode) -> Iterator[None]:
    node.ledger_file.write_text("half a led")
    yield
    poolfile.write_ledger(node.ledger_file, Ledger(boot_id=node.sysfs.boot_id(), allocations=()))


@contextmanager
def kubelet_away(node: FaultyNode) -> Iterator[None]:
    node.neighbours.kubelet_away = True
    yield
    node.neighbours.kubelet_away = False


@contextmanager
def host_away(node: FaultyNode) -> Iterator[None]:
    """Move the socket away, so that nothing listens."""
    away = node.socket.with_name("away.sock")
    node.socket.rename(away)
    yield
    away.rename(node.socket)


@contextmanager
def another_writer(node: FaultyNode) -> Iterator[None]:
    """Lock the node as another virtfn process does; the host process of this agent cannot start then."""
    with only_writer(node.journal.parent), host_away(node):
        yield


def unreadable(which: str, name: str) -> Callable[[FaultyNode], AbstractContextManager[None]]:
    """Return a context in which an attribute exists and cannot be read."""

    @contextmanager
    def spoiled(node: FaultyNode) -> Iterator[None]:
        with _unreadable(node, Path(node.sysfs.device(PciAddress.parse(node.named(which)), name))):
            yield

    return spoiled


@contextmanager
def _unreadable(node: FaultyNode, path: Path) -> Iterator[None]:
    if not node.fake:
        # Reading this file fails: nothing is mapped at the beginning of a process's memory.
        with outside.mounted_over(str(path.resolve()), "/proc/1/mem"):
            yield
        return
    text = path.read_text()
    path.unlink()
    path.mkdir()
    yield
    path.rmdir()
    path.write_text(text)


def other_too(node: FaultyNode) -> Sequence[Policy]:
    return and_other(count=1, driver="vfio-pci")(node)


def three(node: FaultyNode) -> Sequence[Policy]:
    return (fast(node, count=3),)


KUBELET = Reason.KUBELET_UNREACHABLE

FAULTS = (
    Fault(
        name="the journal is cut off",
        section="13.4",
        provoke=journal_says(lambda good: good[: len(good) // 2]),
        reason=Reason.JOURNAL_UNREADABLE,
        message="the journal .*/journal.json cannot be read: .*; it is kept as it is, and nothing is touched",
    ),
    Fault(
        name="the journal is of a newer version",
        section="13.13",
        provoke=journal_says(of_a_newer_version),
        reason=Reason.JOURNAL_UNREADABLE,
        message="the journal .*/journal.json cannot be read: .*'originals.eswitch', which only a newer version",
    ),
    Fault(
        name="the journal cannot be written",
        section="13.10",
        provoke=journal_read_only,
        asked=other_too,
        after=the_same,
        words=("apply",),
        reason=Reason.JOURNAL_UNREADABLE,
        message="^{other}: .*the journal .*/journal.json cannot be written: .*Read-only file system",
    ),
    Fault(
        name="an attribute of a VF does not read",
        section="13.10",
        provoke=unreadable("{vf}", "driver_override"),
        asked=three,
        after=the_same,
        reason=Reason.UNREADABLE,
        message="^{pf}: .*/{vf}/driver_override could not be read: ",
    ),
    Fault(
        name="an attribute of a PF does not read",
        section="13.10",
        provoke=unreadable("{other}", "vendor"),
        asked=other_too,
        after=the_same,
        reason=Reason.UNREADABLE,
        message="^{other}: .*/{other}/vendor could not be read: .*; it is unknown whether the policy matches it",
    ),
    Fault(
        name="another virtfn process writes on this node",
        section="13.13",
        provoke=another_writer,
        asked=on_kernel,
        words=("apply",),
        reason=Reason.ANOTHER_WRITER,
        message=r"another virtfn process writes on this node \(it has .*/var/lib/virtfn locked\); wait for it",
        told=(Reason.HOST_UNREACHABLE, r"^no host process on .*host\.sock"),
    ),
    Fault(
        name="the host process is away",
        section="13.4",
        provoke=host_away,
        words=(),
        reason=Reason.HOST_UNREACHABLE,
        message=r"^no host process on .*host\.sock: No such file",
    ),
    Fault(
        name="the kubelet does not answer",
        section="13.13",
        provoke=kubelet_away,
        asked=on_kernel,
        words=(),
        reason=KUBELET,
        message="^{vf}: cannot go .*the kubelet does not answer, so the holder is unknown",
    ),
    Fault(
        name="the ledger of the device plugin is broken",
        section="13.13",
        provoke=ledger_broken,
        asked=on_kernel,
        words=(),
        reason=Reason.POOL_FILE_UNREADABLE,
        message=r"ledger\.json cannot be read",
    ),
    Fault(
        name="the pool file cannot be written",
        section="13.10",
        provoke=pools_unwritable,
        asked=on_kernel,
        words=(),
        reason=Reason.POOL_FILE_UNREADABLE,
        message=r"pools\.json cannot be (read|written)",
    ),
)

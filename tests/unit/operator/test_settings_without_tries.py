"""While it is not known how often a setting was tried, none is set: a driver that drops it would be asked for ever."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from clocked_node import set_up

from virtfn_host.core.values.model import VfLink
from virtfn_host.linux import files

if TYPE_CHECKING:
    from pathlib import Path

    from clocked_node import Clocked

ASKED = [({"vlan": 100}, None), ({"trust": True}, 9000), (None, 9000)]
"""Link settings and MTUs that the driver does not make."""


def settings(clocked: Clocked) -> int:
    return sum("rtnetlink" in path for path, _ in clocked.node.kernel.writes)


def garbage(file: Path) -> None:
    file.write_text("{")


def folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def of_others(file: Path) -> None:
    file.chmod(0o666)


def file_of(clocked: Clocked) -> Path:
    return clocked.node.host.machine.journal.path.with_name("tries.json")


def ask(clocked: Clocked, link: dict[str, Any] | None, mtu: int | None) -> None:
    """Ask for settings of which the driver makes none."""
    set_up(clocked)
    clocked.node.kernel.instead.link = lambda _: VfLink()
    clocked.node.kernel.instead.mtu = lambda _, now: now
    pool = {"resourceName": "fast", "driver": "vfio-pci", **({"link": link} if link else {})}
    clocked.policies(("fast", 1, [pool]), mtu=mtu)


@contextmanager
def unwritable(clocked: Clocked, number: int) -> Iterator[None]:
    """Let every write of the file fail, and no other."""
    write = files.write_atomically

    def refuse(path: Path, *others: Any) -> None:
        if path == file_of(clocked):
            raise OSError(number, os.strerror(number))
        write(path, *others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("virtfn_host.linux.documents.write_atomically", refuse)
        yield


@pytest.mark.parametrize("damage", [garbage, folder, of_others])
@pytest.mark.parametrize(("link", "mtu"), ASKED)
async def test_where_they_cannot_be_read_nothing_is_set(
    clocked: Clocked, damage: Callable[[Path], None], link: dict[str, Any] | None, mtu: int | None
) -> None:
    ask(clocked, link, mtu)
    await clocked.turns(6)
    damage(file_of(clocked))
    before = settings(clocked)
    await clocked.turns(60, 60.0)
    assert settings(clocked) == before
    assert clocked.ready[:2] == ("False", "Unreadable")
    assert "no link setting or MTU is set until it is mended or removed" in clocked.ready[2]
    assert clocked.ready[2].count("tries.json") == 1
    blocked = clocked.node.status["plan"]["blocked"]
    assert [it["reason"] for it in blocked] == ["Unreadable"]


@pytest.mark.parametrize("damage", [garbage, folder, of_others])
async def test_when_they_are_removed_it_goes_on(clocked: Clocked, damage: Callable[[Path], None]) -> None:
    ask(clocked, {"vlan": 100}, 9000)
    await clocked.turns(6)
    damage(file_of(clocked))
    await clocked.turns(6)
    clocked.node.kernel.instead.link = lambda asked: asked
    clocked.node.kernel.instead.mtu = lambda asked, _: asked
    file_of(clocked).rmdir() if file_of(clocked).is_dir() else file_of(clocked).unlink()
    await clocked.turns(6)
    assert clocked.ready[:2] == ("True", "Converged")
    assert not file_of(clocked).exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize(("link", "mtu"), ASKED)
async def test_where_they_cannot_be_written_the_host_process_refuses(
    clocked: Clocked, number: int, link: dict[str, Any] | None, mtu: int | None
) -> None:
    ask(clocked, link, mtu)
    await clocked.turns(6)
    file_of(clocked).unlink()
    before = settings(clocked)
    with unwritable(clocked, number):
        await clocked.turns(60, 60.0)
        assert settings(clocked) == before
        assert clocked.ready[:2] == ("False", "Unreadable")
        assert f"tries.json cannot be written: {os.strerror(number)}" in clocked.ready[2]
    await clocked.turns(2, 60.0)
    assert settings(clocked) > before
    assert clocked.ready[:2] == ("False", "DriverMadeOther")


async def test_what_is_set_as_asked_leaves_no_file(clocked: Clocked) -> None:
    set_up(clocked)
    pool = {"resourceName": "fast", "driver": "vfio-pci", "link": {"vlan": 100, "trust": True}}
    clocked.policies(("fast", 2, [pool]))
    await clocked.turns(6)
    for mtu in (4000, 9000):
        clocked.policies(("fast", 2, [pool]), mtu=mtu)
        await clocked.turns(6)
        assert clocked.ready[:2] == ("True", "Converged")
        assert not file_of(clocked).exists()

"""Changes of files are told by the kernel where it does that; where it does not, looking finds them all the same."""

import asyncio
import errno
import os
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from plugin_node import FAST, SLOW, Node, plugin_node

from virtfn_deviceplugin import events as events_module
from virtfn_deviceplugin import manager as manager_module
from virtfn_deviceplugin.events import MISSES, FileEvents

NEVER = 1e6


@pytest.fixture
async def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Node]:
    """A plugin that looks at nothing unless it is told."""
    monkeypatch.setattr(manager_module, "LOOK_EVERY", NEVER)
    monkeypatch.setattr(manager_module, "CHECK_EVERY", NEVER)
    async with plugin_node(tmp_path) as made:
        yield made


async def test_a_pool_file_that_comes_changes_and_is_replaced_is_told(told: Node) -> None:
    told.publish(told.pool())
    await told.all_healthy()
    told.publish(told.pool(), told.pool(SLOW, 1))
    await told.all_healthy(SLOW)
    told.pools.unlink()
    told.publish(told.pool_without(told.vfs()[0]))
    await told.all_healthy(FAST, 2)


async def test_a_kubelet_that_restarts_is_told(told: Node) -> None:
    told.publish(told.pool())
    for _ in range(3):
        await told.all_healthy()
        await told.kubelet.stop()
        await told.kubelet.start()
    await told.all_healthy()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOSPC, errno.ENOSYS, errno.EACCES])
async def test_where_none_is_left_everything_goes_on(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(events_module, "_inotify", refused)
    await expect_all_seen_by_looking(tmp_path, monkeypatch)


async def test_where_it_tells_nothing_everything_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe2(os.O_NONBLOCK)
    monkeypatch.setattr(events_module, "_inotify", lambda _: reading)
    await expect_all_seen_by_looking(tmp_path, monkeypatch)
    os.close(writing)


async def expect_all_seen_by_looking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manager_module, "LOOK_EVERY", 0.02)
    monkeypatch.setattr(manager_module, "CHECK_EVERY", 0.05)
    async with plugin_node(tmp_path) as node:
        for count in (3, 2) * MISSES:
            node.publish(node.pool() if count == 3 else node.pool_without(node.vfs()[0]))
            await node.all_healthy(FAST, count)
        await node.kubelet.stop()
        await node.kubelet.start()
        await node.all_healthy(FAST, 2)
        assert not node.manager._events.heard_of


def event(mask: int, name: bytes = b"") -> bytes:
    padded = name + b"\0" * (16 - len(name)) if name else b""
    return struct.pack("iIII", 1, mask, 0, len(padded)) + padded


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes], object]]:
    """What an open `FileEvents` reads instead of inotify; write to it."""
    reading, writing = os.pipe2(os.O_NONBLOCK)
    monkeypatch.setattr(events_module, "_inotify", lambda _: reading)
    yield lambda data: os.write(writing, data)
    os.close(writing)


@pytest.mark.parametrize(
    ("data", "wakes", "goes_on"),
    [
        (event(0x80, b"pools.json"), True, True),
        (event(0x200, b"kubelet.sock"), True, True),
        (event(0x80, b"pools.json.new"), False, True),
        (event(0x100, b"kubelet_internal"), False, True),
        (event(0x100, b"other") + event(0x8, b"pools.json"), True, True),
        (event(0x4000), True, True),
        (event(0x400), True, False),
        (event(0x800), True, False),
        (event(0x8000), True, False),
    ],
    ids=["replaced", "removed", "another", "the kubelet's", "two", "overflow", "no folder", "moved away", "unmounted"],
)
async def test_only_what_is_of_our_files_wakes(
    data: bytes, wakes: bool, goes_on: bool, pipe: Callable[[bytes], object], tmp_path: Path
) -> None:
    events = FileEvents(tmp_path / "pools.json", tmp_path / "kubelet.sock")
    with events.open():
        pipe(data)
        waiting = asyncio.create_task(events.wait(NEVER if wakes else 0.05))
        async with asyncio.timeout(10):
            await waiting
        assert events._heard is wakes
        assert events.heard_of is goes_on


@pytest.mark.parametrize("told_every", [1, 2, MISSES])
async def test_one_miss_now_and_then_is_no_cause_to_give_it_up(
    told_every: int, pipe: Callable[[bytes], object], tmp_path: Path
) -> None:
    events = FileEvents(tmp_path / "pools.json")
    with events.open():
        for number in range(19):
            if number % told_every == 0:
                pipe(event(0x80, b"pools.json"))
            events.looked(changed=True)
        assert events.heard_of
        for _ in range(MISSES + 1):
            events.looked(changed=False)
        assert events.heard_of
        for _ in range(MISSES):
            assert events.heard_of
            events.looked(changed=True)
        assert not events.heard_of


async def test_nothing_stays_open(tmp_path: Path) -> None:
    def opened() -> int:
        links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        return sum("inotify" in str(link.readlink()) for link in links)

    before = opened()
    for _ in range(3):
        with FileEvents(tmp_path / "pools.json").open():
            assert opened() == before + 1
    with FileEvents(tmp_path / "nowhere/pools.json").open():
        pass
    assert opened() == before

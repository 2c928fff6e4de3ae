"""Grants that another program removes or spoils while the plugin runs: no answer goes out without its note on disk."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import gone_files
import pytest
from plugin_node import FAST, Node

from virtfn_deviceplugin.grant.grantfile import GrantFile
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.extras import Cdi, Extras
from virtfn_host.core.values.offered import DevicePool, Grant
from virtfn_host.linux import appended, poolfile
from virtfn_host.linux.appended import GrowingFile
from virtfn_host.linux.errors import DocumentError


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appended, "WRITING", 0.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "grants.json"


def grant(number: int, group: int = 12) -> Grant:
    address = PciAddress(0, 1, number, 0)
    return Grant(address=address, resource_name="x/y", driver="vfio-pci", nodes=(f"/dev/vfio/{group}",), boot_id="b")


def in_file(path: Path) -> list[Grant]:
    found = poolfile.read_grants(path)
    return [] if found is None else sorted(found.grants, key=lambda one: one.address)


def later(path: Path) -> None:
    """Give the file another time: the kernel's clock for files ticks only every few milliseconds."""
    os.utime(path, (1, 1))


def with_another_byte(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"vfio-pci", b"vfio-pcj", 1))
    later(path)


def writable_for_all(path: Path) -> None:
    path.chmod(0o666)
    later(path)


GONE: dict[str, Callable[[Path], object]] = {
    **gone_files.GONE,
    "damaged": lambda path: path.write_text("{"),
    "cut off": lambda path: os.truncate(path, path.stat().st_size - 9),
    "a byte made other": with_another_byte,
    "made writable for all": writable_for_all,
}


def is_asked_and_looks(file: GrantFile) -> None:
    file.of(grant(0).address)
    file.look_after()


THEN: dict[str, Callable[[GrantFile], object]] = {
    "looks": lambda file: file.look_after(),
    "grants the same": lambda file: file.note([grant(1)]),
    "grants all again": lambda file: file.note([grant(0), grant(1)]),
    "is asked and looks": is_asked_and_looks,
    "puts nothing back": lambda file: file.put_back({}),
}


@pytest.mark.parametrize("gone", GONE.values(), ids=GONE)
@pytest.mark.parametrize("then", THEN.values(), ids=THEN)
def test_what_is_known_is_written_anew_and_said_once(
    path: Path, gone: Callable[[Path], object], then: Callable[[GrantFile], object], caplog: pytest.LogCaptureFixture
) -> None:
    file = GrantFile(path)
    file.load()
    file.note([grant(0)])
    file.note([grant(1)])
    gone(path)
    then(file)
    assert in_file(path) == [grant(0), grant(1)]
    inode = path.stat().st_ino
    file.look_after()
    file.note([grant(1)])
    assert path.stat().st_ino == inode
    assert caplog.text.count("was changed or removed by another program; it is written anew") == 1


def test_a_file_that_is_whole_is_not_written_again_and_none_is_made_of_nothing(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = GrantFile(path)
    file.load()
    file.look_after()
    assert not path.exists()
    file.note([grant(0)])
    before = path.stat()
    file.look_after()
    assert path.stat() == before
    assert caplog.text == ""


def test_an_unreadable_file_that_says_nothing_that_this_process_knows_is_left(path: Path) -> None:
    path.with_name("grants.json.unreadable").mkdir()  # so it cannot be set aside
    (path.with_name("grants.json.unreadable") / "x").touch()
    path.write_text("{")
    file = GrantFile(path)
    file.load()
    file.look_after()
    assert path.read_text() == "{"


@pytest.mark.parametrize("then", THEN.values(), ids=THEN)
def test_it_is_written_as_soon_as_its_place_is_free_and_the_refusals_are_said_once(
    path: Path, then: Callable[[GrantFile], object], caplog: pytest.LogCaptureFixture
) -> None:
    file = GrantFile(path)
    file.note([grant(0), grant(1)])
    path.unlink()
    path.mkdir()
    for _ in range(3):
        file.look_after()
    assert caplog.text.count("cannot be written") == 1
    with pytest.raises(poolfile.PoolFileError, match="cannot be written"):
        file.note([grant(0)])
    path.rmdir()
    then(file)
    assert in_file(path) == [grant(0), grant(1)]


def test_what_another_process_wrote_is_taken_over_and_not_written_again(path: Path) -> None:
    first, second = GrantFile(path), GrantFile(path)
    first.note([grant(0)])
    second.load()
    second.note([grant(1)])
    before = path.stat()
    first.look_after()
    assert path.stat() == before
    path.unlink()
    first.look_after()
    assert in_file(path) == [grant(0), grant(1)]


def full(*_: object) -> bool:
    raise DocumentError(Path("grants.json"), "written", OSError(errno.ENOSPC, "No space left on device"))


@pytest.mark.parametrize("earlier", [[], [grant(0)], [grant(0), grant(1)]], ids=len)
@pytest.mark.parametrize("again", [False, True])
def test_what_could_not_be_put_back_is_put_back_later(
    path: Path, earlier: list[Grant], again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container still has the earlier grant, and the file says another one."""
    file = GrantFile(path)
    file.load()
    file.note(earlier)
    before = file.note([grant(0, group=14)])
    with monkeypatch.context() as disk:
        disk.setattr(GrowingFile, "append", full)
        disk.setattr(GrowingFile, "replace", full)
        file.put_back(before)
    assert in_file(path)[0] == grant(0, group=14)
    if again and earlier:
        file.note(earlier)
    else:
        file.look_after()
    assert in_file(path) == earlier


# --- on a node -------------------------------------------------------------------------------------------------------


def pool(node: Node, extras: Extras) -> DevicePool:
    return DevicePool(resource_name=FAST, devices=node.pool().devices, extras=extras)


@pytest.mark.parametrize("extras", [Extras(), Extras(cdi=Cdi())], ids=["device nodes", "by CDI"])
@pytest.mark.parametrize("gone", GONE.values(), ids=GONE)
async def test_a_container_that_was_answered_starts_under_the_next_plugin_too(
    node: Node, extras: Extras, gone: Callable[[Path], object]
) -> None:
    node.publish(pool(node, extras))
    await node.all_healthy()
    vf = str(node.vfs()[0])
    await node.kubelet.allocate(FAST, vf)
    gone(node.grants)
    await node.kubelet.allocate(FAST, vf)  # for the next pod: the same grant
    await node.end_plugin()
    async with node.plugin():
        await node.all_healthy()
        await node.kubelet.pre_start(FAST, vf)


@pytest.mark.parametrize("gone", GONE.values(), ids=GONE)
async def test_the_files_about_a_function_go_with_it_under_the_next_plugin_too(
    node: Node, gone: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    node.publish(pool(node, Extras(cdi=Cdi())))
    await node.all_healthy()
    vf = str(node.vfs()[0])
    await node.kubelet.allocate(FAST, vf)
    gone(node.grants)
    await node.kubelet.allocate(FAST, vf)
    await node.end_plugin()
    (node.kubelet.folder / "kubelet_internal_checkpoint").write_text('{"Data":{"PodDeviceEntries":null}}')
    async with node.plugin() as new:
        await node.all_healthy()
        hour_later = new._ledger._now() + 3600
        monkeypatch.setattr(new._ledger, "_now", lambda: hour_later)
        assert len(list(node.specs.iterdir())) == 2
        node.publish()
        await node.kubelet.until(lambda: not [*node.specs.iterdir(), *node.device_infos.iterdir()])


async def test_a_running_plugin_mends_it_without_a_request(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    node.publish(node.pool())
    await node.all_healthy()
    await node.kubelet.allocate(FAST, str(node.vfs()[0]))
    before = poolfile.read_grants(node.grants)
    for number, gone in enumerate(GONE.values(), start=1):
        gone(node.grants)
        await node.kubelet.until(lambda: caplog.text.count("it is written anew") == number)  # noqa: B023
        assert poolfile.read_grants(node.grants) == before

"""The kubelet's folder: which kubelet is there, and whether the folder is still the node's."""

import asyncio
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from kernel import FakeKernel
from plugin_node import Node, manager_of

from virtfn_deviceplugin import manager as manager_module
from virtfn_deviceplugin.__main__ import main
from virtfn_deviceplugin.kubelet import KubeletFolder, StaleFolderError


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def mounted(proc: Path, where: Path, root: str) -> None:
    (proc / "self").mkdir(parents=True, exist_ok=True)
    other = f"30 20 0:5 / /run rw - tmpfs tmpfs rw\n31 20 8:1 /old {where}/below rw - ext4 /dev/sda1 rw\n"
    line = f"32 20 8:1 {root} {where} rw,relatime master:1 - ext4 /dev/sda1 rw\n"
    (proc / "self/mountinfo").write_text(other + line)


def test_a_folder_that_stays_is_fresh(tmp_path: Path) -> None:
    where = tmp_path / "device-plugins"
    where.mkdir()
    mounted(tmp_path / "proc", where, "/var/lib/kubelet/device-plugins")
    folder = KubeletFolder(where, tmp_path / "proc")
    (where / "x.sock").touch()
    folder.expect_fresh()


@pytest.mark.parametrize(
    ("root", "said"),
    [
        ("/var/lib/kubelet/device-plugins//deleted", "was removed on the node"),
        ("/var/lib/kubelet/device-plugins.old", "to /var/lib/kubelet/device-plugins.old, so the kubelet's new folder"),
        ("/var/lib/kubelet.bak/device-plugins", "was moved on the node"),
    ],
)  # fmt: skip
def test_a_mount_whose_folder_was_removed_or_renamed_on_the_node_is_stale(tmp_path: Path, root: str, said: str) -> None:
    where = tmp_path / "device-plugins"
    where.mkdir()
    mounted(tmp_path / "proc", where, "/var/lib/kubelet/device-plugins")
    folder = KubeletFolder(where, tmp_path / "proc")
    mounted(tmp_path / "proc", where, root)
    with pytest.raises(StaleFolderError, match=said) as stale:
        folder.expect_fresh()
    assert "this process ends, so that the container is made anew" in str(stale.value)


@pytest.mark.parametrize("remove", [shutil.rmtree, os.rmdir])
def test_a_folder_that_is_removed_while_it_is_held_is_stale(tmp_path: Path, remove: Callable[[Path], None]) -> None:
    """A mount holds it as an open file does."""
    where = tmp_path / "device-plugins"
    where.mkdir()
    held = os.open(where, os.O_RDONLY)
    folder = KubeletFolder(Path(f"/proc/self/fd/{held}"), tmp_path)
    folder.expect_fresh()
    remove(where)
    where.mkdir()
    with pytest.raises(StaleFolderError, match="was removed on the node"):
        folder.expect_fresh()
    os.close(held)


def test_a_folder_that_is_not_there_yet_is_no_stale_one(tmp_path: Path) -> None:
    KubeletFolder(tmp_path / "later", tmp_path).expect_fresh()


async def test_the_plugin_ends_by_itself_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manager_module, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(manager_module, "CHECK_EVERY", 0.01)
    where = tmp_path / "device-plugins"
    where.mkdir()
    held = os.open(where, os.O_RDONLY)
    manager = manager_of(FakeKernel(tmp_path / "root"), tmp_path / "p", tmp_path / "l", Path(f"/proc/self/fd/{held}"))
    running = asyncio.create_task(manager.run())
    await asyncio.sleep(0.1)
    assert not running.done()
    where.rmdir()
    done, _ = await asyncio.wait([running], timeout=10)
    assert running in done
    assert isinstance(running.exception(), StaleFolderError)
    assert manager.told == str(running.exception())
    assert not manager.alive
    os.close(held)


def test_the_process_ends_with_a_failure_and_its_last_words_say_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """`kubectl describe pod` shows them."""
    where = tmp_path / "device-plugins"
    where.mkdir()
    held = os.open(where, os.O_RDONLY)
    where.rmdir()
    words = {"--kubelet-dir": f"/proc/self/fd/{held}", "--health-port": "0"}
    words |= {"--ledger": str(tmp_path / "ledger.json"), "--pools": str(tmp_path / "pools.json")}
    monkeypatch.setattr("sys.argv", ["virtfn-device-plugin", *(f"{name}={value}" for name, value in words.items())])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert "was removed on the node" in caplog.messages[-1]
    os.close(held)


# --- who listens there ---------------------------------------------------------------------------------------------


def listening(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(path))
    made.listen()
    return made


def test_a_socket_that_is_made_anew_is_another_kubelet_and_a_relabelled_one_is_not(tmp_path: Path) -> None:
    folder, path = KubeletFolder(tmp_path), tmp_path / "kubelet.sock"
    assert folder.look() is None
    with listening(path):
        first = folder.look()
        assert first is not None
        path.chmod(0o700)
        os.utime(path, ns=(0, first.made_ns))
        assert folder.look() == first
    path.unlink()
    assert folder.look() is None
    with listening(path):
        assert folder.look() not in (None, first)


async def test_waiting_for_another_kubelet_ends_when_one_is_there(tmp_path: Path) -> None:
    folder, path = KubeletFolder(tmp_path), tmp_path / "kubelet.sock"
    waiting = asyncio.create_task(folder.another(None))
    await asyncio.sleep(0)
    folder.look()
    await asyncio.sleep(0)
    assert not waiting.done()
    path.touch()
    folder.look()
    async with asyncio.timeout(5):
        await waiting
        await folder.another(None)
    again = asyncio.create_task(folder.another(folder.current))
    path.unlink()
    folder.look()
    await asyncio.sleep(0)
    assert not again.done(), "nobody is not another one"
    again.cancel()


def test_how_long_nobody_was_there(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "kubelet.sock"
    folder = KubeletFolder(tmp_path, clock=clock)
    clock.time += 5
    assert folder.silent_for == 5
    path.touch()
    folder.look()
    assert folder.silent_for == 0
    folder.silent()  # a socket on which nobody listens
    clock.time += 7
    folder.silent()
    assert folder.silent_for == 7
    folder.answered()
    assert folder.silent_for == 0


async def test_a_kubelet_that_probes_and_is_not_to_be_seen_restarts_the_plugin(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is somewhere else than in this folder: another disk was mounted over it."""
    monkeypatch.setattr(manager_module, "AWAY", 0.3)
    node.publish(node.pool())
    await node.all_healthy()
    assert node.manager.alive
    await node.kubelet.stop()
    (node.kubelet.folder / "kubelet.sock").unlink(missing_ok=True)
    await node.kubelet.until(lambda: not node.manager.alive)
    assert "there is no" in node.manager.told
    await node.kubelet.start()
    await node.all_healthy()
    assert node.manager.alive

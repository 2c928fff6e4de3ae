"""The kubelet's folder: which kubelet is there, and what follows where a folder is not the node's any more."""

import asyncio
import os
import socket
from pathlib import Path

import pytest
from kernel import FakeKernel
from plugin_node import Node, manager_of

from virtfn_deviceplugin import manager as manager_module
from virtfn_deviceplugin.__main__ import main
from virtfn_deviceplugin.grant.grantfile import GrantFile
from virtfn_deviceplugin.kubelet import KubeletFolder
from virtfn_deviceplugin.ledger import LedgerFile
from virtfn_deviceplugin.manager import ServerManager
from virtfn_host.linux.read.mounted import StaleFolderError
from virtfn_host.linux.read.sysfs import Sysfs


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


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


PATHS = {"kubelet_dir": "", "pool_file": "pools.json", "ledger": "ledger.json", "grants": "grants.json"}
PATHS |= {"device_info": "", "cdi": "", "dev": "vfio"}


@pytest.mark.parametrize("gone", PATHS)
async def test_it_ends_whichever_of_its_folders_was_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    """Otherwise it would refuse every pod, or serve the old list for ever."""
    monkeypatch.setattr(manager_module, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(manager_module, "CHECK_EVERY", 0.01)
    kernel, paths = FakeKernel(tmp_path / "root"), {name: tmp_path / name / file for name, file in PATHS.items()}
    folder = paths[gone] if paths[gone].suffix == "" else paths[gone].parent
    for path in paths.values():
        (path if path.suffix == "" else path.parent).mkdir(parents=True)
    mountinfo = kernel.root / "proc/self/mountinfo"
    mountinfo.parent.mkdir(parents=True, exist_ok=True)
    mountinfo.write_text(f"32 20 8:1 /on/the/node {folder} rw - ext4 /dev/sda1 rw\n")
    manager = ServerManager(
        pool_file=paths["pool_file"],
        ledger=LedgerFile(paths["ledger"]),
        kubelet_dir=paths["kubelet_dir"],
        sysfs=Sysfs(kernel.root / "sys", tmp_path / "dev", kernel.root / "proc"),
        grants=GrantFile(paths["grants"], device_info=paths["device_info"], cdi=paths["cdi"]),
    )
    running = asyncio.create_task(manager.run())
    await asyncio.sleep(0.1)
    assert not running.done()
    mountinfo.write_text(f"32 20 8:1 /on/the/node//deleted {folder} rw - ext4 /dev/sda1 rw\n")
    with pytest.raises(StaleFolderError, match=f"^{folder} was removed on the node"):
        async with asyncio.timeout(10):
            await running
    assert not manager.alive


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

"""The folder of the host's socket is writable by root only: another user could replace the socket with his own."""

import os
from pathlib import Path

import pytest
from kernel import FakeKernel

from virtfn_host.executor import Executor
from virtfn_host.process import connections
from virtfn_host.process.serve import Host


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(Executor(FakeKernel(tmp_path / "root", pfs=0).machine()), None)


def test_the_folder_of_the_socket_is_ours_alone(tmp_path: Path, host: Host) -> None:
    made = tmp_path / "a/b/host.sock"
    with connections.Server(made, host):
        assert made.parent.stat().st_mode & 0o777 == 0o700
    volume = tmp_path / "volume"
    volume.mkdir()
    volume.chmod(0o777)  # the mode of an emptyDir
    with connections.Server(volume / "host.sock", host):
        assert volume.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_write_to_and_use_is_refused_and_left_as_it_is(tmp_path: Path, host: Host) -> None:
    for mode in (0o1777, 0o770, 0o707):
        shared = tmp_path / f"shared{mode:o}"
        shared.mkdir()
        (shared / "somebody's").touch()
        shared.chmod(mode)
        with pytest.raises(PermissionError, match="give the socket a folder of its own"):
            connections.Server(shared / "host.sock", host)
        assert shared.stat().st_mode & 0o7777 == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make folders of other users")
def test_a_folder_of_somebody_else_is_refused(tmp_path: Path, host: Host) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    with pytest.raises(PermissionError, match="belongs to user 65534"):
        connections.Server(folder / "host.sock", host)

"""Ctrl-C ends an apply between two steps; the steps that follow are reported as not tried."""

import os
import signal
from pathlib import Path

import pytest
from kernel import FakeKernel, FakeWriter

from virtfn_host.cli import doing as cli
from virtfn_host.cli.options import INTERRUPTED
from virtfn_host.cli.verbs import run
from virtfn_host.linux.act.machine import Machine

PF, VF = "0000:01:00.0", "0000:01:10.0"


class Interrupted(FakeKernel):
    """A fake kernel that sends SIGINT while the VF is unbound, as Ctrl-C does."""

    def write(self, path: Path, value: str) -> None:
        super().write(path, value)
        if path.name == "unbind":
            os.kill(os.getpid(), signal.SIGINT)


def test_the_step_that_runs_is_ended_and_the_next_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel = Interrupted(tmp_path / "root", pfs=1)
    kernel.write(kernel.devices / PF / "sriov_numvfs", "1")

    def interrupted(*_: object) -> Machine:
        machine = kernel.machine()
        assert isinstance(machine.writer, FakeWriter)
        return machine

    monkeypatch.setattr(cli, "machine_of", interrupted)
    before = signal.getsignal(signal.SIGINT)
    assert run(["bind", VF, "--root", str(kernel.root)]) == INTERRUPTED
    lines = capsys.readouterr().out.splitlines()
    (last,) = (number for number, line in enumerate(lines) if "unbind from igbvf" in line)
    assert {line[:9] for line in lines[: last + 1]} == {"done     "}
    assert {line[:9] for line in lines[last + 1 :]} == {"not tried"}
    assert signal.getsignal(signal.SIGINT) is before

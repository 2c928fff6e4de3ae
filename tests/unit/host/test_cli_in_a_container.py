"""Where /sys, /dev and /proc of the node are mounted elsewhere, the command finds them by three variables."""

from __future__ import annotations

from pathlib import Path

import pytest
from kernel import FakeKernel

from virtfn_host.cli.machine import PLACES, places
from virtfn_host.cli.verbs import run

HERE = (Path("/sys"), Path("/dev"), Path("/proc"))


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({}, HERE),
        (
            {"VIRTFN_DEV": "/host/dev", "VIRTFN_PROC": "/host/proc"},
            (Path("/sys"), Path("/host/dev"), Path("/host/proc")),
        ),
        ({"VIRTFN_SYS": "/x", "VIRTFN_DEV": "", "VIRTFN_PROC": ""}, (Path("/x"), Path("/dev"), Path("/proc"))),
    ],
)
def test_the_environment_names_the_places_of_this_machine(environ: dict[str, str], found: tuple[Path, ...]) -> None:
    assert places(Path("/"), environ) == found


@pytest.mark.parametrize("root", ["/machine", "/tmp/recorded"])
def test_a_root_that_was_given_counts_alone(root: str) -> None:
    environ = dict.fromkeys(PLACES, "/elsewhere")
    assert places(Path(root), environ) == (Path(root, "sys"), Path(root, "dev"), Path(root, "proc"))


def test_list_and_explain_see_the_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel = FakeKernel(tmp_path / "node", pfs=1)
    for name, folder in zip(PLACES, ("sys", "dev", "proc"), strict=True):
        monkeypatch.setenv(name, str(kernel.root / folder))
    assert run(["list"]) == 0
    address = next(word for word in capsys.readouterr().out.split() if word.count(":") == 2)
    assert run(["explain", address]) in (0, 1)
    assert f"function        {address}" in capsys.readouterr().out

"""`virtfn list -v`, their `--json` and `virtfn explain` show what a policy can name and that does not move."""

import json
from pathlib import Path

import pytest
from kernel import FakeKernel

from virtfn_host.cli.verbs import run
from virtfn_host.core.values.address import PciAddress

PF = PciAddress(0, 1, 0, 0)
MAC, SERIAL = "3c:fd:fe:12:34:56", "3c-fd-fe-ff-ff-12-34-56"
KNOWN = {"permanentMac": MAC, "serialNumber": SERIAL, "slot": "3-1"}


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    made = FakeKernel(tmp_path / "root", pfs=0)
    made.add_pf(PF, mac=MAC, serial=SERIAL)
    made.give_slot(PF, "3-1")
    made.write(made.devices / str(PF) / "sriov_numvfs", "1")
    return made


def test_list_shows_it_with_v(kernel: FakeKernel, capsys: pytest.CaptureFixture[str]) -> None:
    run(["list", "-v", "--root", str(kernel.root)])
    head, pf, vf = capsys.readouterr().out.splitlines()
    assert head.split()[-2:] == ["STAYS", "NAME"]
    assert f"permanentMac={MAC} serialNumber={SERIAL} slot=3-1" in pf
    assert "permanentMac" not in vf


def test_list_without_v_is_as_before(kernel: FakeKernel, capsys: pytest.CaptureFixture[str]) -> None:
    run(["list", "--root", str(kernel.root)])
    assert MAC not in capsys.readouterr().out


def test_json_has_it_under_the_names_of_a_policy(kernel: FakeKernel, capsys: pytest.CaptureFixture[str]) -> None:
    run(["list", "--json", "--root", str(kernel.root)])
    pf, vf = json.loads(capsys.readouterr().out)["functions"]
    assert {name: pf[name] for name in KNOWN} == KNOWN
    assert [vf[name] for name in KNOWN] == [None] * 3
    run(["explain", str(PF), "--json", "--root", str(kernel.root)])
    function = json.loads(capsys.readouterr().out)["function"]
    assert {name: function[name] for name in KNOWN} == KNOWN


def test_explain_says_when_to_name_which(kernel: FakeKernel, capsys: pytest.CaptureFixture[str]) -> None:
    run(["explain", str(PF), "--root", str(kernel.root)])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines if "(devices: " in line] == [[n, v] for n, v in KNOWN.items()]
    assert any("this port, whatever its name and address are" in line for line in lines)

"""`virtfn` keeps claims as the agent does: a file without uid is known by its name, and a give-back names its cause."""

from dataclasses import replace
from pathlib import Path

import pytest
from kernel import FakeKernel

from virtfn_host.cli import doing as cli
from virtfn_host.cli.options import DONE, REFUSED
from virtfn_host.cli.verbs import run
from virtfn_host.core.values.address import PciAddress
from virtfn_host.linux.act.journal import Journal

PF = PciAddress(0, 1, 0, 0)
POLICY = """\
{"kind": "SriovPolicy", "metadata": {"name": "fast"}, "spec": {"devices": [{"netdev": "eth1v00"}],
"virtualFunctions": {"count": 2, "pools": [{"resourceName": "fast"}]}}}
"""
OTHER = POLICY.replace("fast", "other").replace("eth1v00", "eth7")


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKernel:
    """One PF, whose policy was carried out, and whose netdev was renamed then."""
    made = FakeKernel(tmp_path / "root", pfs=1)
    monkeypatch.setattr(
        cli, "machine_of", lambda sysfs, path, _: replace(made.machine(), journal=Journal(path, sysfs.boot_id))
    )
    assert virtfn(made, "apply", POLICY) == DONE
    folder = made.devices / str(PF) / "net"
    (folder / "eth1v00").rename(folder / "ens1f0")
    return made


def virtfn(kernel: FakeKernel, verb: str, policy: str = "", *words: str) -> int:
    file = kernel.root / "policy.json"
    file.write_text(policy)
    return run([verb, *words, "--root", str(kernel.root), *(["-f", str(file)] if policy else [])])


def number(kernel: FakeKernel) -> int:
    return len(kernel.machine().sysfs.vf_addresses(PF))


@pytest.mark.parametrize("verb", ["plan", "apply", "verify"])
def test_a_rename_takes_nothing_away(kernel: FakeKernel, verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert virtfn(kernel, verb, POLICY) == REFUSED
    shown = capsys.readouterr()
    assert (
        "ClaimKept: 0000:01:00.0: was recognised by netdev eth1v00, and has netdev ens1f0 now" in shown.out + shown.err
    )
    assert number(kernel) == 2


def test_a_claim_of_a_cluster_is_known_by_its_name(kernel: FakeKernel, capsys: pytest.CaptureFixture[str]) -> None:
    journal = Journal(kernel.root / "var/lib/virtfn/journal.json")
    journal.note_claims(PF, [replace(claim, uid="0b7e-uid-of-the-cluster") for claim in journal.claims()])
    assert virtfn(kernel, "plan", POLICY) == REFUSED
    assert "ClaimKept" in capsys.readouterr().err


def test_plan_names_the_cause_of_what_is_given_back(kernel: FakeKernel, capsys: pytest.CaptureFixture[str]) -> None:
    virtfn(kernel, "plan", OTHER)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("0000:01:00.0: is given back, all or in part: policy fast was deleted")
    assert lines[1] == "0000:01:00.0: set sriov_numvfs 2 -> 0, detaching every VF"


def test_restore_ends_the_claim(kernel: FakeKernel) -> None:
    assert virtfn(kernel, "restore", "", "--all") == DONE
    assert number(kernel) == 0
    assert Journal(kernel.root / "var/lib/virtfn/journal.json").claims() == ()

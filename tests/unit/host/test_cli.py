"""What a person at a node sees: tables, sentences and exit statuses, never a traceback."""

import json
from pathlib import Path

import pytest
from kernel import FakeKernel

from virtfn_host.cli import BLOCKED, DONE, MACHINE_SAID_NO, NOTHING_MATCHES, USAGE, run

POLICY = """
apiVersion: virtfn.dev/v1alpha1
kind: SriovPolicy
metadata: {name: fast}
spec:
  devices: [{vendor: "8086", device: "10c9"}]
  virtualFunctions:
    count: 2
    pools: [{resourceName: fast}]
"""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    return FakeKernel(tmp_path / "root", pfs=1).root


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


def test_list_shows_functions_as_a_table(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "--root", str(machine)]) == DONE
    assert capsys.readouterr().out.splitlines() == [
        "ADDRESS       ID         CLASS  DRIVER  GROUP  NUMA  FUNCTION                 IN USE BY",
        "0000:01:00.0  8086:10c9  0200   igb     0      -     PF, 0 of 7 VFs, eth1v00",
    ]


def test_plan_prints_the_steps_and_writes_nothing(
    machine: Path, policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["plan", "--root", str(machine), "-f", str(policy)]) == DONE
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "0000:01:00.0: set sriov_numvfs 0 -> 2"
    assert not (machine / "var").exists()


def test_a_machine_without_sriov_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = FakeKernel(tmp_path / "root", pfs=0).root
    assert run(["list", "--root", str(root)]) == NOTHING_MATCHES
    assert "no function of this machine can make VFs" in capsys.readouterr().err


def test_a_place_without_sys_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "--root", str(tmp_path)]) == USAGE
    assert "/sys is not mounted" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: Pod", "want kind SriovPolicy"),
        ("a: [", "no YAML"),
        ("", "want SriovPolicy objects"),
        (POLICY.replace("count: 2", "count: -2"), "spec.virtualFunctions.count"),
    ],
)
def test_a_bad_policy_file_names_what_is_wrong(
    machine: Path, policy: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    policy.write_text(text)
    assert run(["plan", "--root", str(machine), "-f", str(policy)]) == USAGE
    assert message in capsys.readouterr().err


def test_a_policy_that_matches_nothing_has_its_own_status(machine: Path, policy: Path) -> None:
    policy.write_text(POLICY.replace("8086", "15b3"))
    assert run(["plan", "--root", str(machine), "-f", str(policy)]) == NOTHING_MATCHES


def test_a_holder_blocks_and_is_named(tmp_path: Path, policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kernel = FakeKernel(tmp_path / "root", pfs=1)
    kernel.register("vfio-pci")
    pf = next(iter(kernel.machine().sysfs.names(kernel.devices) or ()))
    kernel.write(kernel.devices / pf / "sriov_numvfs", "3")
    (vf, *_) = kernel.machine().sysfs.vf_addresses(kernel._known(pf)).values()
    kernel.write(kernel.devices / str(vf) / "driver/unbind", str(vf))
    kernel.write(kernel.devices / str(vf) / "driver_override", "vfio-pci")
    kernel.write(kernel.drivers / "vfio-pci/bind", str(vf))
    kernel.open_device(vf)
    assert run(["plan", "--root", str(kernel.root), "-f", str(policy)]) == BLOCKED
    assert f"{vf} is in use (process 4242 (python3) has its group open)" in capsys.readouterr().err


def test_verify_says_what_differs(machine: Path, policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", "--json", "--root", str(machine), "-f", str(policy)]) == MACHINE_SAID_NO
    (mismatch,) = json.loads(capsys.readouterr().out)["mismatches"]
    assert mismatch["message"] == "0000:01:00.0: has 0 VFs, wanted 2"


def test_no_verb_is_usage() -> None:
    with pytest.raises(SystemExit) as ended:
        run([])
    assert ended.value.code == USAGE


def test_explain_says_what_a_function_is_and_why_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = FakeKernel(tmp_path / "root", pfs=1, iommu=False).root
    assert run(["explain", "0000:01:00.0", "--root", str(root)]) == MACHINE_SAID_NO
    shown = capsys.readouterr().out
    assert "a PF with 0 of 7 VFs" in shown
    assert "NoIommu: the IOMMU is off" in shown


def test_explain_in_json_has_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = FakeKernel(tmp_path / "root", pfs=1, iommu=False).root
    assert run(["explain", "0000:01:00.0", "--json", "--root", str(root)]) == MACHINE_SAID_NO
    (hindrance,) = json.loads(capsys.readouterr().out)["hindrances"]
    assert hindrance["reason"] == "NoIommu"


@pytest.mark.parametrize("verb", ["explain", "bind", "restore"])
def test_a_function_that_is_not_there_is_a_sentence(
    machine: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    assert run([verb, "0000:7f:00.0", "--root", str(machine)]) == NOTHING_MATCHES
    assert "0000:7f:00.0" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["restore"], ["restore", "--all", "0000:01:00.0"]])
def test_restore_wants_one_address_or_all(machine: Path, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert run([*words, "--root", str(machine)]) == USAGE
    assert "--all" in capsys.readouterr().err


def test_restore_all_of_nothing_is_done(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["restore", "--all", "--root", str(machine)]) == DONE
    assert "nothing was ever touched" in capsys.readouterr().out


def test_what_may_not_be_read_is_a_sentence(
    machine: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.listdir", refused)
    assert run(["list", "--root", str(machine)]) == MACHINE_SAID_NO
    assert "Permission denied" in capsys.readouterr().err

"""Output and exit statuses of plan, verify, bind and restore: sentences, never a traceback."""

import errno
import json
from dataclasses import replace
from pathlib import Path

import pytest
from kernel import FakeKernel

from virtfn_host.cli import doing as cli
from virtfn_host.cli.options import BLOCKED, DONE, NOTHING_MATCHES, REFUSED, USAGE
from virtfn_host.cli.verbs import run
from virtfn_host.linux.act.journal import Journal

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
PF, VF = "0000:01:00.0", "0000:01:10.0"


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKernel:
    """One PF; the steps of `apply` go to the fake kernel."""
    made = FakeKernel(tmp_path / "root", pfs=1)
    monkeypatch.setattr(
        cli, "machine_of", lambda sysfs, path, _: replace(made.machine(), journal=Journal(path, sysfs.boot_id))
    )
    return made


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


def make_vfs(kernel: FakeKernel, number: int) -> None:
    kernel.write(kernel.devices / PF / "sriov_numvfs", str(number))


def driver(kernel: FakeKernel, address: str) -> str | None:
    link = kernel.devices / address / "driver"
    return link.readlink().name if link.is_symlink() else None


def test_plan_prints_the_steps_and_writes_nothing(
    kernel: FakeKernel, policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["plan", "--root", str(kernel.root), "-f", str(policy)]) == DONE
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{PF}: note that it is claimed by policy fast"
    assert lines[3] == f"{PF}: set sriov_numvfs 0 -> 2"
    assert not (kernel.root / "var").exists()


def test_plan_says_whom_it_disturbs(kernel: FakeKernel, policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_vfs(kernel, 1)
    run(["plan", "--root", str(kernel.root), "-f", str(policy)])
    assert capsys.readouterr().out.splitlines()[-1] == f"disturbs {VF}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: Pod", "want kind SriovPolicy"),
        ("a: [", "not valid YAML"),
        ("", "want SriovPolicy objects"),
        ("[1]", "want SriovPolicy objects"),
        (POLICY.replace("{name: fast}", "fast").replace("count: 2", "count: -2"), "spec.virtualFunctions.count"),
        (POLICY.replace("spec:", "spec:\n  priority: high"), "spec.priority"),
        (POLICY.partition("spec:")[0] + "spec: all", "spec"),
    ],
)
def test_a_bad_policy_file_names_what_is_wrong(
    kernel: FakeKernel, policy: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    policy.write_text(text)
    assert run(["plan", "--root", str(kernel.root), "-f", str(policy)]) == USAGE
    assert message in capsys.readouterr().err


def test_a_policy_file_that_is_no_text_is_usage(
    kernel: FakeKernel, policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy.write_bytes(b"\xff\xfe\x00")
    assert run(["plan", "--root", str(kernel.root), "-f", str(policy)]) == USAGE
    assert "not UTF-8 text" in capsys.readouterr().err


def test_a_policy_that_matches_nothing_has_its_own_status(
    kernel: FakeKernel, policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy.write_text(POLICY.replace("8086", "15b3"))
    assert run(["plan", "--root", str(kernel.root), "-f", str(policy)]) == NOTHING_MATCHES
    assert capsys.readouterr().err.startswith("virtfn: NoMatchingDevice: ")


def test_a_holder_blocks_and_is_named(kernel: FakeKernel, policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["apply", "--root", str(kernel.root), "-f", str(policy)]) == DONE
    (vf, *_) = kernel.machine().sysfs.vf_addresses(kernel._known(PF)).values()
    kernel.open_device(vf)
    policy.write_text(POLICY.replace("count: 2", "count: 3"))
    capsys.readouterr()
    assert run(["plan", "--root", str(kernel.root), "-f", str(policy)]) == BLOCKED
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("virtfn: VfsInUse: ")) == ("", 1)
    assert f"{vf} is in use (process 4242 (python3) has its group open)" in shown.err


def test_verify_says_what_differs(kernel: FakeKernel, policy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", "--root", str(kernel.root), "-f", str(policy)]) == REFUSED
    assert capsys.readouterr().out == f"Drifted: {PF}: has 0 VFs, wanted 2\n"
    assert run(["verify", "--json", "--root", str(kernel.root), "-f", str(policy)]) == REFUSED
    (mismatch,) = json.loads(capsys.readouterr().out)["mismatches"]
    assert mismatch["message"] == f"{PF}: has 0 VFs, wanted 2"


def test_apply_tells_each_step_in_columns_and_verify_then_agrees(
    kernel: FakeKernel, policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["apply", "--root", str(kernel.root), "-f", str(policy)]) == DONE
    lines = capsys.readouterr().out.splitlines()
    assert f"done       {PF}: set sriov_numvfs 0 -> 2" in lines
    assert all(line.startswith("done       ") for line in lines)
    assert run(["verify", "--root", str(kernel.root), "-f", str(policy)]) == DONE
    assert capsys.readouterr().out == "Converged: everything is as the policies ask\n"
    assert run(["apply", "--root", str(kernel.root), "-f", str(policy)]) == DONE
    assert capsys.readouterr().out == "nothing to do: already as asked\n"


def test_a_step_that_fails_has_its_reason_and_what_follows_is_not_tried(
    kernel: FakeKernel, policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel.fail["sriov_numvfs"] = errno.ENOMEM
    assert run(["apply", "--root", str(kernel.root), "-f", str(policy)]) == REFUSED
    lines = capsys.readouterr().out.splitlines()
    assert lines[3].startswith(f"failed     WriteRefused: {PF}: set sriov_numvfs 0 -> 2: ")
    assert lines[4].startswith(
        f"not tried  WriteRefused: {PF}: wait for 2 VFs: not tried after: {PF}: set sriov_numvfs "
    )
    assert len(lines) > 6
    assert all(line.startswith("not tried  WriteRefused: ") for line in lines[4:])
    assert not any("sriov_numvfs" in line for line in lines[5:]), "the cause is told once"


def test_bind_and_restore_one_vf(kernel: FakeKernel, capsys: pytest.CaptureFixture[str]) -> None:
    make_vfs(kernel, 2)
    assert run(["bind", VF, "--root", str(kernel.root)]) == DONE
    assert driver(kernel, VF) == "vfio-pci"
    assert f"done       VF 0 of {PF} ({VF}): bind to vfio-pci" in capsys.readouterr().out.splitlines()


def test_bind_in_json_is_one_document(kernel: FakeKernel, capsys: pytest.CaptureFixture[str]) -> None:
    make_vfs(kernel, 1)
    assert run(["bind", VF, "--json", "--root", str(kernel.root)]) == DONE
    document = json.loads(capsys.readouterr().out)
    assert {result["outcome"] for result in document["report"]["results"]} == {"done"}
    assert (document["rejected"], document["mismatches"]) == ([], [])


def test_a_driver_that_is_not_there_is_a_failed_step(kernel: FakeKernel, capsys: pytest.CaptureFixture[str]) -> None:
    make_vfs(kernel, 1)
    assert run(["bind", VF, "--driver", "no_such_driver", "--root", str(kernel.root)]) == REFUSED
    assert "\nfailed     ModuleMissing: load module no_such_driver: " in f"\n{capsys.readouterr().out}"


def test_a_read_only_sysfs_is_a_failed_step(kernel: FakeKernel, capsys: pytest.CaptureFixture[str]) -> None:
    make_vfs(kernel, 1)
    kernel.fail["unbind"] = errno.EROFS
    assert run(["bind", VF, "--root", str(kernel.root)]) == REFUSED
    assert "failed     WriteRefused: " in (shown := capsys.readouterr().out)
    assert "sysfs is mounted read-only here" in shown


def test_what_the_machine_needs_is_refused_with_its_reason(
    kernel: FakeKernel, capsys: pytest.CaptureFixture[str]
) -> None:
    (netdev,) = (kernel.devices / PF / "net").iterdir()
    route = kernel.root / "proc/1/net/route"
    route.parent.mkdir(parents=True)
    route.write_text(f"Iface\tDestination\n{netdev.name} 00000000 0100000A 0003 0 0 0 00000000 0 0 0\n")
    (kernel.root / "sys/class/net").mkdir(parents=True)
    (kernel.root / "sys/class/net" / netdev.name).symlink_to(f"../../bus/pci/devices/{PF}/net/{netdev.name}")
    assert run(["bind", PF, "--root", str(kernel.root)]) == REFUSED
    assert capsys.readouterr().err.startswith(f"virtfn: NeededByMachine: {PF}: ")
    run(["list", "--root", str(kernel.root)])
    assert f"needed: the default route goes through {netdev.name}" in capsys.readouterr().out


def test_no_verb_is_usage() -> None:
    with pytest.raises(SystemExit) as ended:
        run([])
    assert ended.value.code == USAGE


@pytest.mark.parametrize("verb", ["explain", "bind", "restore"])
def test_a_function_that_is_not_there_is_a_sentence(
    kernel: FakeKernel, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    assert run([verb, "0000:7f:00.0", "--root", str(kernel.root)]) == NOTHING_MATCHES
    assert capsys.readouterr().err.startswith("virtfn: NoMatchingDevice: 0000:7f:00.0")


@pytest.mark.parametrize("words", [["restore"], ["restore", "--all", PF]])
def test_restore_wants_one_address_or_all(
    kernel: FakeKernel, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert run([*words, "--root", str(kernel.root)]) == USAGE
    assert "--all" in capsys.readouterr().err


def test_restore_all_of_nothing_is_done(kernel: FakeKernel, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["restore", "--all", "--root", str(kernel.root)]) == DONE
    assert "virtfn has changed nothing on this machine" in capsys.readouterr().out


@pytest.mark.parametrize("serial", ["0102030405060708", "3cfdfeffff123456"])
def test_an_inventory_has_no_serial_number_and_no_network_address(
    kernel: FakeKernel, capsys: pytest.CaptureFixture[str], serial: str
) -> None:
    config = bytearray(4096)
    config[0:4], config[6], config[0x100:0x104] = bytes.fromhex("8680c910"), 0x10, bytes.fromhex("03000100")
    config[0x104:0x10C] = bytes.fromhex(serial)[::-1]
    (kernel.devices / PF / "config").write_bytes(bytes(config))
    mac = next((kernel.devices / PF / "net").glob("*/address")).read_text().strip()
    dashed = "-".join(serial[at : at + 2] for at in range(0, 16, 2))
    run(["list", "-v", "--json", "--root", str(kernel.root)])
    assert dashed in (listed := capsys.readouterr().out)
    assert mac in listed
    assert run(["inventory", "--root", str(kernel.root)]) == DONE
    shown = capsys.readouterr().out
    assert dashed not in shown
    assert mac not in shown
    assert json.loads(shown)["functions"][0]["identity"]["serial"] is not None


def test_the_domain_0000_may_be_left_out(kernel: FakeKernel, capsys: pytest.CaptureFixture[str]) -> None:
    run(["explain", "01:00.0", "--root", str(kernel.root)])
    assert capsys.readouterr().out.startswith(f"function        {PF}  8086:10c9")

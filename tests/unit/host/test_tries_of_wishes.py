"""No destructive step is carried out more than three times for one wish, whatever plan comes, in one boot."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import other_results
import pytest
from kernel import FakeKernel

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import Outcome, StepResult
from virtfn_host.core.values.steps import (
    Bind,
    FunctionRef,
    NoteClaims,
    Plan,
    SetDriverOverride,
    SetNumVfs,
    Settle,
    Step,
    Unbind,
    plan_of,
)
from virtfn_host.core.values.tries import MOST, Destruction
from virtfn_host.executor import Executor
from virtfn_host.linux.act import made, standing
from virtfn_host.linux.act.apply import apply
from virtfn_host.linux.errors import SysfsReadError, TriesUnreadableError
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.linux.touch.overrides import overrides_of
from virtfn_host.process.serve import Host

PF = PciAddress(0, 1, 0, 0)
RESIZE, UNBIND = Destruction.RESIZE, Destruction.UNBIND


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKernel:
    monkeypatch.setattr(made, "QUIET", 0.0)
    kernel = FakeKernel(tmp_path / "root", pfs=1)
    kernel.register("vfio-pci")
    return kernel


def wished(wish: str, *steps: Step) -> Plan:
    return Plan(pfs=tuple(replace(part, wish=wish) for part in plan_of(steps).pfs))


def again(kernel: FakeKernel, wish: str = "a", number: int = 2) -> list[StepResult]:
    """Ask for a number of VFs, through 0 where there are some; each time by a process that knows nothing."""
    there = len(kernel.machine().sysfs.vf_addresses(PF))
    steps: list[Step] = [SetNumVfs(pf=PF, value=0, expects=there)] if there else []
    steps += [SetNumVfs(pf=PF, value=number, expects=0), Settle(pf=PF, num_vfs=number)]
    return list(apply(wished(wish, *steps), kernel.machine()).results)


def destroyed(kernel: FakeKernel) -> int:
    return sum(path.endswith("sriov_numvfs") and value == "0" for path, value in kernel.writes)


def rebound(kernel: FakeKernel, index: int = 0, wish: str = "a") -> list[StepResult]:
    """Unbind a VF and bind it to vfio-pci, as a plan does where it is on another driver."""
    sysfs = kernel.machine().sysfs
    vf = sysfs.vf_addresses(PF)[index]
    ref = FunctionRef(pf=PF, index=index, address=vf)
    steps: list[Step] = [Unbind(function=ref, expects=driver)] if (driver := sysfs.bound_driver(vf)) else []
    if (now := override_of(sysfs, vf)) != "vfio-pci":
        steps.append(SetDriverOverride(function=ref, value="vfio-pci", expects=now))
    return list(apply(wished(wish, *steps, Bind(function=ref, driver="vfio-pci")), kernel.machine()).results)


def override_of(sysfs: Sysfs, address: PciAddress) -> str | None:
    found = overrides_of(sysfs, [address], None)[address]
    assert not isinstance(found, SysfsReadError)
    return found


def unbound(kernel: FakeKernel) -> int:
    return sum(path.endswith("/unbind") for path, _ in kernel.writes)


@pytest.mark.parametrize("kind", ["more", "fewer"])
def test_vfs_are_taken_away_three_times_and_no_more(kernel: FakeKernel, kind: str) -> None:
    kernel.instead.makes[PF] = other_results.KINDS[kind]
    said = [again(kernel) for _ in range(8)]
    assert destroyed(kernel) == MOST
    first, *others = said[-1]
    assert (first.outcome, first.reason) == (Outcome.FAILED, Reason.DRIVER_MADE_OTHER)
    assert "done 3 times for the same wish" in first.message
    assert "asked for 2, the driver made" in first.message
    assert {result.outcome for result in others} == {Outcome.NOT_TRIED}


@pytest.mark.parametrize("ends_on", ["igbvf", "igb"])
@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_vf_is_unbound_three_times_and_no_more(kernel: FakeKernel, ends_on: str, index: int) -> None:
    again(kernel, number=3)
    kernel.writes.clear()
    kernel.instead.ends_on[kernel.machine().sysfs.vf_addresses(PF)[index]] = ends_on
    for _ in range(8):
        said = rebound(kernel, index)
    assert unbound(kernel) == MOST
    assert "asked for vfio-pci, driver of" in said[0].message


def test_a_pf_that_is_handed_out_whole_is_unbound_three_times_though_its_driver_changes(kernel: FakeKernel) -> None:
    kernel.instead.ends_on[PF] = "igbvf"
    ref = FunctionRef(pf=PF, index=None, address=PF)
    for _ in range(8):
        sysfs = kernel.machine().sysfs
        driver, override = sysfs.bound_driver(PF), override_of(sysfs, PF)
        steps: list[Step] = [Unbind(function=ref, expects=driver)] if driver else []
        if override != "vfio-pci":
            steps.append(SetDriverOverride(function=ref, value="vfio-pci", expects=override))
        apply(wished("a", *steps, Bind(function=ref, driver="vfio-pci")), kernel.machine())
    assert unbound(kernel) == MOST


@pytest.mark.parametrize("wishes", [("a", "b"), ("a", "by-hand-1", "by-hand-2"), ("", "a")])
def test_each_wish_has_a_count_of_its_own(kernel: FakeKernel, wishes: tuple[str, ...]) -> None:
    kernel.instead.makes[PF] = other_results.MORE
    again(kernel, wishes[0])
    for wish in wishes:
        for _ in range(6):
            again(kernel, wish)
    assert destroyed(kernel) == MOST * len(wishes)


def test_a_wish_that_is_fulfilled_begins_anew(kernel: FakeKernel) -> None:
    for _ in range(6):  # another program changes the number each time
        assert {result.outcome for result in again(kernel)} == {Outcome.DONE}
        kernel._set_num_vfs(PF, 0)
        kernel._set_num_vfs(PF, 5)
    assert destroyed(kernel) == 5
    assert not (kernel.root / "tries.json").exists()


def test_vfs_that_are_bound_do_not_fulfil_the_wish_for_their_number(kernel: FakeKernel) -> None:
    kernel.instead.makes[PF] = other_results.MORE
    again(kernel)
    assert {result.outcome for result in rebound(kernel)} == {Outcome.DONE}
    (tried,) = kernel.machine().tries.tried()
    assert tried.number is not None
    assert tried.number.num_vfs == 7


@pytest.mark.parametrize("index", [0, 1])
def test_a_vf_that_another_one_was_repaired_beside_stays_counted(kernel: FakeKernel, index: int) -> None:
    again(kernel)
    vfs = kernel.machine().sysfs.vf_addresses(PF)
    kernel.instead.ends_on[vfs[index]] = "igbvf"
    for _ in range(4):
        for _ in range(4):
            rebound(kernel, index)
        kernel._unbind(vfs[1 - index])  # by another program
        assert rebound(kernel, 1 - index)[-1].outcome is Outcome.DONE
    (tried,) = kernel.machine().tries.tried()
    assert tried.times(UNBIND, index) == MOST
    assert tried.binding is not None


def test_the_note_of_a_claim_fulfils_nothing(kernel: FakeKernel) -> None:
    again(kernel)
    kernel.instead.ends_on[kernel.machine().sysfs.vf_addresses(PF)[0]] = "igbvf"
    for _ in range(4):
        rebound(kernel)
    apply(wished("a", NoteClaims(pf=PF, claims=())), kernel.machine())
    (tried,) = kernel.machine().tries.tried()
    assert (tried.times(UNBIND, 0), tried.binding is None) == (MOST, False)


def test_a_netdev_that_flaps_with_its_vfs_does_not_begin_anew(
    kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver sets it down when it makes VFs, and the network manager sets it up again."""
    kernel.instead.makes[PF] = other_results.FEWER
    write = kernel._set_num_vfs

    def makes(pf: PciAddress, number: int) -> None:
        write(pf, number)
        if number:
            set_flags(kernel, "0x1002")

    monkeypatch.setattr(kernel, "_set_num_vfs", makes)
    for turn in range(12):
        if turn % 3:  # a turn may come before the network manager
            set_up(kernel)
        again(kernel)
    assert destroyed(kernel) == MOST


def test_a_state_of_the_netdev_that_cannot_be_read_does_not_begin_anew(
    kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel.instead.makes[PF] = other_results.FEWER
    for turn in range(8):
        with monkeypatch.context() as patched:
            if turn in (1, 3):
                patched.setattr(standing, "own_netdev", Mock(side_effect=SysfsReadError("net", OSError(5, "x"))))
            again(kernel)
    assert destroyed(kernel) == MOST


@pytest.mark.parametrize("text", ["", "no id\n"])
def test_while_the_boot_cannot_be_read_nothing_is_destroyed_and_nothing_forgotten(
    kernel: FakeKernel, text: str
) -> None:
    kernel.instead.makes[PF] = other_results.FEWER
    for _ in range(6):
        again(kernel)
    boot_id = kernel.root / "proc/sys/kernel/random/boot_id"
    before = boot_id.read_text()
    boot_id.write_text(text)
    assert again(kernel)[0].outcome is Outcome.FAILED
    boot_id.write_text(before)
    again(kernel)
    assert destroyed(kernel) == MOST


def test_another_boot_begins_anew(kernel: FakeKernel) -> None:
    kernel.instead.makes[PF] = other_results.FEWER
    for boot in ("0b7e", "0b7f", "0b80"):
        (kernel.root / "proc/sys/kernel/random/boot_id").write_text(f"{boot}\n")
        assert kernel.machine().tries.tried() == ()
        for _ in range(6):
            again(kernel)
    assert destroyed(kernel) == MOST * 3


def driver_reloaded(kernel: FakeKernel) -> None:
    link = kernel.devices / str(PF) / "driver"
    link.rename(link.with_name("former"))  # so that the new one has another inode on any file system
    link.symlink_to("../../drivers/igb")
    link.with_name("former").unlink()


def set_up(kernel: FakeKernel) -> None:
    set_flags(kernel, "0x1003")


def set_flags(kernel: FakeKernel, flags: str) -> None:
    (netdev,) = (kernel.devices / str(PF) / "net").iterdir()
    (netdev / "flags").write_text(f"{flags}\n")


def other_card(kernel: FakeKernel) -> None:
    (kernel.devices / str(PF) / "device").write_text("0x10e6\n")


@pytest.mark.parametrize("changes", [driver_reloaded, set_up, other_card])
def test_another_machine_begins_anew(kernel: FakeKernel, changes: object) -> None:
    kernel.instead.makes[PF] = other_results.MORE
    for _ in range(6):
        again(kernel)
    assert callable(changes)
    changes(kernel)
    host = Host(Executor(kernel.machine()), reader=None)
    assert host.observe().tries == ()
    for _ in range(6):
        again(kernel)
    assert destroyed(kernel) == MOST * 2
    assert len(host.observe().tries) == 1
    host._executor.close()


@pytest.mark.parametrize("number", [1, 3, 40])
def test_what_the_kernel_refuses_is_not_counted(tmp_path: Path, number: int) -> None:
    kernel = FakeKernel(tmp_path / "root", pfs=1, total_vfs=64)
    kernel.register("vfio-pci")
    again(kernel, number=number)
    vfs = kernel.machine().sysfs.vf_addresses(PF)
    refs = [FunctionRef(pf=PF, index=index, address=vf) for index, vf in vfs.items()]
    for _ in range(6):
        kernel.fail["unbind"] = 5
        apply(wished("a", *(Unbind(function=ref, expects="igbvf") for ref in refs)), kernel.machine())
    assert kernel.machine().tries.tried() == ()  # nor the later ones, which were noted with the first


@pytest.mark.parametrize("bound", [True, False])
def test_a_number_that_the_kernel_refuses_is_counted_only_if_vfs_lost_their_driver(
    kernel: FakeKernel, bound: bool
) -> None:
    (kernel.devices / str(PF) / "sriov_drivers_autoprobe").write_text(f"{bound:d}\n")
    again(kernel)
    kernel.fail["sriov_numvfs"] = 30
    again(kernel)
    found = kernel.machine().tries.tried()
    assert [tried.times(RESIZE, None) for tried in found] == ([1] if bound else [])


@pytest.mark.parametrize("writes", [1, 2, 3])
def test_a_kill_leaves_no_step_uncounted(kernel: FakeKernel, writes: int) -> None:
    again(kernel)
    kernel.killed_after = writes
    with suppress(InterruptedError):
        again(kernel, number=3)
    kernel.killed_after = None
    (tried,) = kernel.machine().tries.tried()
    assert tried.times(RESIZE, None) == 1


def test_forty_unbinds_write_the_file_a_few_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, written = FakeKernel(tmp_path / "root", pfs=1, total_vfs=64), 0
    again(kernel, number=40)
    replaced = os.rename

    def count(*names: object, **more: object) -> None:
        nonlocal written
        written += "tries" in str(names[-1])
        replaced(*names, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "rename", count)
    vfs = kernel.machine().sysfs.vf_addresses(PF)
    refs = [FunctionRef(pf=PF, index=index, address=vf) for index, vf in vfs.items()]
    steps = [Unbind(function=ref, expects="igbvf") for ref in refs]
    results = apply(wished("a", *steps), kernel.machine()).results
    assert {result.outcome for result in results} == {Outcome.DONE}
    assert written <= 2


# --- unknown is not no -----------------------------------------------------------------------------------------------


def damaged(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))


def writable_by_others(file: Path) -> None:
    file.chmod(0o666)


def a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("damage", [damaged, writable_by_others, a_folder])
def test_a_file_that_cannot_be_read_stops_what_is_counted(kernel: FakeKernel, damage: object) -> None:
    kernel.instead.makes[PF] = other_results.MORE
    for _ in range(2):
        again(kernel)
    assert callable(damage)
    damage(kernel.root / "tries.json")
    before = len(kernel.writes)
    first = again(kernel)[0]
    assert (first.outcome, first.reason) == (Outcome.FAILED, Reason.UNREADABLE)
    assert "tries.json cannot be read" in first.message
    assert "until it is mended or removed" in first.message
    assert rebound(kernel)[0].reason is Reason.UNREADABLE
    assert len(kernel.writes) == before
    host = Host(Executor(kernel.machine()), reader=None)
    assert "tries.json cannot be read" in (host.observe().tries_error or "")
    host._executor.close()


@contextmanager
def unwritable(kernel: FakeKernel) -> Iterator[None]:
    """Let every write of the file fail, for root too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("virtfn_host.linux.documents.write_atomically", _refuse)
        yield


def _refuse(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_file_that_cannot_be_written_stops_what_is_counted(kernel: FakeKernel) -> None:
    with unwritable(kernel):
        first = again(kernel)[0]
        assert first.reason is Reason.UNREADABLE
        assert "tries.json cannot be written: No space left on device" in first.message
    assert [path for path, _ in kernel.writes] == []
    assert again(kernel)[0].outcome is Outcome.DONE


def test_the_error_has_a_reason_of_the_list() -> None:
    assert TriesUnreadableError("x").reason is Reason.UNREADABLE

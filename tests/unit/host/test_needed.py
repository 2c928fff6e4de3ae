"""The host process refuses to touch a function that the machine needs, whatever the plan says, and writes nothing."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kernel import FakeKernel

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import Outcome, StepResult
from virtfn_host.core.values.steps import Bind, FunctionRef, Probe, SetDriverOverride, SetNumVfs, Step, Unbind, plan_of
from virtfn_host.linux.act.apply import apply
from virtfn_host.linux.errors import NeededError
from virtfn_host.linux.look import needs
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.linux.use.lock import held

PF, OTHER = PciAddress(0, 1, 0, 0), PciAddress(0, 2, 0, 0)
WHOLE = FunctionRef(pf=PF, index=None, address=PF)

STEPS: tuple[Step, ...] = (
    Unbind(function=WHOLE, expects="igb"),
    SetDriverOverride(function=WHOLE, value="vfio-pci", expects=None),
    Bind(function=WHOLE, driver="vfio-pci"),
    Probe(function=WHOLE),
)


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    made = FakeKernel(tmp_path / "root", pfs=2)
    made.register("vfio-pci")
    return made


def default_route(kernel: FakeKernel, function: PciAddress, name: str = "uplink") -> None:
    """The machine's default route goes through a netdev of this function."""
    route = kernel.root / "proc/1/net/route"
    route.parent.mkdir(parents=True, exist_ok=True)
    route.write_text(f"Iface Destination Gateway Flags RefCnt Use Metric Mask\n{name} 00000000 0 1 0 0 0 00000000\n")
    link = kernel.root / f"sys/class/net/{name}"
    link.parent.mkdir(parents=True)
    link.symlink_to(f"../../devices/pci0000:00/{function}/net/{name}")


def root_disk(kernel: FakeKernel, function: PciAddress) -> None:
    """The root file system is on a disk of this function."""
    (kernel.root / "proc/1/mountinfo").write_text("22 1 259:0 / / rw shared:1 - ext4 /dev/nvme0n1 rw\n")
    for folder, name in (("dev/block", "259:0"), ("class/block", "nvme0n1")):
        (kernel.root / "sys" / folder).mkdir(parents=True)
        target = f"../../devices/pci0000:00/{function}/nvme/nvme0/nvme0n1"
        (kernel.root / "sys" / folder / name).symlink_to(target)


def carried_out(kernel: FakeKernel, *steps: Step) -> tuple[StepResult, ...]:
    return apply(plan_of(steps), kernel.machine()).results


@pytest.mark.parametrize("need", [default_route, root_disk])
@pytest.mark.parametrize("step", STEPS, ids=lambda step: type(step).__name__)
def test_no_step_touches_a_function_that_is_needed(
    kernel: FakeKernel, step: Step, need: Callable[[FakeKernel, PciAddress], None]
) -> None:
    need(kernel, PF)
    (result,) = carried_out(kernel, step)
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.NEEDED_BY_MACHINE)
    assert "is not touched, because this machine needs it: the " in result.message
    assert kernel.writes == []
    assert kernel.machine().journal.originals() == ()


def test_vfs_of_a_card_that_is_needed_come_and_go_because_the_card_itself_stays(kernel: FakeKernel) -> None:
    default_route(kernel, PF)
    made, ended = SetNumVfs(pf=PF, value=2, expects=0), SetNumVfs(pf=PF, value=0, expects=2)
    assert [result.outcome for result in carried_out(kernel, made)] == [Outcome.DONE]
    assert [result.outcome for result in carried_out(kernel, ended)] == [Outcome.DONE]


def test_vfs_are_not_ended_while_one_of_them_is_needed(kernel: FakeKernel) -> None:
    kernel._set_num_vfs(PF, 3)
    vf = kernel.machine().sysfs.vf_addresses(PF)[1]
    default_route(kernel, vf)
    (result,) = carried_out(kernel, SetNumVfs(pf=PF, value=0, expects=3))
    assert result.reason is Reason.NEEDED_BY_MACHINE
    assert kernel.writes == []
    ref = FunctionRef(pf=PF, index=0, address=kernel.machine().sysfs.vf_addresses(PF)[0])
    (result,) = carried_out(kernel, Unbind(function=ref, expects="igbvf"))
    assert result.outcome is Outcome.DONE, "another VF of the PF is nobody's need"


def test_a_pf_is_not_taken_from_its_driver_while_one_of_its_vfs_is_needed(kernel: FakeKernel) -> None:
    kernel._set_num_vfs(PF, 3)
    default_route(kernel, kernel.machine().sysfs.vf_addresses(PF)[1])
    (result,) = carried_out(kernel, Unbind(function=WHOLE, expects="igb"))
    assert result.reason is Reason.NEEDED_BY_MACHINE
    assert kernel.writes == []


def test_the_lock_is_not_to_be_had_of_one(kernel: FakeKernel) -> None:
    default_route(kernel, PF)
    with pytest.raises(NeededError, match="the default route goes through uplink"), held(kernel.machine().sysfs, [PF]):
        pass
    with held(kernel.machine().sysfs, [OTHER]):
        pass


@pytest.mark.parametrize("broken", ["mountinfo", "net/route", "net/ipv6_route", "garbage"])
def test_whoever_cannot_tell_takes_it_for_needed(kernel: FakeKernel, broken: str) -> None:
    path = kernel.root / "proc/1" / broken
    path.parent.mkdir(parents=True, exist_ok=True)
    if broken == "garbage":
        path.with_name("mountinfo").write_text("this is no kernel's\n")
    else:
        path.mkdir()  # exists, but cannot be read
    for step in STEPS:
        (result,) = carried_out(kernel, step)
        assert result.reason is Reason.NEEDED_BY_MACHINE
        assert "cannot tell" in result.message
    assert kernel.writes == []


def test_one_look_serves_all_steps_of_a_pf(kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel._set_num_vfs(PF, 7)
    looks: list[object] = []
    original = needs._file_systems

    def counted(sysfs: Sysfs) -> Iterator[tuple[PciAddress, str]]:
        looks.append(sysfs)
        return original(sysfs)

    monkeypatch.setattr(needs, "_file_systems", counted)
    vfs = kernel.machine().sysfs.vf_addresses(PF)
    refs = [FunctionRef(pf=PF, index=index, address=address) for index, address in sorted(vfs.items())]
    steps = [Unbind(function=ref, expects="igbvf") for ref in refs]
    assert {result.outcome for result in carried_out(kernel, *steps)} == {Outcome.DONE}
    assert len(looks) == 1

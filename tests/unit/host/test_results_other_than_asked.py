"""A write that succeeds with another result fails its step at once: asked for so many, the driver made so many."""

import time
from collections.abc import Callable
from pathlib import Path

import other_results
import pytest
from kernel import MATCHING, VF_IDS, FakeKernel

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import Outcome
from virtfn_host.core.values.steps import (
    Bind,
    FunctionRef,
    Probe,
    SetAutoprobe,
    SetDriverOverride,
    SetNumVfs,
    Settle,
    Step,
    Unbind,
    plan_of,
)
from virtfn_host.linux.act import made
from virtfn_host.linux.act.apply import apply

PF = PciAddress(0, 1, 0, 0)


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKernel:
    monkeypatch.setattr(made, "QUIET", 0.0)
    kernel = FakeKernel(tmp_path / "root", pfs=1)
    kernel.register("vfio-pci")
    return kernel


def ref(index: int) -> FunctionRef:
    return FunctionRef(pf=PF, index=index, address=None)


def making(number: int) -> list[Step]:
    off = SetAutoprobe(pf=PF, value=False, expects=True)
    return [off, SetNumVfs(pf=PF, value=number, expects=0), Settle(pf=PF, num_vfs=number)]


def binding(index: int, driver: str = "vfio-pci") -> list[Step]:
    override = SetDriverOverride(function=ref(index), value=driver, expects=None)
    return [override, Bind(function=ref(index), driver=driver)]


def failure(kernel: FakeKernel, *steps: Step) -> tuple[Step, Reason | None, str]:
    """The first step that failed, its reason and its message."""
    results = apply(plan_of(steps), kernel.machine()).results
    found = next(result for result in results if result.outcome is Outcome.FAILED)
    return found.step, found.reason, found.message


@pytest.mark.parametrize(
    ("makes", "asked", "comes"),
    [
        (other_results.MORE, 4, 7),
        (other_results.MORE, 1, 7),
        (lambda asked, _: asked * 2, 3, 6),
        (other_results.FEWER, 4, 3),
        (other_results.FEWER, 7, 6),
        (lambda asked, _: asked // 2, 5, 2),
        (other_results.NONE, 1, 0),
        (other_results.NONE, 4, 0),
        (other_results.NONE, 7, 0),
    ],
)
def test_another_number_of_vfs(kernel: FakeKernel, makes: Callable[[int, int], int], asked: int, comes: int) -> None:
    kernel.instead.makes[PF] = makes
    step, reason, message = failure(kernel, *making(asked), *binding(0))
    assert step == Settle(pf=PF, num_vfs=asked)
    assert reason is Reason.DRIVER_MADE_OTHER
    assert message.startswith(f"{PF}: ")
    assert f"asked for {asked}, the driver made {comes}" in message
    assert len(kernel.machine().sysfs.vf_addresses(PF)) == comes  # and nothing takes them away


def test_the_pf_that_is_down_explains_fewer_and_not_more(kernel: FakeKernel) -> None:
    kernel.instead.makes[PF] = other_results.NONE
    assert "is down, and some drivers (bnxt_en) make no VFs then" in failure(kernel, *making(2))[2]
    kernel.instead.makes[PF] = other_results.MORE
    assert "is down" not in failure(kernel, *making(2)[1:])[2]


def test_vfs_that_come_late_are_waited_for(kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made, "QUIET", 0.5)
    apply(plan_of(making(1)), kernel.machine())
    looked = 0

    def one_more(_: float) -> None:
        nonlocal looked
        looked += 1
        if looked <= 2:
            kernel._set_num_vfs(PF, 0)
            kernel._set_num_vfs(PF, 1 + looked)

    monkeypatch.setattr(time, "sleep", one_more)
    (result,) = apply(plan_of([Settle(pf=PF, num_vfs=3)]), kernel.machine()).results
    assert result.outcome is Outcome.DONE


@pytest.mark.parametrize("left", [1, 2, 3])
def test_vfs_that_are_left_after_a_write_of_0(kernel: FakeKernel, left: int, monkeypatch: pytest.MonkeyPatch) -> None:
    apply(plan_of(making(left)), kernel.machine())
    monkeypatch.setattr(kernel, "_set_num_vfs", lambda *_: None)
    step, reason, message = failure(kernel, SetNumVfs(pf=PF, value=0, expects=left), *making(4)[1:])
    assert isinstance(step, SetNumVfs)
    assert reason is Reason.DRIVER_MADE_OTHER
    assert f"asked for 0, the driver left {left}" in message


@pytest.mark.parametrize("ends_on", ["igbvf", "igb", None])
@pytest.mark.parametrize("index", [0, 2])
def test_another_driver(kernel: FakeKernel, ends_on: str | None, index: int) -> None:
    apply(plan_of(making(3)), kernel.machine())
    vf = kernel.machine().sysfs.vf_addresses(PF)[index]
    kernel.instead.ends_on[vf] = ends_on
    step, reason, message = failure(kernel, *binding(index))
    assert isinstance(step, Bind)
    assert reason is Reason.DRIVER_MADE_OTHER
    assert f"asked for vfio-pci, driver of {vf} is {ends_on or 'none'}" in message


@pytest.mark.parametrize(("index", "driver"), [(0, "vfio-pci"), (1, "vfio-pci"), (2, "igbvf")])
def test_an_override_that_does_not_take(
    kernel: FakeKernel, index: int, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("virtfn_host.linux.act.wall.Wall.expect_driver", lambda *_: None)
    apply(plan_of(making(3)), kernel.machine())
    vf = kernel.machine().sysfs.vf_addresses(PF)[index]
    kernel.instead.deaf.add(vf)
    step, reason, message = failure(kernel, *binding(index, driver))
    assert isinstance(step, SetDriverOverride)
    assert reason is Reason.DRIVER_MADE_OTHER
    assert f"asked for {driver}, driver_override of {vf} is none" in message


def test_an_override_that_is_not_cleared(kernel: FakeKernel) -> None:
    apply(plan_of([*making(1), *binding(0)]), kernel.machine())
    vf = kernel.machine().sysfs.vf_addresses(PF)[0]
    kernel.instead.deaf.add(vf)
    clear = SetDriverOverride(function=ref(0), value=None, expects="vfio-pci")
    assert f"asked for none, driver_override of {vf} is vfio-pci" in failure(kernel, clear)[2]


def test_autoprobe_that_does_not_take(kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "_write_autoprobe", lambda *_: None)
    step, reason, message = failure(kernel, *making(1))
    assert isinstance(step, SetAutoprobe)
    assert reason is Reason.DRIVER_MADE_OTHER
    assert "asked for 0, " in message


def test_a_function_that_stays_on_its_driver(kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    apply(plan_of([*making(1), *binding(0)]), kernel.machine())
    monkeypatch.setattr(kernel, "_write_unbind", lambda *_: None)
    _, reason, message = failure(kernel, Unbind(function=ref(0), expects="vfio-pci"))
    assert reason is Reason.DRIVER_MADE_OTHER
    assert "asked for none, driver of 0000:01:10.0 is vfio-pci" in message


def test_a_vfio_driver_that_the_kernel_picks_by_itself(kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    apply(plan_of(making(1)), kernel.machine())
    monkeypatch.setitem(MATCHING, VF_IDS, "vfio-pci")  # as a new_id does
    _, reason, message = failure(kernel, Probe(function=ref(0)))
    assert reason is Reason.DRIVER_MADE_OTHER
    assert "driver of 0000:01:10.0 is vfio-pci; a new_id" in message

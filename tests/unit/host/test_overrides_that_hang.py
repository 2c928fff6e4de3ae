"""A `driver_override` that hangs behind another program's blocked write (Linux 6.1) holds up no apply.

A FIFO without a partner stands in for it: its open blocks until the other end opens.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from kernel import FakeKernel, FakeSysfs

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import Outcome, StepResult
from virtfn_host.core.values.steps import Bind, FunctionRef, SetDriverOverride, Step, plan_of
from virtfn_host.linux.act.apply import apply
from virtfn_host.linux.act.machine import Machine
from virtfn_host.linux.touch.reader import Reader

PF = PciAddress(0, 1, 0, 0)
UNREADABLE = (Outcome.FAILED, Reason.UNREADABLE)
DONE = (Outcome.DONE, None)

Hang = Callable[[int], None]


class Guarded(FakeSysfs):
    """Fails a test that reads an override without a deadline."""

    def read(self, path: str | Path) -> str | None:
        """See Sysfs."""
        if Path(path).name == "driver_override":
            pytest.fail(f"{path} was read without a deadline")
        return super().read(path)


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    """A PF with three VFs, without drivers."""
    made = FakeKernel(tmp_path / "root")
    made.write(made.devices / str(PF) / "sriov_drivers_autoprobe", "0")
    made._set_num_vfs(PF, 3)
    made.writes.clear()
    return made


@pytest.fixture
def machine(kernel: FakeKernel) -> Iterator[Machine]:
    reader = Reader(deadline=0.5)
    yield replace(kernel.machine(), sysfs=Guarded(kernel), reader=reader)
    reader.close()


@pytest.fixture
def hang(kernel: FakeKernel, machine: Machine) -> Iterator[Hang]:
    """Let the reads of a VF's override hang."""
    paths: list[Path] = []

    def begin(index: int) -> None:
        paths.append(kernel.devices / str(vf(machine, index).address) / "driver_override")
        paths[-1].unlink()
        os.mkfifo(paths[-1])

    yield begin
    for path in paths:  # before the reader is closed: its child ends when the read returns
        os.close(os.open(path, os.O_RDWR))


def vf(machine: Machine, index: int) -> FunctionRef:
    return FunctionRef(pf=PF, index=index, address=machine.sysfs.vf_addresses(PF)[index])


def overrides(machine: Machine) -> list[Step]:
    return [SetDriverOverride(function=vf(machine, index), value="vfio-pci", expects=None) for index in range(3)]


def carried_out(machine: Machine, steps: list[Step]) -> tuple[StepResult, ...]:
    began = time.monotonic()
    results = apply(plan_of(steps), machine).results
    assert time.monotonic() - began < 20
    return results


def outcomes(results: tuple[StepResult, ...]) -> list[tuple[Outcome, Reason | None]]:
    return [(result.outcome, result.reason) for result in results]


def test_overrides_are_written_and_verified_with_a_deadline(machine: Machine) -> None:
    assert outcomes(carried_out(machine, overrides(machine))) == [DONE] * 3


@pytest.mark.parametrize("index", [0, 1, 2])
def test_one_that_hangs_before_the_write_is_not_written(
    kernel: FakeKernel, machine: Machine, hang: Hang, index: int
) -> None:
    steps = overrides(machine)
    hang(index)
    results = carried_out(machine, steps)
    assert outcomes(results)[index] == UNREADABLE
    assert "driver_override could not be read: no answer" in results[index].message
    assert not [path for path, _ in kernel.writes if str(vf(machine, index).address) in path]


@pytest.mark.parametrize("index", [0, 1])
def test_one_that_hangs_after_the_write_is_told_and_nothing_follows(
    kernel: FakeKernel, machine: Machine, hang: Hang, index: int
) -> None:
    steps = [*overrides(machine), Bind(function=vf(machine, index), driver="vfio-pci")]

    def before_write() -> None:
        if len(kernel.writes) == 2:  # both are written, and none is verified yet
            hang(index)

    kernel.before_write = before_write
    *results, bind = carried_out(machine, steps)
    assert outcomes(tuple(results))[index] == UNREADABLE
    assert "driver_override could not be read: no answer" in results[index].message
    assert bind.outcome is Outcome.NOT_TRIED

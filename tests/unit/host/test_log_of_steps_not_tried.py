"""A failed step is one warning, and the steps that it stops are one line: none of them repeats the cause."""

import errno
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel import FakeKernel

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.report import Outcome, Report
from virtfn_host.core.values.steps import (
    Bind,
    FunctionRef,
    SetAutoprobe,
    SetDriverOverride,
    SetNumVfs,
    Settle,
    Step,
    plan_of,
)
from virtfn_host.executor import Executor
from virtfn_host.process import serve
from virtfn_host.process.serve import Host

PFS = (PciAddress(0, 1, 0, 0), PciAddress(0, 2, 0, 0))


def steps(pf: PciAddress) -> tuple[Step, ...]:
    """Four VFs on vfio-pci: eleven steps, of which the second makes the VFs."""
    vfs = [FunctionRef(pf=pf, index=index, address=None) for index in range(4)]
    overrides = (SetDriverOverride(function=vf, value="vfio-pci", expects=None) for vf in vfs)
    binds = (Bind(function=vf, driver="vfio-pci") for vf in vfs)
    made = SetAutoprobe(pf=pf, value=False, expects=True), SetNumVfs(pf=pf, value=4, expects=0)
    return (*made, Settle(pf=pf, num_vfs=4), *overrides, *binds)


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    return FakeKernel(tmp_path / "root", pfs=2)


@pytest.fixture
def host(kernel: FakeKernel, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setattr(serve.undone, "filters", [])
    caplog.set_level(logging.INFO)
    made = Host(Executor(kernel.machine()), None)
    yield made
    made.end()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def outcomes(report: Report, outcome: Outcome) -> int:
    return [result.outcome for result in report.results].count(outcome)


@pytest.mark.parametrize(("file", "tried", "left"), [("sriov_drivers_autoprobe", 1, 10), ("sriov_numvfs", 2, 9)])
def test_a_step_that_is_refused_is_one_warning_and_the_steps_behind_it_another(
    kernel: FakeKernel, host: Host, caplog: pytest.LogCaptureFixture, file: str, tried: int, left: int
) -> None:
    kernel.fail[file] = errno.ENOMEM
    report = host.apply(plan_of(steps(PFS[0])), lambda _: None)
    assert outcomes(report, Outcome.NOT_TRIED) == left
    failed, others = warnings(caplog)
    assert failed.startswith(report.results[tried - 1].message)
    assert others == f"{PFS[0]}: {left} steps not tried"
    assert vars(caplog.records[-1])["pf"] == str(PFS[0])
    assert vars(caplog.records[-1])["outcome"] == "notTried"


def test_each_pf_has_its_own_line(kernel: FakeKernel, host: Host, caplog: pytest.LogCaptureFixture) -> None:
    kernel.fail["sriov_numvfs"] = errno.ENOMEM
    host.apply(plan_of((*steps(PFS[0]), *steps(PFS[1]))), lambda _: None)
    assert [line for line in warnings(caplog) if "not tried" in line] == [f"{PFS[0]}: 9 steps not tried"]
    assert any(record.getMessage().startswith(f"{PFS[1]}: set sriov_numvfs 0 -> 4 (done") for record in caplog.records)


def test_where_no_step_failed_the_line_has_the_cause(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    host._ending.set()
    report = host.apply(plan_of((*steps(PFS[0]), *steps(PFS[1]))), lambda _: None)
    assert outcomes(report, Outcome.NOT_TRIED) == 22
    cause = "not tried, the process is ending"
    assert warnings(caplog) == [
        f"{pf}: 11 steps not tried; the first: {pf}: set sriov_drivers_autoprobe 1 -> 0: {cause}" for pf in PFS
    ]


def test_at_level_debug_each_step_is_a_line(kernel: FakeKernel, host: Host, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    kernel.fail["sriov_numvfs"] = errno.ENOMEM
    host.apply(plan_of(steps(PFS[0])), lambda _: None)
    lines = [
        record for record in caplog.records if record.levelno == logging.DEBUG and "not tried" in record.getMessage()
    ]
    assert len(lines) == 9


def test_steps_that_all_work_are_no_warning(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    report = host.apply(plan_of(steps(PFS[0])[:3]), lambda _: None)
    assert outcomes(report, Outcome.DONE) == 3
    assert warnings(caplog) == []

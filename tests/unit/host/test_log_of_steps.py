"""The log has one line for each step that worked, up to a limit: endless requests cannot fill a disk."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel import FakeKernel

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.link import GROUPS
from virtfn_host.core.values.model import Stuck
from virtfn_host.core.values.report import Outcome
from virtfn_host.core.values.steps import Settle, plan_of
from virtfn_host.executor import Executor
from virtfn_host.logs.seldom import Seldom
from virtfn_host.process import serve
from virtfn_host.process.serve import Host

ABSENT = plan_of(Settle(pf=PciAddress(domain, 1, 0, 0), num_vfs=0) for domain in range(100))
"""Steps that succeed without a write."""


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setattr(serve.done, "filters", [Seldom(250, 3600.0)])
    made = Host(Executor(FakeKernel(tmp_path / "root", pfs=1).machine()), None)
    yield made
    made.end()


def test_steps_that_work_without_end_are_so_many_lines(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(2):
        host.apply(ABSENT, lambda _: None)
    assert len(lines(caplog)) == 200, "a line for each"
    for _ in range(5):
        host.apply(ABSENT, lambda _: None)
    assert len(lines(caplog)) == 250


@pytest.mark.parametrize("steps", [1, 100])
def test_plans_while_a_write_is_blocked_are_so_many_lines(
    host: Host, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    monkeypatch.setattr(serve.undone, "filters", [Seldom(5)])
    blocked = Stuck(path="/sys/x", value="0", seconds=130.0, text="a write does not return")
    monkeypatch.setattr(host._executor, "carry_out", lambda *_: blocked)
    plan = plan_of(ABSENT.steps[:steps])
    for _ in range(1000):
        report = host.apply(plan, lambda _: None)
        assert [result.outcome for result in report.results] == [Outcome.NOT_TRIED] * steps
    assert lines(caplog) == [f"{steps} steps not tried: a write does not return"] * 5


def test_1000_vfs_that_are_made_anew_with_every_link_setting_are_a_line_each() -> None:
    assert 1000 * (2 + len(GROUPS)) + 4 < serve.DONE


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("virtfn.host")]

"""A plan longer than a request may be is cut between two steps; the next turn plans the rest."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from kernel import FakeKernel
from serving import serving

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.model import LinkState, VfLink
from virtfn_host.core.values.report import Outcome, StepResult
from virtfn_host.core.values.steps import FunctionRef, Plan, SetLink, plan_of
from virtfn_host.executor import Executor
from virtfn_host.process import protocol
from virtfn_host.process.client import HostClient
from virtfn_host.process.protocol import REQUEST_LIMIT, cut, line
from virtfn_host.process.serve import Host

LINK = VfLink(vlan=100, vlan_qos=0)
MAC = VfLink(mac="52:54:00:12:34:56")


def every_link(vfs: int, *, pfs: Sequence[PciAddress] = (PciAddress(0, 1, 0, 0),)) -> Plan:
    settings = (MAC, LINK, VfLink(trust=True), VfLink(spoof_check=False), VfLink(link_state=LinkState.ENABLE))
    return plan_of(
        SetLink(function=FunctionRef(pf=pf, index=index, address=None), value=setting, expects=None)
        for pf in pfs
        for index in range(vfs)
        for setting in settings
    )


def test_a_plan_that_fits_is_sent_whole() -> None:
    plan = every_link(100)
    assert cut(plan).steps == plan.steps


@pytest.mark.parametrize("pfs", [1, 2, 128])
def test_a_plan_of_2048_vfs_with_link_settings_is_cut_to_what_fits_in_its_order(pfs: int) -> None:
    plan = every_link(2048 // pfs, pfs=[PciAddress(0, bus, 0, 0) for bus in range(pfs)])
    assert len(line("apply", plan)) > REQUEST_LIMIT
    sent = cut(plan)
    assert len(line("apply", sent)) <= REQUEST_LIMIT
    assert sent.steps == plan.steps[: len(sent.steps)]
    one_more = plan_of(plan.steps[: len(sent.steps) + 1])
    assert len(line("apply", one_more)) > REQUEST_LIMIT, "as much as fits"


def test_the_report_is_of_what_was_sent_and_turn_by_turn_all_of_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = every_link(64)
    monkeypatch.setattr(protocol, "REQUEST_LIMIT", 10_000)
    heard: list[StepResult] = []

    async def turns() -> list[int]:
        numbers, left = [], plan
        while left.steps:
            report = await HostClient(path).apply(left, heard.append)
            numbers.append(len(report.results))
            left = plan_of(left.steps[len(report.results) :])
        return numbers

    path = tmp_path / "host.sock"
    with serving(path, Host(Executor(FakeKernel(tmp_path / "root", pfs=1, total_vfs=0).machine()), None)):
        numbers = asyncio.run(turns())
    assert len(numbers) > 1
    assert sum(numbers) == len(heard) == len(plan.steps)
    assert {result.outcome for result in heard} <= {Outcome.FAILED, Outcome.DONE}

"""A step's message is short even if its values are long: every following step that is not tried repeats it."""

from pathlib import Path

import pytest
from kernel import FakeKernel

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.envelope import dumps
from virtfn_host.core.values.steps import Bind, Forget, FunctionRef, SetDriverOverride, Step, Unbind, plan_of
from virtfn_host.linux.act.apply import apply

PF = PciAddress(0, 1, 0, 0)
WHOLE = FunctionRef(pf=PF, index=None, address=PF)
FOLLOWING = 1000

LONG = "\x7f" * 4000
"""Becomes four times as long when it is quoted."""


@pytest.mark.parametrize(
    "step",
    [
        SetDriverOverride(function=WHOLE, value=LONG, expects=LONG),
        SetDriverOverride(function=WHOLE, value=LONG, expects=None),
        SetDriverOverride(function=WHOLE, value=None, expects=LONG),
        Unbind(function=WHOLE, expects=LONG[:255]),
        Bind(function=WHOLE, driver="x" * 63),
    ],
    ids=["both", "value", "expected", "unbind", "bind"],
)
def test_what_follows_a_step_with_long_words_is_told_why_in_short(tmp_path: Path, step: Step) -> None:
    plan = plan_of((step, *(Forget(pf=PF) for _ in range(FOLLOWING))))
    report = apply(plan, FakeKernel(tmp_path / "root").machine())
    first, second = report.results[:2]
    assert first.message.startswith("0000:01:00.0: ")
    assert "not tried after: 0000:01:00.0: " in second.message
    assert len(dumps(report)) < FOLLOWING * 1200


def test_a_report_of_words_in_any_script_takes_no_more_room_than_one_in_ascii(tmp_path: Path) -> None:
    words = "\N{GRINNING FACE}" * 1000
    step = SetDriverOverride(function=WHOLE, value=words, expects=words)
    plan = plan_of((step, *(Forget(pf=PF) for _ in range(FOLLOWING))))
    first, *others = apply(plan, FakeKernel(tmp_path / "root").machine()).results
    assert first.message.startswith("0000:01:00.0: set driver_override \\U0001f600")
    assert all(result.message.isascii() and len(result.message) < 500 for result in others)
    assert others[0].message.startswith(
        "0000:01:00.0: original state is back, forget it: not tried after: 0000:01:00.0: "
    )


def test_what_helps_is_told_though_what_was_wanted_is_long(tmp_path: Path) -> None:
    step = SetDriverOverride(function=WHOLE, value="vfio-pci", expects=LONG)
    (result,) = apply(plan_of((step,)), FakeKernel(tmp_path / "root").machine()).results
    assert result.message.startswith("0000:01:00.0: set driver_override vfio-pci: driver_override of 0000:01:00.0 is")
    assert result.message.endswith("look and plan again")

"""Numbers of VFs that virtfn never set, where a driver or the kernel refuses."""

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest
from hardware import Lab
from kernel import FakeKernel
from numbers_of_vfs import drivers, on, refusal, remade, turn

from virtfn_host.core.values.reasons import Reason


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    fake = FakeKernel(tmp_path / "root")
    made = Lab(fake.machine(), fake)
    yield made
    made.machine.writer.close()


def test_a_later_vf_that_its_driver_does_not_take_is_tried_again_until_it_does(lab: Lab) -> None:
    assert lab.fake is not None
    remade(lab, 1, autoprobe=True)
    turn(lab, on(lab, None))
    remade(lab, 2, autoprobe=True)
    turn(lab, on(lab, None))
    lab.fake.instead.ends_on[lab.sysfs.vf_addresses(lab.pf)[1]] = None
    for _ in range(2):
        assert refusal(lab) is Reason.BIND_FAILED
        assert drivers(lab)[1] == (None, None)
        assert lab.machine.journal.originals() != ()
    lab.fake.instead.ends_on.clear()
    assert turn(lab) == []
    assert drivers(lab) == [("igbvf", None)] * 2
    assert lab.machine.journal.originals() == ()


@pytest.mark.parametrize("first", [0, 2])
def test_it_is_noted_before_the_first_write_and_not_if_that_is_refused_and_no_vf_was_unbound(
    lab: Lab, first: int
) -> None:
    assert lab.fake is not None
    fake, seen = lab.fake, list[list[bool]]()
    remade(lab, first, autoprobe=True)

    def untouched() -> list[bool]:
        return [entry.number_untouched for entry in lab.machine.journal.originals()]

    fake.before_write = lambda: seen.append(untouched())
    fake.fail["sriov_numvfs"] = errno.ENOSPC
    assert refusal(lab, on(lab, 3)) is Reason.WRITE_REFUSED
    assert (seen[-1], untouched()) == ([False], [first == 0])
    turn(lab, on(lab, 3))
    assert untouched() == [False]

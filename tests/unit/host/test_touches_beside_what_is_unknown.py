"""A part of a VF that cannot be read stops no touch of its PF; what an original is made of must be known."""

from collections.abc import Callable
from pathlib import Path

import pytest
from kernel import FakeKernel

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.model import VfLink
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import Outcome, StepResult
from virtfn_host.core.values.steps import (
    Forget,
    FunctionRef,
    PfPlan,
    SetAutoprobe,
    SetLink,
    SetNumVfs,
    Step,
    Unbind,
    plan_of,
)
from virtfn_host.linux.act.apply import apply
from virtfn_host.linux.act.machine import PfApply, remember
from virtfn_host.linux.errors import SysfsReadError

PF = PciAddress(0, 1, 0, 0)
VF = FunctionRef(pf=PF, index=0, address=None)
NAMES = ["\udcff\udcfe", "e\x1b[31mX", "a\u202eb"]

FIRST = [Unbind(function=VF, expects="igbvf"), SetAutoprobe(pf=PF, value=False, expects=True)]
"""First touches of the PF that leave VF 1 alone."""


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    """A PF with two VFs on their network driver."""
    made = FakeKernel(tmp_path / "root", pfs=1)
    made._set_num_vfs(PF, 2)
    return made


def rename(kernel: FakeKernel, name: str) -> None:
    """Give the netdev of VF 1 another name."""
    (netdev,) = Path(kernel.devices, str(PF), "virtfn1/net").iterdir()
    netdev.rename(netdev.with_name(name))


def no_assign_type(kernel: FakeKernel) -> None:
    (netdev,) = Path(kernel.devices, str(PF), "virtfn1/net").iterdir()
    (netdev / "addr_assign_type").unlink()
    (netdev / "addr_assign_type").mkdir()


def no_rdma(kernel: FakeKernel) -> None:
    Path(kernel.devices, str(PF), "virtfn1/infiniband").write_text("no folder")


PARTS: list[Callable[[FakeKernel], None]] = [
    *[lambda kernel, name=name: rename(kernel, name) for name in NAMES],
    no_assign_type,
    no_rdma,
]


def carried_out(kernel: FakeKernel, *steps: Step) -> StepResult:
    *_, result = apply(plan_of(steps), kernel.machine()).results
    return result


@pytest.mark.parametrize("spoil", PARTS)
@pytest.mark.parametrize("step", FIRST)
def test_a_part_of_another_vf_stops_no_first_touch(
    kernel: FakeKernel, spoil: Callable[[FakeKernel], None], step: Step
) -> None:
    spoil(kernel)
    result = carried_out(kernel, step)
    assert result.outcome is Outcome.DONE, result.message
    (entry,) = kernel.machine().journal.originals()
    assert [vf.driver for vf in entry.vfs] == ["igbvf", "igbvf"]
    assert [vf.link is None for vf in entry.vfs] == [False, spoil is not no_rdma]


@pytest.mark.parametrize(
    "path", ["numa_node", "sriov_totalvfs", "virtfn1/driver_override", "virtfn1/iommu_group", "virtfn1/driver"]
)
@pytest.mark.parametrize("step", FIRST)
def test_what_an_original_is_made_of_must_be_known(kernel: FakeKernel, path: str, step: Step) -> None:
    file = Path(kernel.devices, str(PF), path)
    link = file.is_symlink()
    file.unlink()
    file.touch() if link else file.mkdir()
    assert carried_out(kernel, step).reason is Reason.UNREADABLE
    assert kernel.machine().journal.originals() == ()


@pytest.mark.parametrize("name", NAMES)
def test_vfs_do_not_end_while_a_setting_of_one_is_unknown(kernel: FakeKernel, name: str) -> None:
    rename(kernel, name)
    assert carried_out(kernel, SetNumVfs(pf=PF, value=0, expects=2)).reason is Reason.VFS_IN_USE
    work = PfApply(kernel.machine(), PfPlan(pf=PF, steps=()))
    with pytest.raises(SysfsReadError, match="is not text"):  # if it looked free a moment before
        remember(work, PF, ends_vfs=True)
    assert kernel.machine().journal.originals() == ()


@pytest.mark.parametrize("name", NAMES)
def test_a_pf_is_not_forgotten_while_a_setting_that_is_given_back_is_unknown(kernel: FakeKernel, name: str) -> None:
    second = FunctionRef(pf=PF, index=1, address=None)
    carried_out(kernel, SetLink(function=second, value=VfLink(vlan=5, vlan_qos=0), expects=VfLink(vlan=0, vlan_qos=0)))
    rename(kernel, name)
    assert carried_out(kernel, Forget(pf=PF)).reason is Reason.STALE_SNAPSHOT
    assert len(kernel.machine().journal.originals()) == 1
    rename(kernel, "eth9")
    carried_out(kernel, SetLink(function=second, value=VfLink(vlan=0, vlan_qos=0), expects=VfLink(vlan=5, vlan_qos=0)))
    assert carried_out(kernel, Forget(pf=PF)).outcome is Outcome.DONE

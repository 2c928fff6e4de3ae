"""A step that fails is told with the kernel's answer, its known causes, and the PF's state where that explains it."""

import errno
from pathlib import Path

import pytest
from kernel import FakeKernel

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.steps import Bind, FunctionRef, SetDriverOverride, SetNumVfs, Settle, Step, plan_of
from virtfn_host.linux.act import apply as module
from virtfn_host.linux.act.apply import apply

PF = PciAddress(0, 1, 0, 0)
TWO = SetNumVfs(pf=PF, value=2, expects=0)


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    return FakeKernel(tmp_path, pfs=1)


def failure(kernel: FakeKernel, *steps: Step) -> tuple[Reason | None, str]:
    """Reason and text of the first step that failed."""
    results = apply(plan_of(steps), kernel.machine()).results
    return next((result.reason, result.message) for result in results if result.reason is not None)


def up(kernel: FakeKernel) -> Path:
    """Set the PF's netdev up; return its folder."""
    (netdev,) = (kernel.devices / str(PF) / "net").iterdir()
    (netdev / "flags").write_text("0x1003\n")
    return netdev


@pytest.mark.parametrize(
    ("number", "name", "word"),
    [
        (errno.ENOSPC, "ENOSPC", "MSI-X"),
        (errno.ENOMEM, "ENOMEM", "bus numbers"),
        (errno.EAGAIN, "EAGAIN", "pending"),
        (errno.EPERM, "EPERM", "fewer"),
        (524, "ENOTSUPP", "firmware"),
        (errno.EIO, "EIO", "firmware"),
    ],
)
def test_a_refused_number_of_vfs_names_errno_and_causes(kernel: FakeKernel, number: int, name: str, word: str) -> None:
    up(kernel)
    kernel.fail["sriov_numvfs"] = number
    reason, text = failure(kernel, TWO)
    assert reason is Reason.WRITE_REFUSED
    assert f"({name})" in text
    assert word in text
    assert "Unknown error" not in text


def test_a_pf_that_is_down_is_named_where_no_vfs_come(kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "patience", lambda _: 0.0)
    kernel._set_num_vfs = lambda *_: None  # type: ignore[method-assign]
    (netdev,) = [folder.name for folder in (kernel.devices / str(PF) / "net").iterdir()]
    reason, text = failure(kernel, TWO, Settle(pf=PF, num_vfs=2))
    assert reason is Reason.DRIVER_MADE_OTHER
    assert f"{netdev} is down" in text
    assert f"ip link set {netdev} up" in text


def test_switchdev_mode_is_named(kernel: FakeKernel) -> None:
    (up(kernel) / "phys_switch_id").write_text("1070fd0300b4f7c8\n")
    kernel.fail["sriov_numvfs"] = errno.EBUSY
    assert "switchdev mode" in failure(kernel, TWO)[1]


def test_a_pf_that_does_not_answer_on_the_bus_is_named(kernel: FakeKernel) -> None:
    up(kernel)
    (kernel.devices / str(PF) / "config").write_bytes(b"\xff" * 256)
    kernel.fail["sriov_numvfs"] = errno.EIO
    assert "does not answer on the bus" in failure(kernel, TWO)[1]


def test_a_pf_that_is_well_adds_nothing(kernel: FakeKernel) -> None:
    up(kernel)
    (kernel.devices / str(PF) / "config").write_bytes(b"\x86\x80" + b"\xff" * 254)
    kernel.fail["sriov_numvfs"] = errno.EINVAL
    text = failure(kernel, TWO)[1]
    assert "switchdev" not in text
    assert "is down" not in text
    assert "on the bus" not in text


@pytest.mark.parametrize(("number", "word"), [(errno.ENOSPC, "MSI-X"), (errno.EBUSY, "group"), (errno.EIO, "answer")])
def test_a_refused_bind_names_its_causes(kernel: FakeKernel, number: int, word: str) -> None:
    kernel.register("vfio-pci")
    vf = FunctionRef(pf=PF, index=0, address=None)
    kernel.fail["bind"] = number
    override = SetDriverOverride(function=vf, value="vfio-pci", expects=None)
    (kernel.devices / str(PF) / "sriov_drivers_autoprobe").write_text("0\n")
    reason, text = failure(kernel, TWO, override, Bind(function=vf, driver="vfio-pci"))
    assert reason is Reason.BIND_FAILED
    assert errno.errorcode[number] in text
    assert word in text

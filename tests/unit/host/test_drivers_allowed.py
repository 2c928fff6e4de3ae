"""A function is bound only to a vfio driver, to its former driver, or to a driver that this kernel names for it."""

from pathlib import Path

import pytest
from kernel import FakeKernel

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import Outcome, StepResult
from virtfn_host.core.values.steps import Bind, FunctionRef, LoadModule, SetDriverOverride, Step, Unbind, plan_of
from virtfn_host.linux.act.apply import apply

PF = PciAddress(0, 1, 0, 0)
ALIASES = """alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci
alias vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i* mlx5_vfio_pci
alias pci:v00008086d000010CA* igbvf
alias pci:v00008086d000010C9* igb
alias pci:v0000144Dd0000A808* nvme
"""
DEPENDS = """kernel/drivers/net/igbvf/igbvf.ko:
kernel/drivers/vfio/pci/vfio-pci.ko.xz: kernel/drivers/vfio/pci/vfio-pci-core.ko.xz kernel/drivers/vfio/vfio.ko.xz
kernel/drivers/vfio/pci/odd/odd-pass.ko.xz: kernel/drivers/vfio/pci/vfio-pci-core.ko.xz
kernel/drivers/net/not_vfio_at_all.ko:
"""


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    made = FakeKernel(tmp_path / "root", pfs=1)
    for driver in ("vfio-pci", "pcieport", "mlx5_vfio_pci", "odd_pass", "not_vfio_at_all", "loaded", "busy_one"):
        made.register(driver)
    made._set_num_vfs(PF, 2)
    return made


@pytest.fixture
def modules(kernel: FakeKernel) -> Path:
    folder = kernel.root / "lib/modules/6.1.0"
    folder.mkdir(parents=True)
    (folder / "modules.alias").write_text(ALIASES)
    (folder / "modules.dep").write_text(DEPENDS)
    return folder


def ref(kernel: FakeKernel, index: int = 0) -> FunctionRef:
    return FunctionRef(pf=PF, index=index, address=kernel.machine().sysfs.vf_addresses(PF)[index])


def carried_out(kernel: FakeKernel, *steps: Step) -> tuple[StepResult, ...]:
    return apply(plan_of(steps), kernel.machine()).results


def override(kernel: FakeKernel, name: str) -> StepResult:
    (result,) = carried_out(kernel, SetDriverOverride(function=ref(kernel), value=name, expects=None))
    return result


def test_another_driver_is_refused_and_nothing_is_written(kernel: FakeKernel, modules: Path) -> None:
    kernel._unbind(kernel.machine().sysfs.vf_addresses(PF)[1])
    for name in ("pcieport", "not_vfio_at_all", "nvme", "igb", "pci-stub", "uio_pci_generic", "none_vfio_pci"):
        steps = (
            SetDriverOverride(function=ref(kernel), value=name, expects=None),
            Bind(function=ref(kernel, 1), driver=name),
        )
        for step in steps:
            (result,) = carried_out(kernel, step)
            assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.BIND_FAILED), name
            assert f"refused: {name} is not a vfio driver" in result.message
    assert kernel.writes == []
    assert kernel.machine().journal.originals() == ()


@pytest.mark.parametrize("name", ["vfio-pci", "mlx5_vfio_pci", "odd_pass", "igbvf"])
def test_what_the_modules_name_is_taken(kernel: FakeKernel, modules: Path, name: str) -> None:
    assert override(kernel, name).outcome is Outcome.DONE


def test_without_the_modules_only_what_the_kernel_itself_shows_is_vfio(kernel: FakeKernel) -> None:
    for name in ("mlx5_vfio_pci", "odd_pass", "igbvf", "loaded", "busy_one"):
        assert override(kernel, name).reason is Reason.BIND_FAILED
    (kernel.root / "sys/module/vfio_pci_core/holders/loaded").mkdir(parents=True)
    (kernel.drivers / "loaded/module").symlink_to("../../../../module/loaded")
    assert override(kernel, "loaded").outcome is Outcome.DONE
    (kernel.drivers / "busy_one/0000:09:00.0/vfio-dev/vfio3").mkdir(parents=True)
    kernel.write(kernel.devices / str(ref(kernel).address) / "driver_override", "\n")
    assert override(kernel, "busy_one").outcome is Outcome.DONE


def test_what_it_had_before_the_first_touch_it_may_have_again(kernel: FakeKernel) -> None:
    """No alias names it here, and the journal does."""
    unbound = Unbind(function=ref(kernel), expects="igbvf")
    bound = (
        SetDriverOverride(function=ref(kernel), value="igbvf", expects=None),
        Bind(function=ref(kernel), driver="igbvf"),
    )
    assert [result.outcome for result in carried_out(kernel, unbound, *bound)] == [Outcome.DONE] * 3
    kernel._unbind(kernel.machine().sysfs.vf_addresses(PF)[1])
    other = FunctionRef(pf=PF, index=None, address=PF)
    (result,) = carried_out(kernel, SetDriverOverride(function=other, value="igbvf", expects=None))
    assert result.reason is Reason.BIND_FAILED, "a VF's driver is not its PF's"


def test_another_card_at_the_address_has_no_driver_of_the_former_one(kernel: FakeKernel) -> None:
    assert carried_out(kernel, Unbind(function=ref(kernel), expects="igbvf"))[0].outcome is Outcome.DONE
    (kernel.devices / str(PF) / "device").write_text("0xffff\n")
    (result,) = carried_out(kernel, Bind(function=ref(kernel), driver="igbvf"))
    assert result.reason is Reason.BIND_FAILED


def test_a_module_that_nothing_of_a_pf_needs_is_not_loaded(kernel: FakeKernel, modules: Path) -> None:
    for name in ("nvme", "not_vfio_at_all", "floppy"):
        (result,) = carried_out(kernel, LoadModule(pf=PF, module=name))
        assert result.outcome is Outcome.FAILED
        assert "nothing was loaded" in result.message
    for name in ("vfio-pci", "igbvf", "igb"):
        (result,) = carried_out(kernel, LoadModule(pf=PF, module=name))
        assert result.outcome is Outcome.DONE


def test_where_only_modprobe_s_own_index_is_to_be_seen_what_nobody_can_tell_is_not_loaded(kernel: FakeKernel) -> None:
    """kmod reads `modules.dep.bin`, and loads by it what we know nothing of."""
    folder = kernel.root / "lib/modules/6.1.0"
    folder.mkdir(parents=True)
    (folder / "modules.dep.bin").write_bytes(b"\xb0\x07\xf4\x57")
    (result,) = carried_out(kernel, LoadModule(pf=PF, module="floppy"))
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.BIND_FAILED)
    assert "nothing was loaded" in result.message
    (result,) = carried_out(kernel, LoadModule(pf=PF, module="vfio-pci"))
    assert result.outcome is Outcome.DONE

"""A module may bring a driver of another name: nothing is made for a driver that has not come."""

from dataclasses import replace
from pathlib import Path

import pytest
from kernel import FakeKernel, FakeModules

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import Outcome, Report
from virtfn_host.core.values.steps import LoadModule, SetNumVfs, Settle, plan_of
from virtfn_host.linux.act.apply import apply

PF = PciAddress(0, 1, 0, 0)


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    return FakeKernel(tmp_path / "root", pfs=1)


def loading(kernel: FakeKernel, module: str, *brings: str) -> Report:
    """Load a module that brings these drivers, and then make VFs."""

    class Modules(FakeModules):
        def load(self, driver: str, deadline: float) -> None:
            for name in brings:
                kernel.register(name)

    machine = replace(kernel.machine(), modules=Modules(kernel))
    steps = LoadModule(pf=PF, module=module), SetNumVfs(pf=PF, value=2, expects=0), Settle(pf=PF, num_vfs=2)
    return apply(plan_of(steps), machine)


@pytest.mark.parametrize(
    ("module", "brings"), [("qat_c62xvf", "c6xxvf"), ("nicvf", "thunder-nicvf"), ("virtio_pci", "virtio-pci")]
)
def test_the_driver_that_came_is_named_and_no_vf_is_made(kernel: FakeKernel, module: str, brings: str) -> None:
    first, *others = loading(kernel, module, brings).results
    assert (first.outcome, first.reason) == (Outcome.FAILED, Reason.DRIVER_MISSING)
    assert f"it brought {brings}: name that as driver" in first.message
    assert {result.outcome for result in others} == {Outcome.NOT_TRIED}
    assert kernel.writes == []


def test_a_module_that_brings_no_driver_is_told(kernel: FakeKernel) -> None:
    first, *_ = loading(kernel, "qat_c62xvf").results
    assert "there is no driver qat_c62xvf" in first.message


@pytest.mark.parametrize("module", ["vfio-pci", "mlx5_vfio_pci"])
def test_a_driver_of_the_asked_name_goes_on(kernel: FakeKernel, module: str) -> None:
    assert {result.outcome for result in loading(kernel, module, module).results} == {Outcome.DONE}


@pytest.mark.parametrize("modalias", ["pci:v00008086d000010CAsv00008086sd0000A03Cbc02sc00i00"])
def test_a_modalias_names_no_driver(kernel: FakeKernel, modalias: str) -> None:
    assert {result.outcome for result in loading(kernel, modalias, "c6xxvf").results} == {Outcome.DONE}

"""Two PFs' netdevs change names while a step is carried out: a setting never reaches the other PF."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hardware import Lab
from kernel import FakeKernel
from netlink import FakeNetlink

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.model import VfLink
from virtfn_host.core.values.report import Outcome, Report
from virtfn_host.core.values.steps import FunctionRef, SetLink, SetMtu, plan_of
from virtfn_host.linux.act.apply import apply
from virtfn_host.linux.netlink.asks import PfLinks, ShownMtu

PF, OTHER = PciAddress.parse("0000:01:00.0"), PciAddress.parse("0000:02:00.0")
WHOLE, VF = FunctionRef(pf=PF, index=None, address=None), FunctionRef(pf=PF, index=0, address=None)
STEPS: dict[str, SetLink | SetMtu] = {
    "link": SetLink(function=VF, value=VfLink(trust=True), expects=VfLink(trust=False)),
    "MTU of the PF": SetMtu(function=WHOLE, value=4000, expects=1500),
    "MTU of a VF": SetMtu(function=VF, value=4000, expects=1500),
}


class Renaming(FakeNetlink):
    """Netlink of a machine where names change before each look at them, or before they are set."""

    def __init__(self, kernel: FakeKernel, rename: Callable[[], None], *, before: bool) -> None:
        super().__init__(kernel)
        self.rename, self.before = rename, before

    def links(self, netdev: str | int) -> PfLinks:
        """See Netlink."""
        self._rename(self.before)
        return super().links(netdev)

    def mtu(self, netdev: str | int) -> ShownMtu:
        """See Netlink."""
        self._rename(self.before)
        return super().mtu(netdev)

    def set_vf(self, ifindex: int, index: int, setting: VfLink) -> None:
        """See Netlink."""
        self._rename(not self.before)
        super().set_vf(ifindex, index, setting)

    def set_mtu(self, ifindex: int, value: int) -> None:
        """See Netlink."""
        self._rename(not self.before)
        super().set_mtu(ifindex, value)

    def _rename(self, now: bool) -> None:
        if now:
            self.rename()


def exchange(kernel: FakeKernel, one: PciAddress, other: PciAddress) -> None:
    """Exchange the names of two netdevs."""
    (first,) = (kernel.devices / str(one) / "net").iterdir()
    (second,) = (kernel.devices / str(other) / "net").iterdir()
    first.rename(first.with_name("meanwhile0"))
    second.rename(second.with_name(first.name))
    first.with_name("meanwhile0").rename(first.with_name(second.name))


def carried_out(kernel: FakeKernel, step: SetLink | SetMtu, *, before: bool) -> Report:
    """Carry out one step with two VFs there, while the names change."""
    machine = kernel.machine()
    lab = Lab(machine, kernel)
    vfs = {pf: lab.make(pf, 1, autoprobe=True)[0] for pf in (PF, OTHER)}
    of_vf = isinstance(step, SetMtu) and step.function.index is not None
    one, other = (vfs[PF], vfs[OTHER]) if of_vf else (PF, OTHER)
    renaming = Renaming(kernel, lambda: exchange(kernel, one, other), before=before)
    return apply(plan_of([step]), replace(machine, netlink=renaming))


def mtus(kernel: FakeKernel) -> dict[str, str]:
    """What is set, by PCI address."""
    return {path.parent.parent.parent.name: path.read_text().strip() for path in kernel.devices.glob("*/net/*/mtu")}


def trusted(kernel: FakeKernel) -> set[PciAddress]:
    return {vf for vf, link in kernel.links.items() if link.trust}


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    """A fake kernel with two PFs."""
    return FakeKernel(tmp_path)


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_before_netlink_is_asked_nothing_is_set(kernel: FakeKernel, step: SetLink | SetMtu) -> None:
    (result,) = carried_out(kernel, step, before=True).results
    assert result.outcome is Outcome.FAILED
    assert "no longer the netdev of" in str(result.message)
    assert set(mtus(kernel).values()) == {"1500"}
    assert trusted(kernel) == set()


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_before_it_is_set_the_function_that_was_meant_gets_it(kernel: FakeKernel, step: SetLink | SetMtu) -> None:
    (result,) = carried_out(kernel, step, before=False).results
    assert result.outcome is Outcome.DONE, result.message
    (vf,) = kernel._vfs(PF)
    meant = PF if step.function.index is None else vf
    if isinstance(step, SetLink):
        assert trusted(kernel) == {vf}
    else:
        assert {address for address, value in mtus(kernel).items() if value == "4000"} == {str(meant)}

"""A driver that hangs may hold rtnetlink's lock: what is read under it has a deadline, and hides nothing else.

A FIFO without a partner stands in for such an attribute: its open blocks until the other end opens.
"""

import errno
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from kernel import FakeKernel, FakeSysfs

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.model import Inventory, VfLink
from virtfn_host.core.values.parts import Part
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import Outcome, StepResult
from virtfn_host.core.values.steps import FunctionRef, SetAutoprobe, SetDriverOverride, SetLink, SetMtu, Step, plan_of
from virtfn_host.linux.act.apply import apply
from virtfn_host.linux.act.machine import Machine
from virtfn_host.linux.errors import SysfsReadError
from virtfn_host.linux.look.inventory import read_inventory
from virtfn_host.linux.look.surroundings import read_function
from virtfn_host.linux.read.parts import missing_of_link
from virtfn_host.linux.touch.reader import Reader

PF, OTHER = PciAddress(0, 1, 0, 0), PciAddress(0, 2, 0, 0)
WHOLE, VF = FunctionRef(pf=PF, index=None, address=None), FunctionRef(pf=PF, index=0, address=None)
UNDER_A_LOCK = ("phys_port_name", "phys_switch_id", "carrier", "address")
NOTE = SetAutoprobe(pf=PF, value=False, expects=True)
"""The first touch of the PF."""

Hang = Callable[..., Path]


class Guarded(FakeSysfs):
    """Fails a test that reads such an attribute of a netdev without a deadline."""

    def read(self, path: str | Path) -> str | None:
        """See Sysfs."""
        if Path(path).name in UNDER_A_LOCK and "/net/" in str(path):
            pytest.fail(f"{path} was read without a deadline")
        return super().read(path)


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    """Two PFs that are up, the first with two VFs on their network driver."""
    made = FakeKernel(tmp_path / "root", pfs=2)
    made._set_num_vfs(PF, 2)
    for pf in (PF, OTHER):
        (netdev(made, pf) / "flags").write_text("0x1003\n")
        (netdev(made, pf) / "carrier").write_text("1\n")
    return made


@pytest.fixture
def machine(kernel: FakeKernel) -> Iterator[Machine]:
    reader = Reader(deadline=1.0)
    yield replace(kernel.machine(), sysfs=Guarded(kernel), reader=reader)
    reader.close()


@pytest.fixture
def hang(kernel: FakeKernel, machine: Machine) -> Iterator[Hang]:
    """Let the reads of an attribute of a netdev hang."""
    paths: list[Path] = []

    def begin(name: str, pf: PciAddress = PF) -> Path:
        paths.append(netdev(kernel, pf) / name)
        paths[-1].unlink(missing_ok=True)
        os.mkfifo(paths[-1])
        return paths[-1]

    yield begin
    for path in paths:  # before the reader is closed: its child ends when the read returns
        os.close(os.open(path, os.O_RDWR))


def netdev(kernel: FakeKernel, pf: PciAddress = PF) -> Path:
    (found,) = (kernel.devices / str(pf) / "net").iterdir()
    return found


def carried_out(machine: Machine, *steps: Step) -> StepResult:
    """Carry out steps; return the result of the last one."""
    began = time.monotonic()
    *_, result = apply(plan_of(steps), machine).results
    assert time.monotonic() - began < 20
    return result


def look(machine: Machine) -> Inventory:
    return read_inventory(machine.sysfs, machine.reader)


def lost(inventory: Inventory) -> set[tuple[PciAddress, Part | None, str]]:
    return {(it.device, it.part, Path(it.path).name) for it in inventory.unreadable}


def lacks(inventory: Inventory, pf: PciAddress) -> tuple[Part, ...]:
    found = inventory.pf(pf)
    assert found is not None
    return found.lacks


# --- looks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("hanging", "unknown"), [(PF, {PF, OTHER}), (OTHER, {OTHER})])
def test_a_carrier_that_does_not_read_is_unknown_and_nothing_else_is(
    kernel: FakeKernel, machine: Machine, hang: Hang, hanging: PciAddress, unknown: set[PciAddress]
) -> None:
    before = look(machine)
    (netdev(kernel) / "carrier").write_text("0\n")
    hang("carrier", hanging)
    found = look(machine)
    assert lost(found) == {(pf, Part.UP, "carrier") for pf in unknown}
    assert {pf: lacks(found, pf) for pf in (PF, OTHER)} == {PF: () if PF in unknown else (Part.CARRIER,), OTHER: ()}
    again = look(machine)  # finds the child still at that read
    assert lost(again) == {(pf, Part.UP, "carrier") for pf in (PF, OTHER)}
    assert again.functions == before.functions


def test_a_netdev_that_is_down_is_so_whatever_its_carrier_is(kernel: FakeKernel, machine: Machine, hang: Hang) -> None:
    (netdev(kernel) / "flags").write_text("0x1002\n")
    hang("carrier")
    found = look(machine)
    assert (lost(found), lacks(found, PF)) == ({(OTHER, Part.UP, "carrier")}, (Part.UP,))


def test_a_port_that_does_not_read_hides_no_override(kernel: FakeKernel, machine: Machine, hang: Hang) -> None:
    hang("phys_port_name")
    for _ in range(2):
        assert lost(look(machine)) == {(pf, None, "phys_port_name") for pf in (PF, OTHER)}


def test_an_address_that_does_not_read_is_none(machine: Machine, hang: Hang) -> None:
    hang("address", OTHER)
    found = look(machine)
    assert lost(found) == set()
    assert [pf.identity.mac for pf in found.pfs] == ["52:54:00:00:01:00", None]


@pytest.mark.parametrize(("index", "unknown"), [(0, [True, True]), (1, [False, True])])
def test_an_address_of_a_vf_that_does_not_read_hides_no_pf(
    machine: Machine, hang: Hang, index: int, unknown: list[bool]
) -> None:
    vfs = machine.sysfs.vf_addresses(PF)
    hang("address", vfs[index])
    found = read_inventory(machine.sysfs, machine.reader, machine.netlink)
    addresses = {(vfs[n], Part.NETDEV, "address") for n in (0, 1) if unknown[n]}
    assert lost(found) == addresses | {(pf, Part.UP, "carrier") for pf in (PF, OTHER)}
    pf = found.pf(PF)
    assert pf is not None
    assert [vf.link is None for vf in pf.vfs] == unknown


def test_all_carriers_are_read_in_one_message(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    messages: list[list[str]] = []
    read_each = Reader.read_each

    def counted(reader: Reader, paths: list[str], meanwhile: Callable[[], object] = lambda: None) -> object:
        messages.append([Path(path).name for path in paths])
        return read_each(reader, paths, meanwhile)

    monkeypatch.setattr(Reader, "read_each", counted)
    look(machine)
    ports = ["phys_port_name", "address"]
    assert [names for names in messages if {*names} - {"driver_override"}] == [ports, ports, ["carrier", "carrier"]]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO, errno.ETIMEDOUT])
def test_only_the_answer_of_a_netdev_that_was_set_down_is_one(kernel: FakeKernel, number: int) -> None:
    error = SysfsReadError("carrier", OSError(number, os.strerror(number)))
    told = {str(netdev(kernel)): error}
    if number == errno.EINVAL:
        assert missing_of_link(kernel.machine().sysfs, told) is Part.UP
    else:
        with pytest.raises(SysfsReadError):
            missing_of_link(kernel.machine().sysfs, told)


def test_a_function_that_is_explained_alone_is_read_with_a_deadline(machine: Machine, hang: Hang) -> None:
    hang("phys_port_name")
    found = read_function(machine.sysfs, PF, replace(look(machine), functions=()), machine.reader)
    assert found is not None
    assert found.function.identity.mac is None


# --- steps -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["phys_port_name", "address"])
def test_the_first_touch_fails_where_the_netdev_does_not_read(machine: Machine, hang: Hang, name: str) -> None:
    hang(name)
    result = carried_out(machine, NOTE)
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.UNREADABLE)
    assert "phys_port_name could not be read: no answer" in result.message
    assert machine.journal.originals() == ()


def test_the_first_touch_needs_no_carrier(machine: Machine, hang: Hang) -> None:
    hang("carrier")
    assert carried_out(machine, NOTE).outcome is Outcome.DONE
    assert [original.address for original in machine.journal.originals()] == [PF]


@pytest.mark.parametrize("name", ["phys_port_name", "address"])
def test_the_wall_refuses_a_driver_all_the_same(kernel: FakeKernel, machine: Machine, hang: Hang, name: str) -> None:
    hang(name)
    function = replace(VF, address=machine.sysfs.vf_address(PF, 0))
    result = carried_out(machine, SetDriverOverride(function=function, value="pcieport", expects=None))
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.BIND_FAILED)
    assert "refused: pcieport is not a vfio driver" in result.message


@pytest.mark.parametrize("name", ["phys_port_name", "address"])
def test_an_mtu_of_a_vf_is_set_where_the_card_is_known(machine: Machine, hang: Hang, name: str) -> None:
    carried_out(machine, NOTE)
    hang(name)
    result = carried_out(machine, SetMtu(function=VF, value=4000, expects=1500))
    assert result.outcome is Outcome.DONE, result.message


def test_an_mtu_of_a_pf_is_given_back_where_its_address_does_not_read(machine: Machine, hang: Hang) -> None:
    assert carried_out(machine, SetMtu(function=WHOLE, value=4000, expects=1500)).outcome is Outcome.DONE
    hang("address")
    result = carried_out(machine, SetMtu(function=WHOLE, value=1500, expects=4000))
    assert result.outcome is Outcome.DONE, result.message


def rate(value: int) -> SetLink:
    return SetLink(function=VF, value=VfLink(max_tx_rate=value), expects=VfLink(max_tx_rate=0))


@pytest.mark.parametrize("value", [VfLink(vlan=100), VfLink(trust=True), VfLink(max_tx_rate=100)])
def test_a_setting_fails_where_the_address_of_its_vf_does_not_read(
    kernel: FakeKernel, machine: Machine, hang: Hang, value: VfLink
) -> None:
    carried_out(machine, NOTE)
    hang("address", machine.sysfs.vf_addresses(PF)[0])
    result = carried_out(machine, SetLink(function=VF, value=value, expects=None))
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.UNREADABLE)
    assert "address could not be read: no answer" in result.message
    assert [what for what, _ in kernel.writes if "rtnetlink" in what] == []


def test_a_rate_fails_where_the_carrier_does_not_read(kernel: FakeKernel, machine: Machine, hang: Hang) -> None:
    carried_out(machine, NOTE)
    hang("carrier")
    result = carried_out(machine, rate(100))
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.UNREADABLE)
    assert "carrier could not be read: no answer" in result.message
    assert [what for what, _ in kernel.writes if "rtnetlink" in what] == []


def test_a_rate_needs_no_answer_of_a_carrier_where_the_pf_is_down(
    kernel: FakeKernel, machine: Machine, hang: Hang
) -> None:
    carried_out(machine, NOTE)
    (netdev(kernel) / "flags").write_text("0x1002\n")
    hang("carrier")
    assert carried_out(machine, rate(100)).reason is Reason.LINK_SETTING_REFUSED, "the driver was asked"


def test_a_rate_is_set_where_there_is_a_carrier(machine: Machine) -> None:
    assert carried_out(machine, rate(100)).outcome is Outcome.DONE

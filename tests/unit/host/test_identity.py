"""What a card is known by, read from the machine: subsystem, serial number, permanent MAC, slot."""

import errno
import os
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path
from unittest.mock import Mock

import pytest
from kernel import FakeKernel

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.identity import Identity
from virtfn_host.linux.look import identity
from virtfn_host.linux.look.identity import card_of
from virtfn_host.linux.look.inventory import read_inventory

PF, OTHER = PciAddress(0, 1, 0, 0), PciAddress(0, 2, 0, 0)
SERIAL = "3c-fd-fe-ff-ff-12-34-56"


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    return FakeKernel(tmp_path / "root")


def known(kernel: FakeKernel, address: PciAddress = PF) -> Identity:
    found = read_inventory(kernel.machine().sysfs).find(address)
    assert found is not None
    assert card_of(kernel.machine().sysfs, address, None).identity == found.identity
    return found.identity


def netdev(kernel: FakeKernel) -> Path:
    (folder,) = (kernel.devices / str(PF) / "net").iterdir()
    return folder


def test_what_there_is_of_a_card_without_a_number_in_no_slot(kernel: FakeKernel) -> None:
    assert known(kernel) == Identity(mac="52:54:00:00:01:00")


def test_the_serial_number_is_printed_as_lspci_prints_it(kernel: FakeKernel) -> None:
    kernel.give_serial(PF, SERIAL)
    assert known(kernel).serial == SERIAL
    assert known(kernel, OTHER).serial is None


def test_the_slot_is_that_of_all_functions_of_the_device(kernel: FakeKernel) -> None:
    kernel.give_slot(PF, "3-1")
    assert known(kernel).slot == "3-1"
    assert known(kernel, OTHER).slot is None


def test_the_subsystem_is_read(kernel: FakeKernel) -> None:
    (kernel.devices / str(PF) / "subsystem_vendor").write_text("0x8086\n")
    (kernel.devices / str(PF) / "subsystem_device").write_text("0xa03c\n")
    assert known(kernel).subsystem == "8086:a03c"


@pytest.mark.parametrize("kind", ["3", "1", "2", "what?"])
def test_an_address_that_was_set_stolen_or_made_up_is_not_the_permanent_one(kernel: FakeKernel, kind: str) -> None:
    (netdev(kernel) / "addr_assign_type").write_text(f"{kind}\n")
    assert known(kernel).mac is None


@pytest.mark.parametrize("text", ["", "00:00", "80:00:02:08:fe:80:00:00:00:00:00:00:24:8a:07:03:00:a5:29:30", "x" * 17])
def test_what_is_no_mac_of_ethernet_is_none(kernel: FakeKernel, text: str) -> None:
    (netdev(kernel) / "address").write_text(f"{text}\n")
    assert known(kernel).mac is None


@pytest.mark.parametrize(
    "space",
    [
        b"",
        bytes(64),  # what a program that is not root may read
        bytes(0x1000),
        b"\xff" * 0x1000,  # a card that is off
        bytes(0x100) + (0x0001 | 0x100 << 20).to_bytes(4, "little") + bytes(0xEFC),  # a circle
        bytes(0x100) + (0x0001 | 0x040 << 20).to_bytes(4, "little") + bytes(0xEFC),  # a place before the first
        bytes(0x100) + (0x0003).to_bytes(4, "little") + bytes(0xEFC),  # a number that is zero
        bytes(0x100) + (0x0003).to_bytes(4, "little") + bytes(4),  # cut off within the number
    ],
)
def test_a_configuration_space_without_a_serial_number_gives_none(kernel: FakeKernel, space: bytes) -> None:
    (kernel.devices / str(PF) / "config").write_bytes(space)
    assert known(kernel).serial is None


def test_a_file_that_cannot_be_read_is_none_and_makes_no_function_unreadable(kernel: FakeKernel) -> None:
    for name in ("config", "subsystem_vendor"):
        (kernel.devices / str(PF) / name).mkdir()
    (kernel.root / "sys/bus/pci/slots/3").mkdir(parents=True)
    (kernel.root / "sys/bus/pci/slots/3/address").mkdir()
    inventory = read_inventory(kernel.machine().sysfs)
    assert inventory.unreadable == ()
    assert known(kernel) == Identity(mac="52:54:00:00:01:00")


def test_the_serial_number_is_read_once_and_again_for_a_card_that_came(kernel: FakeKernel) -> None:
    kernel.give_serial(PF, SERIAL)
    assert known(kernel).serial == SERIAL
    kernel.remove_pf(PF)
    kernel.add_pf(PF, serial="3c-fd-fe-ff-ff-65-43-21")
    assert known(kernel).serial == "3c-fd-fe-ff-ff-65-43-21"
    assert len(identity._serials) <= 4096


UNLUCKY = {
    "the card is in a reset": lambda space: b"\xff" * len(space),
    "the reset begins in the walk": lambda space: space[:0x140] + b"\xff" * (len(space) - 0x140),
    "the file is empty": lambda _: b"",
    "the file ends at the header": lambda space: space[:0x142],
    "the file ends within the number": lambda space: space[:0x146],
}


@pytest.mark.parametrize("unlucky", UNLUCKY.values(), ids=UNLUCKY.keys())
def test_a_serial_number_that_could_not_be_read_is_read_again(
    kernel: FakeKernel, unlucky: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file keeps its inode and its time: that of sysfs does in a reset."""
    kernel.give_serial(PF, SERIAL)
    space = (kernel.devices / str(PF) / "config").read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(os, "pread", lambda _, number, offset: unlucky(space)[offset : offset + number])
        assert known(kernel).serial is None
    assert known(kernel).serial == SERIAL


@pytest.mark.parametrize("fails", range(5))
def test_so_is_one_during_whose_read_the_card_stops_to_answer(
    kernel: FakeKernel, fails: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel.give_serial(PF, SERIAL)
    calls, read = count(), os.pread
    with monkeypatch.context() as patched:
        patched.setattr(os, "pread", lambda *args: read(*args) if next(calls) < fails else b"\xff" * 4)
        assert card_of(kernel.machine().sysfs, PF, None).identity.serial is None
    assert known(kernel).serial == SERIAL


def test_so_is_one_whose_read_failed(kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel.give_serial(PF, SERIAL)
    with monkeypatch.context() as patched:
        patched.setattr(os, "pread", Mock(side_effect=OSError(errno.EIO, "Input/output error")))
        assert known(kernel).serial is None
    assert known(kernel).serial == SERIAL


@pytest.mark.parametrize("serial", ["3c-fd-fe-ff-ff-ff-ff-ff", "ff-ff-ff-ff-12-34-56-78"])
def test_half_of_a_number_may_be_all_ones(kernel: FakeKernel, serial: str) -> None:
    kernel.give_serial(PF, serial)
    assert known(kernel).serial == serial


@pytest.mark.parametrize("serial", [None, "00-00-00-00-00-00-00-00", "ff-ff-ff-ff-ff-ff-ff-ff"])
def test_a_card_that_has_none_is_not_asked_again(
    kernel: FakeKernel, serial: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The read would wake it."""
    kernel.give_serial(PF, serial or SERIAL)
    if serial is None:
        (kernel.devices / str(PF) / "config").write_bytes(bytes(0x1000))
    assert known(kernel).serial is None
    monkeypatch.setattr(os, "pread", Mock(side_effect=AssertionError("read again")))
    assert known(kernel).serial is None


def test_permanent_macs_that_sysfs_does_not_show_are_asked_of_netlink(kernel: FakeKernel) -> None:
    (netdev(kernel) / "addr_assign_type").write_text("3\n")
    (netdev(kernel) / "address").write_text("52:54:00:00:99:99\n")
    machine = kernel.machine()
    found = read_inventory(machine.sysfs, macs=machine.netlink).find(PF)
    assert found is not None
    assert found.identity.mac == "52:54:00:00:01:00"


def second_netdev(kernel: FakeKernel, name: str, number: int) -> None:
    """Give the function another netdev of its own, with a MAC that ends with `fe`."""
    first = netdev(kernel)
    shutil.copytree(first, first.with_name(name))
    (first.with_name(name) / "dev_port").write_text(f"{number}\n")
    (first.with_name(name) / "address").write_text("52:54:00:00:01:fe\n")


def test_of_two_ports_the_first_one_gives_the_mac_and_the_second_none_when_it_is_alone(kernel: FakeKernel) -> None:
    first = netdev(kernel)
    second_netdev(kernel, "second0", 1)
    assert known(kernel).mac == "52:54:00:00:01:00"
    shutil.rmtree(first)
    assert known(kernel).mac is None


def test_ports_that_their_driver_does_not_number_give_no_mac(kernel: FakeKernel) -> None:
    second_netdev(kernel, "x", 0)  # a shorter name comes first
    assert known(kernel).mac is None


def test_the_only_port_of_a_second_function_may_have_its_number(kernel: FakeKernel) -> None:
    there = PciAddress(0, 3, 0, 1)
    kernel.add_pf(there, mac="52:54:00:00:03:01")
    (folder,) = (kernel.devices / str(there) / "net").iterdir()
    (folder / "dev_port").write_text("1\n")
    assert known(kernel, there).mac == "52:54:00:00:03:01"


def test_beside_a_serial_number_the_first_port_that_is_there_gives_the_mac(kernel: FakeKernel) -> None:
    kernel.give_serial(PF, SERIAL)
    second_netdev(kernel, "second0", 1)
    shutil.rmtree(kernel.devices / str(PF) / "net" / "eth1v00")
    assert known(kernel).mac == "52:54:00:00:01:fe"

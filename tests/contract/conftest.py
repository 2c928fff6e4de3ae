"""One machine for the contract: the fake kernel on the host, the real one where VIRTFN_IN_GUEST is set.

The real machine has at least two idle igb PFs and two functions in one IOMMU group, and the tests run as root. Every
test leaves it as it was. A file for another machine has a `fake` of its own, and tests/fakes/real_kernels.py says which
kernel it needs.
"""

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest
from hardware import IN_GUEST, Lab
from kernel import FakeKernel

from virtfn_host.core.values.address import PciAddress
from virtfn_host.linux.act.journal import Journal
from virtfn_host.linux.act.machine import Machine
from virtfn_host.linux.netlink.asks import Netlink
from virtfn_host.linux.read.holding import who_blocks
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.linux.touch.modules import Modprobe
from virtfn_host.linux.touch.reader import Reader
from virtfn_host.linux.touch.writer import Writer


@pytest.fixture
def fake(tmp_path: Path) -> FakeKernel | None:
    """Stands in for the real machine where there is none."""
    return None if IN_GUEST else FakeKernel(tmp_path / "root", siblings=2)


@pytest.fixture(scope="session")
def real_netlink() -> Iterator[Netlink]:
    """One for all tests, as a host has one: an emulated machine takes four seconds to start the process behind it."""
    made = Netlink()
    yield made
    made.close()


@pytest.fixture
def lab(tmp_path: Path, fake: FakeKernel | None, real_netlink: Netlink) -> Iterator[Lab]:
    """The machine, with no VFs at the start and none at the end."""
    machine = fake.machine() if fake else _real_machine(tmp_path, real_netlink)
    if IN_GUEST:
        machine.modules.load("igb", 30)
    made = Lab(machine, fake)
    assert len(made.pfs) >= 2, "the contract needs two igb PFs"
    _empty(made)
    yield made
    made.outsiders_end()
    _empty(made)
    machine.writer.close()


def _real_machine(tmp_path: Path, netlink: Netlink) -> Machine:
    sysfs = Sysfs()
    writer = Writer(functools.partial(who_blocks, sysfs))
    journal = Journal(tmp_path / "journal.json")
    return Machine(sysfs=sysfs, writer=writer, journal=journal, modules=Modprobe(), netlink=netlink)


def _empty(lab: Lab) -> None:
    for pf in lab.pfs:
        if Path(lab.sysfs.device(pf)).exists():
            if lab.sysfs.vfio_bound(pf):
                lab.raw(lab.sysfs.device(pf, "driver/unbind"), str(pf))
                lab.raw(lab.sysfs.device(pf, "driver_override"), "\n")
                lab.raw(lab.sysfs.driver("igb", "bind"), str(pf))
            lab.raw(lab.sysfs.device(pf, "sriov_numvfs"), "0")
            lab.raw(lab.sysfs.device(pf, "sriov_drivers_autoprobe"), "1")


@pytest.fixture
def reader() -> Iterator[Reader]:
    """Reads with a deadline."""
    made = Reader()
    yield made
    made.close()


@pytest.fixture
def pair(lab: Lab) -> Iterator[tuple[PciAddress, PciAddress]]:
    """Two functions of one group; the first is on vfio-pci."""
    first, second = lab.siblings
    lab.to_vfio(first)
    yield first, second
    for each in (first, second):
        if lab.sysfs.bound_driver(each) is not None:
            lab.off_vfio(each)

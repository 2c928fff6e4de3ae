"""A request that fails leaves what another request about the same function was granted meanwhile."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import pytest
from kernel import FakeKernel

from virtfn_deviceplugin.grant.cdi import file_names
from virtfn_deviceplugin.grant.device_info import file_name
from virtfn_deviceplugin.grant.granted import Granted
from virtfn_deviceplugin.grant.granter import Granter
from virtfn_deviceplugin.grant.grantfile import GrantFile
from virtfn_deviceplugin.grant.offer import PoolOffer
from virtfn_deviceplugin.ledger import LedgerFile
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.extras import Cdi, Extras
from virtfn_host.core.values.offered import Allocation, DevicePool, PoolDevice
from virtfn_host.linux.poolfile import PoolFileError
from virtfn_host.linux.read.sysfs import Sysfs

PF = PciAddress(0, 1, 0, 0)
VFS = tuple(PciAddress(0, 1, 0x10, 2 * number) for number in range(4))
FAST, SLOW = "virtfn.dev/fast", "virtfn.dev/slow"
MEANWHILE = 0.1
"""Seconds for a request to come as far as it can while another one waits for its disk."""

Request = tuple[PoolOffer, list[int]]
"""An offer, and the numbers of the VFs that are asked for."""
Answer = Future[Sequence[Granted]]


class SlowLedger(LedgerFile):
    """A ledger whose first write waits until it may end; some of its writes fail."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.batches: list[int] = []
        self.fails: Callable[[int], bool] = lambda _: False
        self.begun, self.may_end = threading.Event(), threading.Event()

    def _append(self, batch: Sequence[tuple[str, tuple[Allocation, ...]]]) -> None:
        self.batches.append(len(batch))
        number = len(self.batches)
        if number == 1:
            self.begun.set()
            assert self.may_end.wait(30)
        if self.fails(number):
            raise PoolFileError("No space left on device")
        super()._append(batch)


def failed(answer: Answer) -> bool:
    error = answer.exception()
    assert error is None or isinstance(error, PoolFileError), error
    return error is not None


@dataclass
class Machine:
    """A granter, and what it has written."""

    granter: Granter
    ledger: SlowLedger
    grants: GrantFile

    def allocate(self, offer: PoolOffer, numbers: Sequence[int]) -> Sequence[Granted]:
        return self.granter.allocate(offer, [[str(VFS[number]) for number in numbers]])

    def written(self, number: int) -> tuple[str, bool, set[str]]:
        """Return of a VF: the resource in its grant, whether that says that there are CDI specs, and its files."""
        vf, later = VFS[number], GrantFile(self.grants.path)
        later.load()
        grant = self.grants.of(vf)
        assert later.of(vf) == grant
        folders = [folder for folder in (self.grants.device_info, self.grants.cdi) if folder is not None]
        names = {path.name for folder in folders for path in folder.glob("*")}
        own = {name for name in names if str(vf) in name or str(vf).replace(":", "_") in name}
        return (grant.resource_name, grant.specs, own) if grant else ("", False, own)

    def expected(self, offer: PoolOffer, number: int) -> tuple[str, bool, set[str]]:
        """Return the same of a VF that was granted by this offer."""
        name, by_cdi = offer.pool.resource_name, offer.pool.extras.cdi is not None
        specs = file_names(name, VFS[number]) if by_cdi else ()
        return name, by_cdi, {file_name(name, VFS[number]), *specs}

    def overlap(self, first: Request, second: Request) -> list[bool]:
        """Make the second request while the ledger is written for the first one; return which of them failed."""
        with ThreadPoolExecutor(2) as pool:
            one = pool.submit(self.allocate, *first)
            assert self.ledger.begun.wait(30)
            two = pool.submit(self.allocate, *second)
            wait([two], MEANWHILE)
            self.ledger.may_end.set()
        return [failed(one), failed(two)]


NOTHING = ("", False, set[str]())


def offer(name: str = FAST, *, cdi: bool = False) -> PoolOffer:
    devices = (PoolDevice(address=vf, driver="vfio-pci", numa_node=None, healthy=True, reason=None) for vf in VFS)
    return PoolOffer.of(
        DevicePool(resource_name=name, devices=tuple(devices), extras=Extras(cdi=Cdi() if cdi else None))
    )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    kernel = FakeKernel(tmp_path / "root", pfs=1)
    kernel.register("vfio-pci")
    kernel.write(kernel.devices / str(PF) / "sriov_drivers_autoprobe", "0")
    kernel.write(kernel.devices / str(PF) / "sriov_numvfs", str(len(VFS)))
    for vf in VFS:
        kernel.write(kernel.devices / str(vf) / "driver_override", "vfio-pci")
        kernel.write(kernel.drivers / "vfio-pci/bind", str(vf))
    sysfs = Sysfs(kernel.root / "sys", kernel.root / "dev", kernel.root / "proc")
    ledger = SlowLedger(tmp_path / "ledger.json")
    ledger.load(sysfs.boot_id())
    grants = GrantFile(tmp_path / "grants.json", device_info=tmp_path / "devinfo", cdi=tmp_path / "cdi")
    return Machine(Granter(sysfs, ledger, grants, tmp_path / "checkpoint", offer), ledger, grants)


each_kind_of_file = pytest.mark.parametrize("asked", [offer(), offer(cdi=True)], ids=["device-info", "and CDI"])


@each_kind_of_file
def test_a_repeat_that_is_granted_keeps_what_is_written_of_it(machine: Machine, asked: PoolOffer) -> None:
    machine.ledger.fails = lambda number: number == 1
    assert machine.overlap((asked, [0]), (asked, [0])) == [True, False]
    assert machine.written(0) == machine.expected(asked, 0)


@each_kind_of_file
def test_a_repeat_that_fails_leaves_what_the_first_was_granted(machine: Machine, asked: PoolOffer) -> None:
    machine.ledger.fails = lambda number: number == 2
    assert machine.overlap((asked, [0]), (asked, [0])) == [False, True]
    assert machine.written(0) == machine.expected(asked, 0)


@each_kind_of_file
def test_if_both_fail_nothing_is_left(machine: Machine, asked: PoolOffer) -> None:
    machine.ledger.fails = lambda _: True
    assert machine.overlap((asked, [0]), (asked, [0])) == [True, True]
    assert machine.written(0) == NOTHING


@each_kind_of_file
@pytest.mark.parametrize(
    ("first", "second"), [([0, 1], [1, 2]), ([1, 2], [0, 1]), ([0, 1, 2], [1]), ([1], [0, 1, 2]), ([2, 0], [0, 2])]
)
def test_of_requests_that_share_functions_each_keeps_its_own(
    machine: Machine, asked: PoolOffer, first: list[int], second: list[int]
) -> None:
    machine.ledger.fails = lambda number: number == 1
    assert machine.overlap((asked, first), (asked, second)) == [True, False]
    for number in range(3):
        granted = number in second
        assert machine.written(number) == (machine.expected(asked, number) if granted else NOTHING)


@pytest.mark.parametrize("fails", [0, 1, 2])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (offer(), offer(cdi=True)),
        (offer(cdi=True), offer()),
        (offer(cdi=True), offer(SLOW, cdi=True)),
        (offer(SLOW), offer(FAST)),
    ],
    ids=["then by CDI", "no more by CDI", "another resource by CDI", "another resource"],
)
@pytest.mark.parametrize("before", [None, offer(SLOW, cdi=True)], ids=["new", "given before"])
def test_the_last_that_was_granted_counts_where_the_offer_changed_between_the_two(
    machine: Machine, before: PoolOffer | None, first: PoolOffer, second: PoolOffer, fails: int
) -> None:
    """The files of an earlier pool are removed; not those that a later request wrote again."""
    if before is not None:
        machine.ledger.may_end.set()
        machine.allocate(before, [0])
        machine.ledger.batches.clear()
        machine.ledger.begun.clear()
        machine.ledger.may_end.clear()
    machine.ledger.fails = lambda number: number == fails
    assert machine.overlap((first, [0]), (second, [0])) == [fails == 1, fails == 2]
    assert machine.written(0) == machine.expected(first if fails == 2 else second, 0)


@pytest.mark.parametrize("number", [1, 3])
def test_requests_about_other_functions_go_at_the_same_time_and_share_a_write(machine: Machine, number: int) -> None:
    ledger, asked = machine.ledger, offer(cdi=True)
    with ThreadPoolExecutor(number + 1) as pool:
        answers = [pool.submit(machine.allocate, asked, [0])]
        assert ledger.begun.wait(30)
        answers += [pool.submit(machine.allocate, asked, [other]) for other in range(1, number + 1)]
        deadline = time.monotonic() + 20
        while len(ledger._together._next.items) < number and time.monotonic() < deadline:
            threading.Event().wait(0.002)
        assert [machine.written(other) for other in range(1, number + 1)] == [
            machine.expected(asked, other) for other in range(1, number + 1)
        ]
        ledger.may_end.set()
    assert not any(map(failed, answers))
    assert ledger.batches == [1, number]


@pytest.mark.parametrize("seed", range(4))
def test_of_many_requests_at_once_exactly_what_was_granted_is_written(machine: Machine, seed: int) -> None:
    dice, asked = random.Random(seed), offer(cdi=True)
    fails = [dice.random() < 0.5 for _ in range(200)]
    machine.ledger.fails = lambda number: fails[number]
    machine.ledger.may_end.set()
    requests = [dice.sample(range(len(VFS)), dice.randint(1, 2)) for _ in range(12)]
    with ThreadPoolExecutor(len(requests)) as pool:
        answers = [pool.submit(machine.allocate, asked, numbers) for numbers in requests]
    granted = {n for numbers, answer in zip(requests, answers, strict=True) if not failed(answer) for n in numbers}
    for number in range(len(VFS)):
        assert machine.written(number) == (machine.expected(asked, number) if number in granted else NOTHING)

"""`virtfn boot` on the fake kernel: what was verified is made again, one line a PF, and it always ends."""

import errno
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from kernel import FakeKernel

from virtfn_host.cli import doing as cli
from virtfn_host.cli.boot import BootPatience, make_again
from virtfn_host.cli.options import BLOCKED, DONE, REFUSED, USAGE
from virtfn_host.cli.output import Output
from virtfn_host.cli.paint import When
from virtfn_host.cli.verbs import run
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import DeviceMatcher, NodeConfig, PolicyConfig, PoolRequest
from virtfn_host.core.values.kept import KeptCard, KeptConfig
from virtfn_host.executor import Executor
from virtfn_host.linux.act.kept import keep
from virtfn_host.linux.act.machine import only_writer
from virtfn_host.linux.use.canary import Canary

PFS = tuple(PciAddress(0, number + 1, 0, 0) for number in range(3))
LEFT, RIGHT, THIRD = map(str, PFS)


def config(count: int = 2, *cards: PciAddress) -> KeptConfig:
    pool = PoolRequest(resource_name="virtfn.dev/fast", indexes=None, driver="vfio-pci")
    policy = PolicyConfig(
        name="fast",
        uid="u1",
        generation=1,
        devices=(DeviceMatcher(vendor="8086", device="10c9"),),
        count=count,
        pools=(pool,),
    )
    found = tuple(KeptCard(address=pf, vendor="8086", device="10c9") for pf in cards or PFS[:2])
    return KeptConfig(config=NodeConfig(policies=(policy,)), cards=found)


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKernel:
    """A machine after its reboot: two PFs without VFs; its journal is beside its root."""
    made = FakeKernel(tmp_path / "root", pfs=2)
    made.register("vfio-pci")
    monkeypatch.setattr(cli, "machine_of", lambda *_: made.machine())
    return made


def file(kernel: FakeKernel) -> Path:
    return kernel.root / "var/lib/virtfn/config.json"


def boot(kernel: FakeKernel, *words: str) -> int:
    return run(["boot", "--wait", "0", "--root", str(kernel.root), *words])


def drivers(kernel: FakeKernel, pf: str) -> list[str | None]:
    sysfs = kernel.machine().sysfs
    vfs = sysfs.vf_addresses(PciAddress.parse(pf))
    return [sysfs.bound_driver(vfs[index]) for index in sorted(vfs)]


def test_vfs_of_every_pf_are_made_and_bound_and_a_second_boot_writes_nothing(
    kernel: FakeKernel, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(file(kernel), config())
    assert boot(kernel) == DONE
    assert capsys.readouterr().out.splitlines() == [f"{LEFT}: 2 VFs made again", f"{RIGHT}: 2 VFs made again"]
    assert drivers(kernel, LEFT) == drivers(kernel, RIGHT) == ["vfio-pci", "vfio-pci"]
    written = len(kernel.writes)
    assert boot(kernel) == DONE
    assert len(kernel.writes) == written
    assert capsys.readouterr().out.splitlines() == [
        f"{LEFT}: 2 VFs are there already",
        f"{RIGHT}: 2 VFs are there already",
    ]


def test_after_it_restore_gives_everything_back(kernel: FakeKernel) -> None:
    keep(file(kernel), config())
    boot(kernel)
    assert [original.num_vfs for original in kernel.machine().journal.originals()] == [0, 0]


def test_without_a_file_there_is_nothing_to_do(kernel: FakeKernel, capsys: pytest.CaptureFixture[str]) -> None:
    assert boot(kernel) == DONE
    assert "nothing to make again: no config was verified yet" in capsys.readouterr().out
    assert kernel.writes == []


def test_a_config_without_vfs_is_nothing_to_do(kernel: FakeKernel, capsys: pytest.CaptureFixture[str]) -> None:
    keep(file(kernel), replace(config(), cards=()))
    assert boot(kernel) == DONE
    assert "makes no VFs" in capsys.readouterr().out


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"count":2', '"count":7'),
        lambda text: '{"kind": "Pod"}',
        lambda text: text.replace('"version":2', '"version":3'),
        lambda text: "",
    ],
)
def test_a_bad_file_is_told_and_nothing_is_made(
    kernel: FakeKernel, capsys: pytest.CaptureFixture[str], spoil: Callable[[str], str]
) -> None:
    keep(file(kernel), config())
    file(kernel).write_text(spoil(file(kernel).read_text()))
    assert boot(kernel) == REFUSED
    assert capsys.readouterr().err.startswith(f"virtfn: Unreadable: {file(kernel)} cannot be read: ")
    assert kernel.writes == []


def test_a_missing_card_is_one_line_and_the_others_are_made(
    kernel: FakeKernel, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(file(kernel), config(2, *PFS))
    assert boot(kernel) == REFUSED
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [f"{LEFT}: 2 VFs made again", f"{RIGHT}: 2 VFs made again"]
    assert shown.err.splitlines() == [
        f"virtfn: DeviceGone: {THIRD}: is not there; was the card removed, or moved to another slot?"
    ]


def test_vfs_of_another_program_stay(kernel: FakeKernel, capsys: pytest.CaptureFixture[str]) -> None:
    keep(file(kernel), config())
    kernel.write(kernel.devices / LEFT / "sriov_numvfs", "5")
    assert boot(kernel) == REFUSED
    assert len(drivers(kernel, LEFT)) == 5
    assert drivers(kernel, RIGHT) == ["vfio-pci", "vfio-pci"]
    assert f"virtfn: Drifted: {LEFT}: has 5 VFs already" in capsys.readouterr().err


def test_a_driver_that_makes_no_vfs_is_one_line_and_the_other_pf_is_made(
    kernel: FakeKernel, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(file(kernel), config())
    kernel.fail["sriov_numvfs"] = errno.ENOSPC
    assert boot(kernel) == REFUSED
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == len(shown.err.splitlines()) == 1
    assert shown.err.startswith(f"virtfn: WriteRefused: {LEFT}: set sriov_numvfs 0 -> 2: ")


def test_json_is_one_document(kernel: FakeKernel, capsys: pytest.CaptureFixture[str]) -> None:
    keep(file(kernel), config(2, PFS[0], PFS[2]))
    assert boot(kernel, "--json") == REFUSED
    told = json.loads(capsys.readouterr().out)
    assert (told["made"], [why["reason"] for why in told["left"]]) == ([LEFT], ["DeviceGone"])


def test_beside_another_writer_it_ends_at_once(kernel: FakeKernel, capsys: pytest.CaptureFixture[str]) -> None:
    keep(file(kernel), config())
    with only_writer(file(kernel).parent):
        assert boot(kernel) == REFUSED
    assert "virtfn: AnotherWriter: " in capsys.readouterr().err
    assert kernel.writes == []


@pytest.mark.parametrize("words", [("--wait", "-1"), ("--within", "nan"), ("--wait", "soon")])
def test_a_time_out_of_range_is_usage(kernel: FakeKernel, words: tuple[str, str]) -> None:
    with pytest.raises(SystemExit) as ended:
        boot(kernel, *words)
    assert ended.value.code == USAGE


# --- time ------------------------------------------------------------------------------------------------------------


class Clock:
    """Time that passes when somebody rests; something may happen at a moment."""

    def __init__(self, events: dict[int, Callable[[], object]] | None = None) -> None:
        self.now = 0.0
        self._events = events or {}

    def rest(self, seconds: float) -> None:
        self.now += seconds
        self._events.get(int(self.now), lambda: None)()


def timed(kernel: FakeKernel, kept: KeptConfig, clock: Clock, within: float = 300.0) -> int:
    executor = Executor(replace(kernel.machine(), netlink=None), Canary(deadline=0.3))
    patience = BootPatience(wait=20.0, within=within, now=lambda: clock.now, rest=clock.rest)
    try:
        return make_again(executor, kept, Output(as_json=False, color=When.NEVER, environ={}), patience)
    finally:
        executor.close()


def unload(kernel: FakeKernel, pf: str) -> Callable[[], object]:
    """Take the PF's driver away; the result brings it back."""
    link = kernel.devices / pf / "driver"
    target = link.readlink()
    link.unlink()
    return lambda: link.symlink_to(target)


def test_a_driver_that_comes_late_is_waited_for(kernel: FakeKernel) -> None:
    clock = Clock({7: unload(kernel, RIGHT)})
    assert timed(kernel, config(), clock) == DONE
    assert clock.now == 7
    assert drivers(kernel, RIGHT) == ["vfio-pci", "vfio-pci"]


def test_a_card_that_never_comes_is_waited_for_no_longer_than_told(kernel: FakeKernel) -> None:
    clock = Clock()
    assert timed(kernel, config(2, *PFS), clock) == REFUSED
    assert clock.now == 20
    assert drivers(kernel, LEFT) == ["vfio-pci", "vfio-pci"]


def test_another_card_at_the_address_is_not_waited_for(kernel: FakeKernel) -> None:
    (kernel.devices / LEFT / "device").write_text("0x1572\n")
    clock = Clock()
    assert timed(kernel, config(), clock) == REFUSED
    assert clock.now == 0


def test_when_the_time_is_over_no_further_step_begins(kernel: FakeKernel, capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()

    def late() -> None:
        clock.now = 301.0

    kernel.before_write = late
    assert timed(kernel, config(), clock) == REFUSED
    assert len(kernel.writes) == 1
    assert "not tried" in capsys.readouterr().err


def test_a_machine_that_lost_its_cards_is_told_of_each(kernel: FakeKernel, capsys: pytest.CaptureFixture[str]) -> None:
    for pf in (LEFT, RIGHT):
        shutil.rmtree(kernel.devices / pf)
    assert timed(kernel, config(), Clock()) == REFUSED
    assert capsys.readouterr().err.count("DeviceGone") == 2
    assert BLOCKED != REFUSED

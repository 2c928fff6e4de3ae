"""Programs open and close VFs at random while the tool resizes, binds and restores: none is ever pulled from under one.

`VIRTFN_CONTESTED=1000` is the long way; by default a few dozen operations are tried. Only an unbind and a write of 0 to
`sriov_numvfs` can wait for a holder. The second takes seconds by itself, so both are compared with the times at which
the programs held a VF: a write that met one waited for it, however short; an unbind of over a second counts as well, or
on a slow machine of over five times what one takes with nobody there.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import competitor
import pytest
from competitor import Met

from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import DeviceMatcher, NodeConfig, PolicyConfig, PoolRequest
from virtfn_host.core.values.model import InUse
from virtfn_host.core.values.report import Outcome
from virtfn_host.core.values.steps import Plan
from virtfn_host.linux.act.apply import apply
from virtfn_host.linux.act.journal import Journal
from virtfn_host.linux.act.machine import Machine
from virtfn_host.linux.look.inventory import read_inventory
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.linux.touch.modules import Modprobe
from virtfn_host.linux.touch.writer import MAX_CHILDREN, Answer, Writer
from virtfn_host.linux.use.lock import evidence

OPERATIONS = int(os.environ.get("VIRTFN_CONTESTED", "40"))
SEED = int(os.environ.get("VIRTFN_SEED", "1"))
DEVICES = Path("/sys/bus/pci/devices")
LONGEST = 4 * OPERATIONS
"""Operations after which programs that have hardly met ours are an error."""
THEIRS = 4
"""VFs that are there before us, so that much can be bound and restored without making VFs anew."""


@dataclass(frozen=True)
class Written:
    """A write of ours that ends something."""

    path: str
    value: str
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    @property
    def resizes(self) -> bool:
        return self.path.endswith("/sriov_numvfs")

    def meets(self, pf: str, vf: str, began: float, ended: float) -> bool:
        """Whether it went on while this VF was held."""
        acts = f"/{pf}/" in self.path if self.resizes else self.path.endswith("/unbind") and self.value == vf
        return acts and began < self.ended and self.began < ended


class Timed(Writer):
    """Remembers every write and its time."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[Written] = []

    def write_each(
        self,
        writes: Sequence[tuple[os.PathLike[str] | str, str]],
        deadline: float,
        at_once: int = MAX_CHILDREN,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> list[Answer]:
        began = time.monotonic()
        answers = super().write_each(writes, deadline, at_once, meanwhile)
        self.written += [Written(os.fspath(path), value, began, time.monotonic()) for path, value in writes]
        return answers


class Competitors:
    """Two programs that want the VFs of one PF; what they tell is in files, see there."""

    def __init__(self, pf: PciAddress, folder: Path) -> None:
        self._files = [folder / f"competitor-{number}" for number in range(2)]
        self._running = []
        for number, file in enumerate(self._files):
            words = [sys.executable, competitor.__file__, str(pf), str(SEED + number)]
            with file.open("w") as out:
                self._running.append(subprocess.Popen(words, stdout=out))

    def met(self) -> list[Met]:
        """Until now: a line that is half written is left for the next time."""
        lines = [line for file in self._files for line in file.read_text().splitlines(keepends=True)]
        return [Met(**json.loads(line)) for line in lines if line.endswith("\n")]

    def end(self) -> None:
        """Wait until they hold nothing any more; a crash of one is an error."""
        for one in self._running:
            one.terminate()
        assert [one.wait(60) for one in self._running] == [0, 0]

    def kill(self) -> None:
        for one in self._running:
            one.kill()


@pytest.fixture
def competitors(machine: Machine, tmp_path: Path) -> Iterator[Callable[[], Competitors]]:
    """Starts them."""
    with ExitStack() as started:

        def start() -> Competitors:
            made = Competitors(PciAddress.parse(_igb(machine).name), tmp_path)
            started.callback(made.kill)
            return made

        yield start


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    subprocess.run(["modprobe", "-a", "igb", "igbvf", "vfio-pci"], check=True)
    writer = Timed()
    writer.write_all([("/dev/null", "x")] * 16, 60)  # starting its children takes seconds in an emulated machine
    writer.written.clear()
    made = Machine(sysfs=Sysfs(), writer=writer, journal=Journal(tmp_path / "journal.json"), modules=Modprobe())
    pf = _igb(made)
    (pf / "sriov_drivers_autoprobe").write_text("0")
    (pf / "sriov_numvfs").write_text(str(THEIRS))
    yield made
    writer.close()
    (pf / "sriov_numvfs").write_text("0")
    (pf / "sriov_drivers_autoprobe").write_text("1")


def _igb(machine: Machine) -> Path:
    found = read_inventory(machine.sysfs).pfs
    return DEVICES / next(str(pf.address) for pf in found if (pf.vendor, pf.device) == ("8086", "10c9"))


@pytest.mark.timeout(7200)
def test_nothing_is_pulled_from_under_a_program(
    machine: Machine, competitors: Callable[[], Competitors], tried: Callable[[int], None]
) -> None:
    pf, chance, seen = PciAddress.parse(_igb(machine).name), random.Random(SEED), Counter[str]()
    writer = machine.writer
    assert isinstance(writer, Timed)
    for count in (7, 2):
        _operate(machine, _asked(pf, count, None, "vfio-pci"), chance, Counter())
    alone, writer.written = writer.written, []
    began, operations = time.monotonic(), 0
    programs = competitors()
    # How often they meet is a matter of the machine's speed: it goes on until they have met often enough.
    while operations < OPERATIONS or (operations < LONGEST and not _contested(programs.met(), seen)):
        kind, config = _operation(pf, chance)
        seen[f"operations: {kind}"] += 1
        _operate(machine, config, chance, seen)
        operations += 1
    seconds = time.monotonic() - began
    programs.end()
    every = programs.met()
    holds = [one for one in every if not one.refused]
    met = [write for write in writer.written for hold in holds if write.meets(str(pf), hold.vf, hold.began, hold.ended)]
    pulled = [one for one in holds if one.pulled]
    unbinds = [write for write in writer.written if write.path.endswith("/unbind")]
    # Side by side on an emulated CPU they may take longer than they would one by one, with nobody in the way.
    limit = max(1.0, 5 * max(write.seconds for write in alone if write.path.endswith("/unbind")))
    blocked = [write for write in writer.written if write.seconds > limit and (write in met or write in unbinds)]
    print(
        f"{operations} operations in {seconds:.0f} s; {len(writer.written)} writes of ours; VFs held {len(holds)} times"
    )
    print(f"programs refused {len(every) - len(holds)} times; {dict(sorted(seen.items()))}")
    print(
        f"longest unbind {max(write.seconds for write in unbinds):.3f} s; longest write of sriov_numvfs "
        f"{_longest(writer.written):.3f} s, without competitors {_longest(alone):.3f} s"
    )
    print(f"held VFs touched: {len(pulled)}; writes that met a holder: {len(met)}")
    print(f"writes that were blocked over {limit:.1f} s: {len(blocked)}")
    tried(operations)
    assert (pulled, met, blocked) == ([], [], [])
    assert _contested(every, seen), "too few met"
    assert not any("Stuck" in what for what in seen)


def _contested(met: list[Met], seen: Counter[str]) -> bool:
    held = sum(not one.refused for one in met)
    return min(held, seen["steps done"]) > OPERATIONS / 4 and seen["refused VfsInUse"] > OPERATIONS / 100


def _longest(writes: list[Written]) -> float:
    return max((write.seconds for write in writes if write.resizes), default=0.0)


def _operate(machine: Machine, config: NodeConfig, chance: random.Random, seen: Counter[str]) -> None:
    """Look, plan, apply; half of the plans know of no holder, so that only the lock stands between."""
    inventory = read_inventory(machine.sysfs)
    in_use = evidence(machine.sysfs, inventory) if chance.random() < 0.5 else InUse(holders=())
    made = plan(inventory, resolve(config, inventory, machine.journal.originals()).desired, in_use)
    seen["blocked in the plan"] += bool(made.blocked)
    # Each operation is asked for anew: what was tried for the ones before does not count.
    asked = Plan(pfs=tuple(replace(part, wish=uuid4().hex) for part in made.pfs))
    for result in apply(asked, machine).results:
        seen["steps done"] += result.outcome is Outcome.DONE
        if result.outcome is Outcome.FAILED:
            seen[f"refused {result.reason}"] += 1


def _operation(pf: PciAddress, chance: random.Random) -> tuple[str, NodeConfig]:
    kind = chance.choices(["resize", "bind", "restore"], [20, 60, 20])[0]
    driver = chance.choice(["vfio-pci", "vfio-pci", "kernel"])
    match kind:
        case "resize":
            return kind, _asked(pf, chance.choice([2, 4, 4, 7]), None, driver)
        case "bind":
            return kind, _asked(pf, None, tuple(sorted(chance.sample(range(THEIRS), 2))), driver)
        case _:
            return kind, NodeConfig(policies=())


def _asked(pf: PciAddress, count: int | None, indexes: tuple[int, ...] | None, driver: str) -> NodeConfig:
    policy = PolicyConfig(
        name="x",
        uid="u",
        generation=1,
        devices=(DeviceMatcher(address=pf),),
        count=count,
        pools=(PoolRequest(resource_name="a.b/x", indexes=indexes, driver=driver),),
    )
    return NodeConfig(policies=(policy,))

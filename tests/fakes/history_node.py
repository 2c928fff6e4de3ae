"""The node of a random history: the fake kernel, the holders of functions, and our host process, watched at each write.

At each write of ours it checks that no function in use is touched, that no write of ours is stuck, and that no blocked
write of an outsider has the lock of all PCI devices. The journal has a law of its own, `journal_law.py`. `Histories`
decides what happens; this file carries it out and checks.
"""

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from inventories import NEW_LINK, a_pod
from journal_law import JournalLaw
from kernel import IGB, FakeKernel
from memory import folder_in_memory
from other_results import OtherResults
from outsider import Outsider
from tries_law import TriesLaw

from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.turn.tries import judged
from virtfn_host.core.turn.verify import verify
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import Desired, NodeConfig
from virtfn_host.core.values.model import InUse, VfLink
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import Outcome, StepResult
from virtfn_host.core.values.steps import Plan, SetLink, SetNumVfs, pf_of
from virtfn_host.executor import Executor
from virtfn_host.linux.act.machine import Machine
from virtfn_host.linux.act.tries import NAME
from virtfn_host.linux.touch.ports import own_netdev
from virtfn_host.linux.use.canary import Canary
from virtfn_host.process.protocol import Look
from virtfn_host.process.serve import Host

TOTAL_VFS = 3
TURNS = 6
"""Turns within which a node without functions in use converges."""

SEEN = 10.0
"""Seconds within which a blocked write of an outsider is reported, and its end is."""

ANOTHER_CARD = ("8086", "10e6")
"""Ids of a card that takes the place of another."""

seen: Counter[str] = Counter()
"""How often each thing happened, over all histories of this process."""

RAN = "histories"
"""Key of `seen` for histories that ended with every law kept."""


class How(StrEnum):
    """How a holder uses a VF."""

    GIVEN = "given to a pod, not opened"
    OPENED = "opened by a pod"
    GROUP = "group opened only"
    UP = "netdev up"
    ENSLAVED = "netdev enslaved"
    ELSEWHERE = "netdev in a namespace"


VFIO_HOLDS = (How.GIVEN, How.OPENED, How.GROUP)
NETDEV_HOLDS = (How.UP, How.ENSLAVED, How.ELSEWHERE)


@dataclass(frozen=True, slots=True)
class Hold:
    """A holder of a VF, and what shows that the VF is the same: one that was made anew has another group."""

    how: How
    pf: PciAddress
    driver: str
    group: int | None
    link: VfLink


canary = Canary(deadline=0.3)
"""Shared by all histories of this process, so that its child is started once."""


class WatchingHost(Host):
    """The host process without its socket, on a machine where nothing takes long."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(Executor(machine, canary), reader=None)


class HistoryNode:
    """The node, its holders and outsiders, and turns of ours."""

    def __init__(self, pfs: int) -> None:
        self.folder = folder_in_memory("history-")
        self.kernel = FakeKernel(self.folder / "root", pfs=pfs, total_vfs=TOTAL_VFS)
        self.machine = self.kernel.machine()
        self.host = WatchingHost(self.machine)
        self.clock = 1000.0
        """Seconds since boot."""
        self.kernel.now = lambda: self.clock
        self.tries = TriesLaw(seen)
        self._edits = 0
        self.config = NodeConfig(policies=())
        self.cards = {PciAddress(0, number + 1, 0, 0): IGB for number in range(pfs)}
        """Cards that are plugged in."""
        self.journal = JournalLaw(self.machine, self.cards, seen)
        self.pulled: set[PciAddress] = set()
        self.holds: dict[PciAddress, Hold] = {}
        self.stuck: tuple[str, str] | None = None
        """Path and value of a write of ours that is blocked."""
        self.in_the_way: PciAddress | None = None
        """The function on which a write of an outsider is blocked."""
        self._checked = 0
        self.failures: list[str] = []
        """Messages of the steps that failed in the last turn."""
        self.desired = Desired(pfs=())
        """What the last plan was made for."""

    @property
    def config(self) -> NodeConfig:
        """The policies."""
        return self._config

    @config.setter
    def config(self, config: NodeConfig) -> None:
        """Change the policies; each change is an edit of all of them."""
        self._edits += 1
        self._config = NodeConfig(policies=tuple(replace(p, generation=self._edits) for p in config.policies))
        self.tries.edited()

    def drivers_do_as_asked(self) -> None:
        """End what drivers made instead; a person edits the policies and removes the tries, as the runbook says."""
        self.kernel.instead = OtherResults()
        self.config = self.config
        self.machine.journal.path.with_name(NAME).unlink(missing_ok=True)

    def close(self) -> None:
        """End the node and release what it has."""
        if self.in_the_way is not None:
            canary.close()  # a read may hang for ever on a file that is removed now
        self.machine.writer.close()
        shutil.rmtree(self.folder)

    # --- what is there --------------------------------------------------------------------------------------------

    def vfs_of(self, pf: PciAddress) -> set[PciAddress]:
        return set(self.machine.sysfs.vf_addresses(pf).values())

    def free_vfs(self, driver: str | None = None) -> list[PciAddress]:
        """Return VFs that are not in use, on this driver or on any."""
        # Without VFs that a queued write of ours takes away soon: nothing can protect who begins to use one now.
        gone = {self.in_the_way, *(pf for pf in self.cards if self.stuck and f"/{pf}/" in self.stuck[0])}
        found = sorted(vf for pf in self.cards if pf not in gone for vf in self.vfs_of(pf) if vf not in self.holds)
        return [vf for vf in found if driver in (None, self.machine.sysfs.bound_driver(vf))]

    def free_for_pods(self) -> list[PciAddress]:
        """Return VFs and whole functions on vfio-pci that are not in use."""
        whole = [pf for pf in self.cards if pf not in self.holds and self.machine.sysfs.bound_driver(pf) == "vfio-pci"]
        return sorted([*whole, *self.free_vfs("vfio-pci")])

    def opened(self) -> list[PciAddress]:
        """Return functions whose device is open: only their unbind blocks."""
        return [address for address, hold in self.holds.items() if hold.how is How.OPENED]

    def free_pfs(self) -> list[PciAddress]:
        """Return PFs without functions in use."""
        held = {hold.pf for hold in self.holds.values()}
        return sorted(pf for pf in self.cards if pf not in held)

    def link(self, vf: PciAddress) -> VfLink:
        """Return a VF's link settings, as its PF has them."""
        return self.kernel.links.get(vf, NEW_LINK)

    # --- what others do -------------------------------------------------------------------------------------------

    def outsider(self, path: str, value: str) -> None:
        """Make an outsider's write; if the kernel refuses it, nothing happens."""
        with suppress(OSError):
            self.kernel.write(Path(path), value)

    def outsiders_write_gets_blocked(self, held: PciAddress, *, resize: bool) -> None:
        """Let an outsider unbind an open function or, if `resize` and nothing else of its PF is in use, end all VFs."""
        sysfs, pf = self.machine.sysfs, self.holds[held].pf
        others = [hold for hold in self.holds.values() if hold.pf == pf and hold.how is not How.OPENED]
        resize = resize and held != pf and not others
        self.in_the_way = pf if resize else held
        path = sysfs.device(pf, "sriov_numvfs") if resize else sysfs.driver("vfio-pci", "unbind")
        self.kernel.outsider = Outsider(self.kernel, Path(path), "0" if resize else str(held))
        seen[f"outsiders blocked in {Path(path).name}"] += 1

    def set_link(self, vf: PciAddress, setting: VfLink) -> None:
        """Let an outsider set a link setting, if the VF's PF has a netdev."""
        pf = next(pf for pf in self.cards if vf in self.vfs_of(pf))
        if (netdev := own_netdev(self.machine.sysfs, pf)) is not None and self.machine.netlink is not None:
            index = next(n for n, one in self.machine.sysfs.vf_addresses(pf).items() if one == vf)
            self.machine.netlink.set_vf(self.machine.netlink.links(netdev).ifindex, index, setting)

    def hold(self, vf: PciAddress, how: How) -> None:
        """Begin to use a free VF or whole function; one that we have locked now cannot be opened."""
        sysfs = self.machine.sysfs
        try:
            match how:
                case How.OPENED:
                    self.kernel.open_device(vf)
                case How.GROUP:
                    self.kernel.open_group(vf)
                case How.GIVEN:
                    pass
                case _:
                    self._netdev(vf, how)
        except OSError:
            seen["pods that met our lock"] += 1
            return
        seen[f"holders: {how}"] += 1
        pf = vf if vf in self.cards else next(pf for pf in self.cards if vf in self.vfs_of(pf))
        seen["holders of whole functions"] += vf == pf
        self.holds[vf] = Hold(how, pf, sysfs.bound_driver(vf) or "", sysfs.group(vf), self.link(vf))

    def let_go(self, vf: PciAddress) -> None:
        """End the holder of a function."""
        hold = self.holds.pop(vf)
        if hold.how in NETDEV_HOLDS:
            self._netdev(vf, None)
        else:
            self.kernel.close_device(vf)
            if self.in_the_way is not None and self.kernel.outsider is None:
                self.in_the_way = None
                self._look_until(lambda path: not path, "a blocked write is seen that has ended")
            self._look_for_stuck()

    def _netdev(self, vf: PciAddress, how: How | None) -> None:
        """Set a VF's netdev to a kind of use; None: down, without a master, in our namespace."""
        folder = self.kernel.devices / str(vf) / "net"
        netdev = folder / f"eth{vf.bus}v{vf.device}{vf.function}"
        if how is How.ELSEWHERE:
            shutil.rmtree(netdev)
            return
        if not netdev.exists():
            netdev.mkdir()
            (netdev / "ifindex").write_text(f"{next(self.kernel.ifindexes)}\n")
        (netdev / "flags").write_text("0x1003\n" if how is How.UP else "0x1002\n")
        (netdev / "master").unlink(missing_ok=True)
        if how is How.ENSLAVED:
            (netdev / "master").symlink_to("../../../bond0")

    def others(self, happens: Callable[[], None]) -> None:
        """Let others act in the middle of a turn of ours."""
        self.check_writes()
        self.journal.check()
        happens()
        self.journal.others_did()
        self._checked = len(self.kernel.writes)
        seen["came between two writes"] += 1

    # --- what we do -----------------------------------------------------------------------------------------------

    def plan(self) -> Plan:
        """Look and plan; an empty plan is also checked by `verify`."""
        if self.in_the_way is not None:
            # Agent and command stop planning then; their own tests show that.
            if self.stuck is None:  # else our own blocked write is reported instead
                self._look_until(lambda path: str(self.in_the_way) in path, f"{self.in_the_way}: blocked, and not seen")
            seen["turns while an outsider is blocked"] += 1
            return Plan(pfs=())
        found = self.host.observe(Look(links=True))
        inventory = found.inventory
        given = tuple(a_pod(vf) for vf, hold in self.holds.items() if hold.how in (How.GIVEN, How.OPENED))
        in_use = InUse(holders=(*found.evidence.holders, *given))
        desired = resolve(self.config, inventory, found.originals, found.claims).desired
        self.desired = desired
        for wanted in desired.pfs:
            self.journal.planned(wanted)
        tried = judged(self.config, found, desired, in_use, self.clock)
        made = tried.plan
        if not made.steps and not made.blocked:
            assert verify(tried.desired, inventory) == ()
        seen["plans with something blocked"] += bool(made.blocked)
        seen["plans with a PF that waits for its driver"] += any(
            blocked.reason is Reason.DRIVER_MADE_OTHER for blocked in made.blocked
        )
        seen["plans with what came instead"] += bool(tried.notes)
        return made

    def _look_until(self, so: Callable[[str], bool], otherwise: str) -> None:
        """Wait until the path of a reported blocked write (empty: none is reported) satisfies `so`."""
        until = time.monotonic() + SEEN
        while not so(((stuck := self.host.observe().stuck) and stuck.path) or ""):
            assert time.monotonic() < until, otherwise

    def apply(self, made: Plan, on_result: Callable[[StepResult], None] = lambda _: None) -> None:
        """Carry a plan out and check every write."""
        self.journal.turn_of(set(map(pf_of, made.steps)))
        self._checked = len(self.kernel.writes)
        seen["turns with steps"] += bool(made.steps)
        self.failures.clear()
        halted = refused = self.kernel.outsider is not None and self.kernel.outsider.resizes
        seen["plans refused because of an outsider"] += refused and bool(made.steps)

        results: list[StepResult] = []

        def ended(result: StepResult) -> None:
            nonlocal halted
            results.append(result)
            self.tries.result(result)
            if isinstance(result.step, SetNumVfs) and result.outcome is Outcome.DONE:
                self.journal.numbered(result.step.pf)
            assert not (halted and result.outcome is Outcome.DONE), f"done after a blocked write: {result.message}"
            if result.reason is Reason.STUCK and not halted:
                halted = True
                self.check_writes()
                self._look_for_stuck()
            seen[f"steps {result.outcome}"] += 1
            if result.outcome is Outcome.FAILED:
                seen[f"refused: {result.reason}"] += 1
                self.failures.append(result.message)
            self.journal.check()
            if isinstance(result.step, SetLink) and result.outcome is Outcome.DONE:
                self.journal.linked(result.step)
            on_result(result)

        try:
            self.host.apply(made, ended)
            self.tries.ended(results)
        finally:
            assert not refused or len(self.kernel.writes) == self._checked, "wrote while an outsider has the lock"
            self.check_writes()
            self.journal.check()
            self._look_for_stuck()

    def get_stuck(self, vf: PciAddress) -> None:
        """Start an unbind of an open VF in spite of the lock; it blocks."""
        path = self.machine.sysfs.device(vf, "driver/unbind")
        self.machine.writer.write_each([(path, str(vf))], 1)
        self._look_for_stuck()
        assert self.stuck is not None
        seen["times stuck"] += 1

    def _look_for_stuck(self) -> None:
        """Note which write of ours is blocked now (queued behind an outsider's, or forced), if any."""
        stuck = self.machine.writer.stuck()
        self.stuck = None if stuck is None else (str(Path(stuck.path).relative_to(self.kernel.root)), stuck.value)
        self._checked = len(self.kernel.writes)

    def killed(self) -> None:
        """Replace our process; the next one knows only what is on the machine."""
        self.kernel.killed_after = None
        self.machine = self.journal.machine = self.kernel.machine()
        self.host = WatchingHost(self.machine)
        seen["kills"] += 1

    def converge(self) -> None:
        """Run turns until the plan is empty; without functions in use a few turns are enough."""
        for _ in range(TURNS):
            made = self.plan()
            assert made.blocked == (), made.blocked
            if not made.steps:
                return
            self.apply(made)
        raise AssertionError(f"not converged after {TURNS} turns: {self.failures}; still: {made.steps}")

    # --- laws -----------------------------------------------------------------------------------------------------

    def check_writes(self) -> None:
        """Check that no write of ours since the last check touched a function in use, or was made on a stuck node."""
        writes = self.kernel.writes[self._checked :]
        self._checked = len(self.kernel.writes)
        seen["writes of ours"] += len(writes)
        for path, value in writes:
            seen["link settings"] += path.startswith("rtnetlink")
            assert self.stuck is None, f"wrote {value!r} to {path} on a node that is stuck"
            for vf, hold in self.holds.items():
                assert not _touches(path, value, vf, hold.pf), f"wrote {value!r} to {path}; {vf} is held: {hold}"

    def check_held(self) -> None:
        """Check that every function in use is still there: the same VF on the same driver."""
        sysfs = self.machine.sysfs
        for vf, hold in self.holds.items():
            if self.in_the_way not in (vf, hold.pf) and (self.stuck is None or str(vf) != self.stuck[1]):
                now = sysfs.bound_driver(vf), sysfs.group(vf), self.link(vf)
                assert now == (hold.driver, hold.group, hold.link), (vf, hold, now)


def _touches(path: str, value: str, vf: PciAddress, pf: PciAddress) -> bool:
    """Whether a write acts on this VF: its binding, its own files, or the number of VFs of its PF.

    `driver_override` does not act on it: it is for the next bind and changes nothing of a bound VF.
    """
    folder, _, name = path.rpartition("/")
    if name == "driver_override":
        return False
    return value == str(vf) or f"/{vf}" in path or (name == "sriov_numvfs" and folder.endswith(f"/{pf}"))


def pick(found: Iterable[PciAddress], number: int) -> PciAddress | None:
    """Return one of them by number, or None if there is none."""
    some = sorted(found)
    return some[number % len(some)] if some else None

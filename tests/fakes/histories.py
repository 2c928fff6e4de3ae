"""Random histories of a node on the fake kernel, and the laws that hold in every one of them.

What may happen: policies come, change and go; pods get VFs, open and close them; outsiders rebind, resize and unplug;
our own process dies between any two writes. What must hold: a function that is held is never touched and no write of
ours ever blocks; once nobody holds anything, a few turns bring the node to what is asked; and when nothing is asked any
more it is exactly as it was before the first touch.
"""

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from kernel import FakeKernel

from virtfn_host.core.address import PciAddress
from virtfn_host.core.model import (
    DeviceMatcher,
    Holder,
    HolderKind,
    InUse,
    NodeConfig,
    Original,
    PhysicalFunction,
    PolicyConfig,
    PoolRequest,
)
from virtfn_host.core.plan import plan
from virtfn_host.core.resolve import Resolution, resolve
from virtfn_host.core.steps import Plan
from virtfn_host.core.verify import verify
from virtfn_host.linux.apply import apply
from virtfn_host.linux.custody import evidence
from virtfn_host.linux.inventory import read_inventory, read_pf
from virtfn_host.linux.journal import original_of

PFS = 2
TOTAL_VFS = 3
TURNS = 6
"""Turns within which a node that nobody holds anything of converges."""

drivers = st.sampled_from(["vfio-pci", "kernel"])
indexes = st.none() | st.sets(st.integers(0, TOTAL_VFS - 1), min_size=1).map(lambda found: tuple(sorted(found)))
pools = st.builds(PoolRequest, resource_name=st.sampled_from(["a.b/x", "a.b/y"]), indexes=indexes, driver=drivers)
matchers = st.sampled_from(
    [DeviceMatcher(vendor="8086"), *(DeviceMatcher(address=PciAddress(0, n + 1, 0, 0)) for n in range(PFS))]
)
policies = st.builds(
    PolicyConfig,
    name=st.sampled_from(["p", "q", "r"]),
    uid=st.just("u"),
    generation=st.just(1),
    devices=st.tuples(matchers),
    count=st.sampled_from([3, 2, 1, 3, 2, None, 0, TOTAL_VFS + 1]),
    pools=st.lists(pools, min_size=1, max_size=2, unique_by=lambda pool: pool.resource_name).map(tuple),
)
configs = st.lists(policies, min_size=1, max_size=3, unique_by=lambda policy: policy.name).map(
    lambda found: NodeConfig(policies=tuple(found))
)
numbers = st.integers(0, 63)


class Histories(RuleBasedStateMachine):
    """One node."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="history-", dir=_memory()))
        self.kernel = FakeKernel(self.folder / "root", pfs=PFS, total_vfs=TOTAL_VFS)
        self.machine = self.kernel.machine()
        self.config = NodeConfig(policies=())
        self.pods: set[PciAddress] = set()
        """VFs that the kubelet gave to pods; some of them are open, too."""
        self.pulled: set[PciAddress] = set()
        self.expected: dict[PciAddress, Original] = {}
        """How PFs were when we touched them first, as the test saw it."""

    # --- what others do -------------------------------------------------------------------------------------------

    @initialize(made=st.tuples(*[st.sampled_from([0, 0, 1, TOTAL_VFS])] * PFS), config=configs)
    def machine_comes_up(self, made: tuple[int, ...], config: NodeConfig) -> None:
        """With VFs of somebody, or none; with policies, of which the half is carried out before the history begins."""
        for pf, number in zip(self._pfs(), made, strict=True):
            self._outsider(self.kernel.devices / str(pf) / "sriov_numvfs", str(number))
        self.config = config
        if made[0]:
            self.a_turn()

    @rule(config=configs)
    def policies_change(self, config: NodeConfig) -> None:
        """Any of them, good or bad."""
        self.config = config

    @rule()
    def policies_are_deleted(self) -> None:
        """All of them."""
        self.config = NodeConfig(policies=())

    @rule(number=numbers, opened=st.booleans())
    def a_pod_gets_a_vf(self, number: int, opened: bool) -> None:
        """One that is on vfio-pci, and opens it or not yet."""
        if (vf := self._pick(self._vfs("vfio-pci") - self.pods, number)) is not None:
            self.pods.add(vf)
            if opened:
                self.kernel.open_device(vf)

    @rule(number=numbers)
    def a_pod_ends(self, number: int) -> None:
        """And lets go of what it had."""
        if (vf := self._pick(self.pods, number)) is not None:
            self._end(vf)

    @rule(number=numbers, up=st.booleans())
    def a_netdev_goes_up_or_down(self, number: int, up: bool) -> None:
        """Of a VF on its network driver."""
        if (vf := self._pick(self._vfs("igbvf"), number)) is not None:
            self._netdev(vf, up)

    @rule(number=numbers, driver=st.sampled_from(["vfio-pci", "igbvf", None]))
    def an_outsider_rebinds(self, number: int, driver: str | None) -> None:
        """A VF that nobody holds: with a held one his write would block, and that is his own affair."""
        vf = self._pick(self._vfs() - self._held(), number)
        if vf is None:
            return
        folder = self.kernel.devices / str(vf)
        self._outsider(folder / "driver/unbind", str(vf))
        if driver is not None:
            self.machine.modules.load(driver, 1)
            self._outsider(folder / "driver_override", driver)
            self._outsider(self.kernel.drivers / driver / "bind", str(vf))

    @rule(number=numbers, count=st.integers(0, TOTAL_VFS))
    def an_outsider_resizes(self, number: int, count: int) -> None:
        """A PF of which nothing is held."""
        pf = self._pick({pf for pf in self._pfs() if not self._vfs_of(pf) & self._held()}, number)
        if pf is not None:
            self._outsider(self.kernel.devices / str(pf) / "sriov_numvfs", "0")
            self._outsider(self.kernel.devices / str(pf) / "sriov_numvfs", str(count))

    @rule(number=numbers, value=st.booleans())
    def an_outsider_sets_autoprobe(self, number: int, value: bool) -> None:
        """Of any PF."""
        if (pf := self._pick(set(self._pfs()), number)) is not None:
            self._outsider(self.kernel.devices / str(pf) / "sriov_drivers_autoprobe", f"{value:d}")

    @rule(number=numbers)
    def a_card_is_pulled(self, number: int) -> None:
        """One of which nothing is held."""
        pf = self._pick({pf for pf in self._pfs() if not self._vfs_of(pf) & self._held()}, number)
        if pf is not None:
            self.kernel.remove_pf(pf)
            self.pulled.add(pf)

    @precondition(lambda self: self.pulled)
    @rule()
    def cards_are_put_back(self) -> None:
        """All of them."""
        for pf in sorted(self.pulled):
            self.kernel.add_pf(pf, TOTAL_VFS)
        self.pulled.clear()

    # --- what we do -----------------------------------------------------------------------------------------------

    @rule()
    def a_turn(self) -> None:
        """Look, plan, apply."""
        self._apply(self._plan())

    @rule(number=numbers)
    def a_turn_that_a_pod_overtakes(self, number: int) -> None:
        """Between plan and apply a pod opens a VF; only the in-use lock knows."""
        made = self._plan()
        self.a_pod_gets_a_vf(number, True)
        self._apply(made)

    @rule(writes=st.integers(0, 12))
    def a_turn_that_is_killed(self, writes: int) -> None:
        """After so many writes; the next process knows only what is on the machine."""
        self.kernel.killed_after = writes
        with suppress(InterruptedError):
            self._apply(self._plan())
        self.kernel.killed_after = None
        self.machine = self.kernel.machine()

    @rule(
        attribute=st.sampled_from(["bind", "unbind", "sriov_numvfs", "driver_override"]), errno=st.sampled_from([5, 19])
    )
    def a_turn_with_a_write_that_is_refused(self, attribute: str, errno: int) -> None:
        """By the kernel, once."""
        self.kernel.fail[attribute] = errno
        self._apply(self._plan())
        self.kernel.fail.clear()

    # --- laws -----------------------------------------------------------------------------------------------------

    @invariant()
    def no_write_of_ours_blocks(self) -> None:
        """Nor is anything written after one that does."""
        assert self.machine.writer.stuck() is None

    @invariant()
    def what_is_held_is_there(self) -> None:
        """On its driver."""
        assert self.pods <= self._vfs("vfio-pci")

    def teardown(self) -> None:
        """Whatever happened: it converges, and gives back exactly."""
        try:
            for vf in sorted(self.pods):
                self._end(vf)
            for vf in self._vfs("igbvf"):
                self._netdev(vf, False)
            self.cards_are_put_back()
            self._converge()
            self.config = NodeConfig(policies=())
            self._converge()
            assert self.machine.journal.originals() == ()
            assert self.expected == {}
        finally:
            self.machine.writer.close()
            shutil.rmtree(self.folder)

    # --- how ------------------------------------------------------------------------------------------------------

    def _resolve(self) -> Resolution:
        return resolve(self.config, read_inventory(self.machine.sysfs), self.machine.journal.originals())

    def _plan(self) -> Plan:
        inventory = read_inventory(self.machine.sysfs)
        seen = evidence(self.machine.sysfs, inventory).holders
        given = tuple(Holder(address=vf, kind=HolderKind.POD, text="pod a/b") for vf in sorted(self.pods))
        return plan(inventory, self._resolve().desired, InUse(holders=(*seen, *given)))

    def _apply(self, made: Plan) -> None:
        before = {pf.address: original_of(pf) for pf in read_inventory(self.machine.sysfs).pfs}
        known = {entry.address for entry in self.machine.journal.originals()}
        try:
            apply(made, self.machine)
        finally:
            now = {entry.address for entry in self.machine.journal.originals()}
            for pf in now - known:
                self.expected[pf] = before[pf]
            for pf in known - now:
                assert original_of(self._pf(pf)) == self.expected.pop(pf)

    def _converge(self) -> None:
        for _ in range(TURNS):
            made = self._plan()
            assert made.blocked == (), made.blocked
            if not made.steps:
                break
            self._apply(made)
        desired = self._resolve().desired
        assert self._plan().steps == ()
        assert verify(desired, read_inventory(self.machine.sysfs)) == ()

    def _outsider(self, path: Path, value: str) -> None:
        with suppress(OSError):  # what the kernel refuses him is no affair of ours
            self.kernel.write(path, value)

    def _end(self, vf: PciAddress) -> None:
        self.pods.discard(vf)
        self.kernel.close_device(vf)

    def _netdev(self, vf: PciAddress, up: bool) -> None:
        for netdev in (self.kernel.devices / str(vf) / "net").iterdir():
            (netdev / "flags").write_text("0x1003\n" if up else "0x1002\n")

    def _held(self) -> set[PciAddress]:
        return self.pods | {
            holder.address for holder in evidence(self.machine.sysfs, read_inventory(self.machine.sysfs)).holders
        }

    def _pf(self, address: PciAddress) -> PhysicalFunction:
        found = read_pf(self.machine.sysfs, address)
        assert found is not None
        return found

    def _pfs(self) -> list[PciAddress]:
        return [pf.address for pf in read_inventory(self.machine.sysfs).pfs]

    def _vfs_of(self, pf: PciAddress) -> set[PciAddress]:
        return set(self.machine.sysfs.vf_addresses(pf).values())

    def _vfs(self, driver: str | None = None) -> set[PciAddress]:
        found = {vf for pf in self._pfs() for vf in self._vfs_of(pf)}
        return {vf for vf in found if driver in (None, self.machine.sysfs.bound_driver(vf))}

    @staticmethod
    def _pick(found: set[PciAddress], number: int) -> PciAddress | None:
        return sorted(found)[number % len(found)] if found else None


def _memory() -> str | None:
    """A folder in memory, where there is one: a history writes a thousand small files."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None

"""Random histories of a node on the fake kernel, and the laws that hold in every one of them.

What may happen: policies come, change and go; pods get VFs, open and close them; netdevs of VFs go up, into a bond,
into a namespace; outsiders rebind, resize, set links, unplug and swap cards; pods and outsiders come between any two
writes of ours, and our process dies there, too; a write of ours, or of an outsider, is blocked. What must hold: a
function that is held is never touched; while a write of ours is blocked nothing is written, and one of an outsider is
seen, and a turn that begins behind it writes nothing; once nobody holds anything, a few turns bring the node to what is
asked; and when nothing is asked any more it is exactly as it was before the first touch.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest.mock import patch

from history_node import ANOTHER_CARD, NETDEV_HOLDS, RAN, TOTAL_VFS, VFIO_HOLDS, HistoryNode, How, pick, seen
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from kernel import IGB

from virtfn_host import executor
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import DeviceMatcher, NodeConfig, PolicyConfig, PoolRequest, WholeRequest
from virtfn_host.core.values.model import LinkRequest, VfLink
from virtfn_host.core.values.steps import StepResult
from virtfn_host.linux.act import apply as applying
from virtfn_host.linux.act import link_steps as linking
from virtfn_host.linux.act import portions
from virtfn_host.linux.act.machine import PfApply, remember
from virtfn_host.linux.read.onelook import OneLook
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.process import serve

PFS = 2

NOT_TIMED = settings(
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
    phases=[Phase.generate],
    report_multiple_bugs=False,
)
"""Without shrinking, which takes minutes: a broken history is short enough to be read."""
SAMPLE = settings(NOT_TIMED, max_examples=80, stateful_step_count=12, derandomize=True)
COUNTER_PROOF = settings(SAMPLE, max_examples=3000)
"""Far more histories than are needed to break a law once a safety is dropped; the first one ends it."""


def run_histories(how: settings) -> None:
    """As many histories as the settings say.

    Raises:
        AssertionError: a law was broken; its notes say how.
    """
    with patch.object(serve.log, "disabled", True):  # two lines a step, of millions of steps
        run_state_machine_as_test(Histories, settings=how)


@contextmanager
def without_the_lock() -> Iterator[None]:
    """A mutation that the laws must catch: whoever asks for the in-use lock gets it."""

    @contextmanager
    def unlocked(sysfs: Sysfs, addresses: Iterable[PciAddress], netlink: object) -> Iterator[OneLook]:
        yield OneLook(sysfs)

    with patch.object(applying, "held", unlocked), patch.object(linking, "held", unlocked):
        yield


@contextmanager
def without_the_question() -> Iterator[None]:
    """Another one: before a plan nobody asks whether a write of an outsider is blocked."""
    with patch.object(executor, "hanging", lambda *_: None):
        yield


@contextmanager
def without_the_note_in_time() -> Iterator[None]:
    """Another one: the first touch of a PF comes before it is noted how the PF was, which is noted at the second."""
    touched: set[tuple[Path, PciAddress]] = set()

    def late(work: PfApply, pf: PciAddress, *, whole: bool = False, ends_vfs: bool = False) -> None:
        journal = work.machine.journal.path
        if (journal, pf) in touched:
            remember(work, pf, whole=whole, ends_vfs=ends_vfs)
        touched.add((journal, pf))

    with patch.object(applying, "remember", late), patch.object(portions, "remember", late):
        yield


MUTATIONS = {
    "the in-use lock": without_the_lock,
    "the question before a plan": without_the_question,
    "the note before the first touch": without_the_note_in_time,
}
"""What is dropped, by its name: with each a law breaks."""

drivers = st.sampled_from(["vfio-pci", "vfio-pci", "kernel"])
indexes = st.sampled_from([None, None, (0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)])
links = st.sampled_from(
    [None, None, None, None, LinkRequest(), LinkRequest(vlan=5, vlan_qos=2), LinkRequest(trust=True, spoof_check=False)]
)
"""No rates: the PFs of these histories are down, and take none."""
pools = st.builds(
    PoolRequest, resource_name=st.sampled_from(["a.b/x", "a.b/y"]), indexes=indexes, driver=drivers, link=links
)
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
whole = st.builds(
    PolicyConfig,
    name=st.sampled_from(["p", "q", "r"]),
    uid=st.just("u"),
    generation=st.just(1),
    devices=st.tuples(matchers),
    count=st.none(),
    pools=st.just(()),
    whole=st.builds(WholeRequest, resource_name=st.sampled_from(["a.b/x", "a.b/z"]), driver=drivers),
)
either = policies | policies | policies | whole
configs = st.lists(either, min_size=1, max_size=3, unique_by=lambda policy: policy.name).map(
    lambda found: NodeConfig(policies=tuple(found))
)
numbers = st.integers(0, 63)
moments = st.sampled_from([*range(10), 0, 1, 2, 3, 14])
"""After how many writes, or steps, of a turn something happens."""
outsiders_drivers = st.sampled_from(["vfio-pci", "igbvf", None])
outsiders_settings = st.sampled_from([VfLink(mac="02:00:00:00:00:07"), VfLink(vlan=9, vlan_qos=0), VfLink(trust=True)])


class Histories(RuleBasedStateMachine):
    """One node."""

    def __init__(self) -> None:
        super().__init__()
        self.node = HistoryNode(PFS)

    # --- what others do -------------------------------------------------------------------------------------------

    @initialize(
        made=st.tuples(*[st.sampled_from([0, 0, 1, TOTAL_VFS])] * PFS),
        config=configs,
        turn=st.sampled_from([True, True, True, False]),
        holds=st.lists(st.tuples(numbers, st.sampled_from([*VFIO_HOLDS, *NETDEV_HOLDS])), max_size=3),
    )
    def machine_comes_up(
        self, made: tuple[int, ...], config: NodeConfig, turn: bool, holds: list[tuple[int, How]]
    ) -> None:
        """With VFs of somebody, or none; with policies that mostly are carried out, and pods that run already."""
        for pf, number in zip(sorted(self.node.cards), made, strict=True):
            self._write_number(pf, number)
        self.node.config = config
        if turn:
            self.a_turn()
        for number, how in holds:
            self.a_pod_gets_a_function(number, how) if how in VFIO_HOLDS else self.a_netdev_is_used(number, how)

    @rule(config=configs)
    def policies_change(self, config: NodeConfig) -> None:
        """Any of them, good or bad."""
        self.node.config = config

    @rule()
    def policies_are_deleted(self) -> None:
        """All of them."""
        self.node.config = NodeConfig(policies=())

    @rule(number=numbers, how=st.sampled_from(VFIO_HOLDS))
    def a_pod_gets_a_function(self, number: int, how: How) -> None:
        """A VF, or a whole one, that is on vfio-pci, and opens it, or its group, or nothing yet."""
        if (vf := pick(self.node.free_for_pods(), number)) is not None:
            self.node.hold(vf, how)

    @rule(number=numbers, how=st.sampled_from(NETDEV_HOLDS))
    def a_netdev_is_used(self, number: int, how: How) -> None:
        """Of a VF on its network driver."""
        if (vf := pick(self.node.free_vfs("igbvf"), number)) is not None:
            self.node.hold(vf, how)

    @precondition(lambda self: self.node.holds)
    @rule(number=numbers)
    def a_holder_ends(self, number: int) -> None:
        """And lets go of what it had."""
        if (vf := pick(self.node.holds, number)) is not None:
            self.node.let_go(vf)

    @rule(number=numbers, driver=outsiders_drivers)
    def an_outsider_rebinds(self, number: int, driver: str | None) -> None:
        """A VF that nobody holds: with a held one his write would block, and that is his own affair."""
        vf = pick(self.node.free_vfs(), number)
        if vf is None:
            return
        sysfs = self.node.machine.sysfs
        self.node.outsider(sysfs.device(vf, "driver/unbind"), str(vf))
        if driver is not None:
            self.node.machine.modules.load(driver, 1)
            self.node.outsider(sysfs.device(vf, "driver_override"), driver)
            self.node.outsider(sysfs.driver(driver, "bind"), str(vf))

    @rule(number=numbers, setting=outsiders_settings)
    def an_outsider_sets_a_link(self, number: int, setting: VfLink) -> None:
        """Of a VF that nobody holds."""
        if (vf := pick(self.node.free_vfs(), number)) is not None:
            self.node.set_link(vf, setting)

    @rule(number=numbers, count=st.integers(0, TOTAL_VFS))
    def an_outsider_resizes(self, number: int, count: int) -> None:
        """A PF of which nothing is held."""
        if (pf := pick(self.node.free_pfs(), number)) is not None:
            self._write_number(pf, 0)
            self._write_number(pf, count)

    @precondition(lambda self: self.node.stuck is None and self.node.in_the_way is None)
    @rule(number=numbers, resize=st.booleans())
    def an_outsiders_write_gets_blocked(self, number: int, resize: bool) -> None:
        """By a function that is open; it ends when that is let go."""
        self._an_outsider_is_blocked(number, resize)

    @rule(number=numbers, value=st.booleans())
    def an_outsider_sets_autoprobe(self, number: int, value: bool) -> None:
        """Of any PF."""
        if (pf := pick(self.node.cards, number)) is not None:
            path = self.node.machine.sysfs.device(pf, "sriov_drivers_autoprobe")
            self.node.outsider(path, f"{value:d}")

    @rule(number=numbers)
    def a_card_is_pulled(self, number: int) -> None:
        """One of which nothing is held."""
        if (pf := pick(self.node.free_pfs(), number)) is not None:
            self.node.kernel.remove_pf(pf)
            del self.node.cards[pf]
            self.node.pulled.add(pf)

    @precondition(lambda self: self.node.pulled)
    @rule(ids=st.sampled_from([IGB, ANOTHER_CARD]))
    def a_card_comes(self, ids: tuple[str, str]) -> None:
        """To where one was pulled: the same one, or another."""
        pf = min(self.node.pulled)
        self.node.kernel.add_pf(pf, TOTAL_VFS, ids)
        self.node.cards[pf] = ids
        self.node.pulled.discard(pf)
        seen["cards swapped"] += ids != IGB

    # --- what we do -----------------------------------------------------------------------------------------------

    @rule()
    def a_turn(self) -> None:
        """Look, plan, apply."""
        self.node.apply(self.node.plan())

    @rule(number=numbers, after=moments, how=st.sampled_from([How.OPENED, How.GROUP]))
    def a_turn_into_which_a_pod_comes(self, number: int, after: int, how: How) -> None:
        """Between any two writes, also before the first: only the in-use lock knows."""
        self._turn_with(after, lambda: self.a_pod_gets_a_function(number, how))

    @rule(number=numbers, after=moments, driver=outsiders_drivers)
    def a_turn_into_which_an_outsider_comes(self, number: int, after: int, driver: str | None) -> None:
        """He rebinds a VF between any two writes."""
        self._turn_with(after, lambda: self.an_outsider_rebinds(number, driver))

    @precondition(lambda self: self.node.stuck is None and self.node.in_the_way is None)
    @rule(config=configs, number=numbers, after=moments, resize=st.booleans())
    def a_turn_into_which_an_outsiders_blocked_write_comes(
        self, config: NodeConfig, number: int, after: int, resize: bool
    ) -> None:
        """Between any two writes: ours queue behind it where it has the lock of all PCI devices, and end the turn."""
        self.node.config = config
        self._turn_with(after, lambda: self._an_outsider_is_blocked(number, resize))

    @precondition(lambda self: self.node.stuck is None and self.node.in_the_way is None)
    @rule(config=configs, number=numbers, resize=st.booleans())
    def a_turn_before_which_an_outsiders_write_gets_blocked(
        self, config: NodeConfig, number: int, resize: bool
    ) -> None:
        """It was planned before: none of it is written where it would queue."""
        self.node.config = config
        made = self.node.plan()
        self._an_outsider_is_blocked(number, resize)
        self.node.apply(made)

    @precondition(lambda self: self.node.holds)
    @rule(number=numbers, after=moments)
    def a_turn_in_which_a_holder_ends(self, number: int, after: int) -> None:
        """Between two steps; with it may return what was blocked, and still nothing more of that plan is done."""
        left = after

        def count(_: StepResult) -> None:
            nonlocal left
            left -= 1
            if left == -1:
                self.node.others(lambda: self.a_holder_ends(number))

        self.node.apply(self.node.plan(), count)

    @precondition(lambda self: self.node.stuck is None)
    @rule(after=moments, boundary=st.sampled_from(["write", "step"]))
    def a_turn_that_is_killed(self, after: int, boundary: str) -> None:
        """Behind so many writes or steps; the next process knows only what is on the machine."""
        made = self.node.plan()
        left = after

        def count(_: StepResult) -> None:
            nonlocal left
            left -= 1
            if left < 0 and boundary == "step":
                raise InterruptedError

        self.node.kernel.killed_after = after if boundary == "write" else None
        with suppress(InterruptedError):
            self.node.apply(made, count)
        self.node.killed()

    @precondition(lambda self: self.node.stuck is None)
    @rule(
        attribute=st.sampled_from(["bind", "unbind", "sriov_numvfs", "driver_override"]), errno=st.sampled_from([5, 19])
    )
    def a_turn_with_a_write_that_is_refused(self, attribute: str, errno: int) -> None:
        """By the kernel, once."""
        made = self.node.plan()
        self.node.kernel.fail[attribute] = errno
        self.node.apply(made)
        self.node.kernel.fail.clear()

    @precondition(lambda self: self.node.stuck is None and self.node.in_the_way is None and self.node.opened())
    @rule(number=numbers)
    def a_write_of_ours_gets_stuck(self, number: int) -> None:
        """As if the lock had failed for once: an unbind of a VF that is open."""
        if (vf := pick(self.node.opened(), number)) is not None:
            self.node.get_stuck(vf)

    # --- laws -----------------------------------------------------------------------------------------------------

    @invariant()
    def what_is_held_is_untouched(self) -> None:
        """And a write of ours is blocked only where we forced it."""
        self.node.check_held()

    def teardown(self) -> None:
        """Whatever happened: it converges, and gives back exactly."""
        node = self.node
        try:
            if sys.exc_info()[0] is not None:
                return  # It broke, or hypothesis ended it; what follows would only hide that.
            for vf in sorted(node.holds):
                node.let_go(vf)
            node.converge()
            node.config = NodeConfig(policies=())
            node.converge()
            node.journal.check_restored()
            seen[RAN] += 1
        finally:
            node.close()

    # --- how ------------------------------------------------------------------------------------------------------

    def _turn_with(self, after: int, happens: Callable[[], None]) -> None:
        """Something happens between plan and apply, or behind so many writes."""
        node = self.node
        made = node.plan()
        left = after

        def before_write() -> None:
            nonlocal left
            left -= 1
            if left < 0:
                node.kernel.before_write = lambda: None
                node.others(happens)

        node.kernel.before_write = before_write
        node.apply(made)
        node.kernel.before_write = lambda: None

    def _an_outsider_is_blocked(self, number: int, resize: bool) -> None:
        if not self.node.opened():
            self.a_pod_gets_a_function(number, How.OPENED)
        if (held := pick(self.node.opened(), number)) is not None:
            self.node.outsiders_write_gets_blocked(held, resize=resize)

    def _write_number(self, pf: PciAddress, number: int) -> None:
        self.node.outsider(self.node.machine.sysfs.device(pf, "sriov_numvfs"), str(number))

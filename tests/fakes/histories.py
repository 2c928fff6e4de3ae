"""Random histories of a node on the fake kernel, and the laws that hold in every one of them.

An outsider is another program, or a user at a shell. What may happen: policies come, change and go; pods get VFs, open
and close them; netdevs of VFs go up, into a bond, into a namespace; outsiders rebind, resize, set links, unplug and
swap cards; pods and outsiders come between any two writes of ours, and our process may die there; a write of ours, or
of an outsider, blocks. The laws:

- A function in use is never touched.
- While a write of ours is blocked, nothing is written. A blocked write of an outsider is seen, and a turn that begins
  behind it writes nothing.
- Once no function is in use, a few turns bring the node to what the policies ask.
- When no policy is left, the node is exactly as it was before the first touch, but for numbers of VFs and link settings
  that others set and we did not.
- No destructive step is carried out more than three times for one wish, whatever drivers make instead of what is asked:
  more, fewer or no VFs, another driver, an override that does not take.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import lru_cache
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
from other_results import KINDS

from virtfn_host import executor
from virtfn_host.core.turn import tries as judging
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import DeviceMatcher, NodeConfig, PolicyConfig, PoolRequest, WholeRequest
from virtfn_host.core.values.envelope import loads
from virtfn_host.core.values.model import Lasting, LinkRequest, Original, VfLink
from virtfn_host.core.values.report import StepResult
from virtfn_host.linux import documents
from virtfn_host.linux.act import apply as applying
from virtfn_host.linux.act import link_steps as linking
from virtfn_host.linux.act import made, portions
from virtfn_host.linux.act import tries as counting
from virtfn_host.linux.act.journal import Journal
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
"""Settings without shrinking, which takes minutes; a broken history is short enough to read."""
SAMPLE = settings(NOT_TIMED, max_examples=80, stateful_step_count=12, derandomize=True)
COUNTER_PROOF = settings(SAMPLE, max_examples=3000)
"""Far more histories than are needed to break a law without one of the safeties; the first violation ends the run."""


def run_histories(how: settings) -> None:
    """Run as many histories as the settings say.

    Raises:
        AssertionError: a law was broken; its notes say how.
    """
    with quickly():
        run_state_machine_as_test(Histories, settings=how)


def violation_in(run: Callable[[], None]) -> str:
    """Return what a run says of the law that a history broke; empty: none did.

    Hypothesis repeats such a history. Histories have processes that block, so on a loaded machine the repetition may go
    another way. Then it raises a group, and the violation is in there.
    """
    try:
        run()
    except AssertionError as error:
        return str(error)
    except ExceptionGroup as found:
        broken, others = found.split(AssertionError)
        if broken is None or others is not None:
            raise
        return "\n".join(map(str, broken.exceptions))
    return ""


@contextmanager
def quickly() -> Iterator[None]:
    """Without a log line for each of millions of steps, and a second for each number of VFs that is not as asked.

    A document is parsed once, however often it is read: the same bytes are the same frozen value.
    """
    with ExitStack() as stack:
        for log in (serve.log, serve.done, serve.undone):
            stack.enter_context(patch.object(log, "disabled", True))
        stack.enter_context(patch.object(made, "QUIET", 0.0))
        stack.enter_context(patch.object(documents, "loads", lru_cache(maxsize=64)(loads)))
        yield


@contextmanager
def without_the_lock() -> Iterator[None]:
    """Mutation that the laws must catch: the in-use lock is always granted."""

    @contextmanager
    def unlocked(sysfs: Sysfs, addresses: Iterable[PciAddress], netlink: object) -> Iterator[OneLook]:
        yield OneLook(sysfs)

    with patch.object(applying, "held", unlocked), patch.object(linking, "held", unlocked):
        yield


@contextmanager
def without_the_question() -> Iterator[None]:
    """Mutation that the laws must catch: no check for a blocked write of an outsider before a plan."""
    with patch.object(executor, "hanging", lambda *_: None):
        yield


@contextmanager
def without_the_note_in_time() -> Iterator[None]:
    """Mutation that the laws must catch: the original of a PF is noted at the second touch, not before the first."""
    touched: set[tuple[Path, PciAddress]] = set()

    def late(work: PfApply, pf: PciAddress, *, whole: bool = False, ends_vfs: bool = False) -> None:
        journal = work.machine.journal.path
        if (journal, pf) in touched:
            remember(work, pf, whole=whole, ends_vfs=ends_vfs)
        touched.add((journal, pf))

    with patch.object(applying, "remember", late), patch.object(portions, "remember", late):
        yield


@contextmanager
def without_the_count() -> Iterator[None]:
    """Mutation that the laws must catch: destructive steps are carried out as often as they are planned."""
    with patch.object(counting, "MOST", 1 << 30), patch.object(judging, "MOST", 1 << 30):
        yield


@contextmanager
def without_a_count_that_lasts() -> Iterator[None]:
    """Mutation that the laws must catch: a process counts from zero when it begins to carry out a plan."""
    with patch.object(counting.TriesFile, "tried", lambda _: ()):
        yield


@contextmanager
def without_the_note_of_settings() -> Iterator[None]:
    """Mutation that the laws must catch: it is not noted what link settings were before virtfn sets them."""
    with patch.object(Journal, "note_links", lambda *_: {}):
        yield


@contextmanager
def without_asking_whose_settings() -> Iterator[None]:
    """Mutation that the laws must catch: every link setting that was noted is given back, whoever set it since."""
    with patch.object(Original, "link_back", lambda _, vf: vf.link):
        yield


MUTATIONS = {
    "the in-use lock": without_the_lock,
    "the question before a plan": without_the_question,
    "the note before the first touch": without_the_note_in_time,
    "the count of tries": without_the_count,
    "a count that lasts": without_a_count_that_lasts,
    "the note of link settings": without_the_note_of_settings,
    "the question whose link settings": without_asking_whose_settings,
}
"""The mutations by the safety that each drops; each must break a law."""

drivers = st.sampled_from(["vfio-pci", "vfio-pci", "kernel"])
indexes = st.sampled_from([None, None, (0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)])
links = st.sampled_from(
    [
        None,
        None,
        None,
        None,
        LinkRequest(mac=Lasting.STABLE),
        LinkRequest(vlan=5, vlan_qos=2),
        LinkRequest(trust=True, spoof_check=False),
    ]
)
"""Link requests without rates: the PFs of these histories are down, and then rates are refused."""
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
either = (policies | policies | policies | whole).map(lambda policy: replace(policy, uid=f"u-{policy.name}"))
configs = st.lists(either, min_size=1, max_size=3, unique_by=lambda policy: policy.name).map(
    lambda found: NodeConfig(policies=tuple(found))
)
demanding = st.builds(
    lambda policy, count, driver: NodeConfig(
        policies=(
            replace(
                policy, count=count, pools=(PoolRequest(resource_name="a.b/x", indexes=(count - 1,), driver=driver),)
            ),
        )
    ),
    policies,
    st.sampled_from([2, 3]),
    drivers,
)
"""One policy that names the last VF: it cannot be carried out where one is missing."""
numbers = st.integers(0, 63)
moments = st.sampled_from([*range(10), 0, 1, 2, 3, 14])
"""Number of writes, or steps, of a turn after which something happens."""
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
        """Begin with VFs of an outsider or none, policies that are mostly carried out, and pods that run already."""
        for pf, number in zip(sorted(self.node.cards), made, strict=True):
            self._write_number(pf, number)
        self.node.config = config
        if turn:
            self.a_turn()
        for number, how in holds:
            self.a_pod_gets_a_function(number, how) if how in VFIO_HOLDS else self.a_netdev_is_used(number, how)

    @rule(config=configs)
    def policies_change(self, config: NodeConfig) -> None:
        """Change to other policies, good or bad."""
        self.node.config = config

    @rule()
    def policies_are_deleted(self) -> None:
        """Delete all policies."""
        self.node.config = NodeConfig(policies=())

    @rule(number=numbers, how=st.sampled_from(VFIO_HOLDS))
    def a_pod_gets_a_function(self, number: int, how: How) -> None:
        """Give a pod a VF or whole function on vfio-pci; the pod opens it, or its group, or nothing yet."""
        if (vf := pick(self.node.free_for_pods(), number)) is not None:
            self.node.hold(vf, how)

    @rule(number=numbers, how=st.sampled_from(NETDEV_HOLDS))
    def a_netdev_is_used(self, number: int, how: How) -> None:
        """Begin to use the netdev of a VF on its network driver."""
        if (vf := pick(self.node.free_vfs("igbvf"), number)) is not None:
            self.node.hold(vf, how)

    @precondition(lambda self: self.node.holds)
    @rule(number=numbers)
    def a_holder_ends(self, number: int) -> None:
        """End a holder, which releases what it had."""
        if (vf := pick(self.node.holds, number)) is not None:
            self.node.let_go(vf)

    @rule(number=numbers, driver=outsiders_drivers)
    def an_outsider_rebinds(self, number: int, driver: str | None) -> None:
        """Rebind a VF that is not in use; with one in use the outsider's write would block."""
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
        """Set a link setting of a VF that is not in use."""
        if (vf := pick(self.node.free_vfs(), number)) is not None:
            self.node.set_link(vf, setting)

    @rule(number=numbers, count=st.integers(0, TOTAL_VFS))
    def an_outsider_resizes(self, number: int, count: int) -> None:
        """Resize a PF without functions in use."""
        if (pf := pick(self.node.free_pfs(), number)) is not None:
            self._write_number(pf, 0)
            self._write_number(pf, count)

    @precondition(lambda self: self.node.stuck is None and self.node.in_the_way is None)
    @rule(number=numbers, resize=st.booleans())
    def an_outsiders_write_gets_blocked(self, number: int, resize: bool) -> None:
        """Block an outsider's write by an open function; it returns when the function is released."""
        self._an_outsider_is_blocked(number, resize)

    @rule(number=numbers, value=st.booleans())
    def an_outsider_sets_autoprobe(self, number: int, value: bool) -> None:
        """Set autoprobe of any PF."""
        if (pf := pick(self.node.cards, number)) is not None:
            path = self.node.machine.sysfs.device(pf, "sriov_drivers_autoprobe")
            self.node.outsider(path, f"{value:d}")

    @rule(number=numbers)
    def a_card_is_pulled(self, number: int) -> None:
        """Pull a card without functions in use."""
        if (pf := pick(self.node.free_pfs(), number)) is not None:
            self.node.kernel.remove_pf(pf)
            del self.node.cards[pf]
            self.node.pulled.add(pf)
            self.node.tries.another_card(pf)

    @precondition(lambda self: self.node.pulled)
    @rule(ids=st.sampled_from([IGB, ANOTHER_CARD]))
    def a_card_comes(self, ids: tuple[str, str]) -> None:
        """Plug a card in where one was pulled: the same one, or another."""
        pf = min(self.node.pulled)
        self.node.kernel.add_pf(pf, TOTAL_VFS, ids)
        self.node.cards[pf] = ids
        self.node.pulled.discard(pf)
        seen["cards swapped"] += ids != IGB

    @rule(number=numbers, kind=st.sampled_from([*KINDS, None]))
    def a_driver_makes_another_number(self, number: int, kind: str | None) -> None:
        """Let the driver of a PF make more, fewer or no VFs from now on, or as many as are asked for."""
        if (pf := pick(self.node.cards, number)) is not None:
            self.node.kernel.instead.makes.pop(pf, None)
            if kind is not None:
                self.node.kernel.instead.makes[pf] = KINDS[kind]

    @rule(number=numbers, driver=outsiders_drivers, deaf=st.booleans())
    def a_function_goes_elsewhere(self, number: int, driver: str | None, deaf: bool) -> None:
        """Let a VF end on a driver at each bind, or keep the override that it has."""
        if (vf := pick(self.node.free_vfs(), number)) is None:
            return
        if deaf:
            self.node.kernel.instead.deaf.add(vf)
        else:
            self.node.machine.modules.load(driver or "igbvf", 1)
            self.node.kernel.instead.ends_on[vf] = driver

    @rule(seconds=st.sampled_from([10.0, 90.0, 4000.0]))
    def time_passes(self, seconds: float) -> None:
        """Let time pass: what waits is due later."""
        self.node.clock += seconds

    @precondition(lambda self: self.node.stuck is None and self.node.in_the_way is None)
    @rule(
        config=demanding,
        number=numbers,
        kind=st.sampled_from(["fewer", "fewer", "none", "more"]),
        hours=st.integers(1, 8),
    )
    def hours_with_a_driver_that_makes_another_number(
        self, config: NodeConfig, number: int, kind: str, hours: int
    ) -> None:
        """Ask a driver for what it does not make, with a turn each hour, half of them by a process that is new."""
        self.node.config = config
        self.a_driver_makes_another_number(number, kind)
        for hour in range(hours):
            self.node.clock += 3601.0
            self.node.apply(self.node.plan())
            if hour % 2 and self.node.stuck is None:
                self.node.killed()

    # --- what we do -----------------------------------------------------------------------------------------------

    @rule()
    def a_turn(self) -> None:
        """Run one turn: look, plan, apply."""
        self.node.apply(self.node.plan())

    @rule(number=numbers, after=moments, how=st.sampled_from([How.OPENED, How.GROUP]))
    def a_turn_into_which_a_pod_comes(self, number: int, after: int, how: How) -> None:
        """Let a pod come between any two writes, also before the first: only the in-use lock notices."""
        self._turn_with(after, lambda: self.a_pod_gets_a_function(number, how))

    @rule(number=numbers, after=moments, driver=outsiders_drivers)
    def a_turn_into_which_an_outsider_comes(self, number: int, after: int, driver: str | None) -> None:
        """Let an outsider rebind a VF between any two writes."""
        self._turn_with(after, lambda: self.an_outsider_rebinds(number, driver))

    @precondition(lambda self: self.node.stuck is None and self.node.in_the_way is None)
    @rule(config=configs, number=numbers, after=moments, resize=st.booleans())
    def a_turn_into_which_an_outsiders_blocked_write_comes(
        self, config: NodeConfig, number: int, after: int, resize: bool
    ) -> None:
        """Block an outsider's write between two of ours. If it has the node's PCI lock, ours queue and end the turn."""
        self.node.config = config
        self._turn_with(after, lambda: self._an_outsider_is_blocked(number, resize))

    @precondition(lambda self: self.node.stuck is None and self.node.in_the_way is None)
    @rule(config=configs, number=numbers, resize=st.booleans())
    def a_turn_before_which_an_outsiders_write_gets_blocked(
        self, config: NodeConfig, number: int, resize: bool
    ) -> None:
        """Block an outsider's write between plan and apply: nothing of the plan that would queue is written."""
        self.node.config = config
        made = self.node.plan()
        self._an_outsider_is_blocked(number, resize)
        self.node.apply(made)

    @precondition(lambda self: self.node.holds)
    @rule(number=numbers, after=moments)
    def a_turn_in_which_a_holder_ends(self, number: int, after: int) -> None:
        """End a holder between two steps. A blocked write may then return; the rest of that plan is still not done."""
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
        """Kill our process after that many writes or steps; the next one knows only what is on the machine."""
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
        """Let the kernel refuse one write."""
        made = self.node.plan()
        self.node.kernel.fail[attribute] = errno
        self.node.apply(made)
        self.node.kernel.fail.clear()

    @precondition(lambda self: self.node.stuck is None and self.node.in_the_way is None and self.node.opened())
    @rule(number=numbers)
    def a_write_of_ours_gets_stuck(self, number: int) -> None:
        """Unbind an open VF, as if the lock had failed once."""
        if (vf := pick(self.node.opened(), number)) is not None:
            self.node.get_stuck(vf)

    # --- laws -----------------------------------------------------------------------------------------------------

    @invariant()
    def what_is_held_is_untouched(self) -> None:
        """Functions in use are untouched, and no write of ours is blocked unless the history forced it."""
        self.node.check_held()

    def teardown(self) -> None:
        """At the end every history converges and gives everything back exactly."""
        node = self.node
        try:
            if sys.exc_info()[0] is not None:
                return  # A law broke, or hypothesis ended the history; more checks would hide that.
            for vf in sorted(node.holds):
                node.let_go(vf)
            node.drivers_do_as_asked()
            node.converge()
            node.config = NodeConfig(policies=())
            node.converge()
            node.journal.check_restored()
            seen[RAN] += 1
        finally:
            node.close()

    # --- how ------------------------------------------------------------------------------------------------------

    def _turn_with(self, after: int, happens: Callable[[], None]) -> None:
        """Run a turn in which something happens between plan and apply, or after that many writes."""
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

"""Random histories in which names, places, cards and boots change around the policies, and the laws of claims.

They are the histories of `histories.py` with more actors: netdevs of PFs are renamed, leave for a network namespace and
come back; the node reboots, with cards in other places and with VFs that other programs made; another card, of the same
kind or not, takes the place of one that was pulled; policies name netdevs and MACs, and are made anew. Their laws:

- Nothing is taken away that no edit or end of a policy ended: while a policy that has claimed a card stands with the
  same `devices`, the card is not given back, whatever it looks like.
- Nothing is given back that virtfn did not touch in this boot, on this card.
- When no policy is left, no claim is.
"""

import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from unittest.mock import patch

from histories import COUNTER_PROOF, PFS, Histories, demanding, either, numbers, quickly
from history_node import ANOTHER_CARD, TOTAL_VFS, HistoryNode, pick, seen
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test
from kernel import IGB, FakeSysfs

from virtfn_host.core.turn.claims import Claims
from virtfn_host.core.values import model
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import DeviceMatcher, NodeConfig
from virtfn_host.core.values.report import Outcome, StepResult
from virtfn_host.core.values.steps import Forget, NoteClaims, Plan, pf_of

NAMES = ("eth1v00", "eth2v00", "x0", "x1")
"""Names that netdevs of PFs get; the first two are those of the drivers."""

MACS = tuple(f"52:54:00:00:{number + 1:02x}:00" for number in range(PFS))
"""Permanent MACs of the cards that are there at first."""

matchers = st.sampled_from(
    [*(DeviceMatcher(netdev=name) for name in NAMES[:2]), *(DeviceMatcher(permanent_mac=mac) for mac in MACS)]
)
made_anew = st.sampled_from(["", "", "", "-anew"])
by_name = st.builds(
    lambda policy, matcher, anew: replace(policy, devices=(matcher,), uid=f"u-{policy.name}{anew}"),
    either,
    matchers,
    made_anew,
)
configs = st.lists(by_name | either, min_size=1, max_size=3, unique_by=lambda policy: policy.name).map(
    lambda found: NodeConfig(policies=tuple(found))
)
by_netdev = st.builds(
    lambda policy, name: NodeConfig(
        policies=(replace(policy, devices=(DeviceMatcher(netdev=name),), uid=f"u-{policy.name}"),)
    ),
    demanding.map(lambda config: config.policies[0]),
    st.sampled_from(NAMES[:2]),
)
"""One policy that names a netdev, and that can be carried out."""

Won = dict[tuple[str, tuple[DeviceMatcher, ...]], dict[str, PciAddress | None]]
"""By uid and devices of a policy, the cards that it claimed: permanent MAC, and the address if only that is known."""


class MovingNode(HistoryNode):
    """The node, and what it owes to whom."""

    def __init__(self, pfs: int) -> None:
        super().__init__(pfs)
        self.touched: set[PciAddress] = set()
        """PFs that we may have touched in this boot."""
        self.won: Won = defaultdict(dict)
        self.unseen: set[PciAddress] = set()
        """Where cards came that no look of ours has seen: hidden before, they could not be told from the former."""
        self.away: dict[PciAddress, Path] = {}
        """Where the netdevs are that are in another network namespace."""

    def plan(self) -> Plan:
        """See HistoryNode; check what it gives back."""
        made = super().plan()
        self.unseen.clear()
        asked = {(policy.uid, policy.devices) for policy in self.config.policies}
        self.won = defaultdict(dict, {wish: cards for wish, cards in self.won.items() if wish in asked})
        if self.in_the_way is None:
            self._check_kept()
            for part in made.pfs:
                works = [step for step in part.steps if not isinstance(step, NoteClaims | Forget)]
                assert part.pf in self.touched or not works or part.cause is None, f"gives back untouched {part}"
        return made

    def _check_kept(self) -> None:
        for wanted in self.desired.pfs:
            card = self.kernel.mac_of(wanted.address)
            for (uid, devices), cards in self.won.items():
                at = cards.get(card, wanted.address) or wanted.address
                named = devices[0].address in (None, wanted.address)
                owed = card in cards and at == wanted.address and named
                assert not (owed and wanted.given_back), f"takes {wanted.address} away from {uid}: {wanted.cause}"
                seen["cards kept"] += owed

    def apply(self, made: Plan, on_result: Callable[[StepResult], None] = lambda _: None) -> None:
        """See HistoryNode; note what is touched, and who has claimed what."""
        self.touched |= {pf_of(step) for step in made.steps if not isinstance(step, NoteClaims | Forget)}
        devices = {policy.uid: policy.devices for policy in self.config.policies}

        def ended(result: StepResult) -> None:
            if isinstance(result.step, NoteClaims) and result.outcome is Outcome.DONE:
                for claim in result.step.claims:
                    known = claim.seen.identity.mac is not None
                    card, at = self.kernel.mac_of(result.step.pf), None if known else result.step.pf
                    if result.step.pf in self.cards and claim.uid in devices:
                        self.won[claim.uid, devices[claim.uid]][card] = at
                seen["claims noted"] += 1
            on_result(result)

        super().apply(made, ended)

    def netdev_of(self, pf: PciAddress) -> Path | None:
        """Return the folder of a PF's netdev in our namespace, or None."""
        folder = self.kernel.devices / str(pf) / "net"
        return next(folder.iterdir(), None) if folder.is_dir() else None

    def bring_back(self, pf: PciAddress) -> None:
        """Return a netdev from its namespace; one whose driver has gone went with it."""
        self.tries.another_card(pf)  # its netdev is up or down again, so the driver may make something else
        netdev, folder = self.away.pop(pf), self.kernel.devices / str(pf) / "net"
        taken = {found.name for one in self.cards if (found := self.netdev_of(one)) is not None}
        if folder.is_dir() and not any(folder.iterdir()):
            netdev.rename(folder / next(name for name in (netdev.name, *NAMES) if name not in taken))


class ClaimHistories(Histories):
    """One node whose names, places, cards and boots change."""

    node: MovingNode

    def __init__(self) -> None:
        super().__init__()
        self.node.close()
        self.node = MovingNode(PFS)
        self._numbers = count(16)

    @rule(config=configs)
    def policies_name_netdevs_and_macs(self, config: NodeConfig) -> None:
        """Change to policies that name what moves, and what does not."""
        self.node.config = config

    @rule(number=numbers, name=st.sampled_from(NAMES))
    def a_netdev_is_renamed(self, number: int, name: str) -> None:
        """Rename the netdev of a PF, unless another has that name."""
        pf = pick(self.node.cards, number)
        netdev = None if pf is None else self.node.netdev_of(pf)
        taken = {found.name for one in self.node.cards if (found := self.node.netdev_of(one)) is not None}
        if netdev is not None and name not in taken:
            netdev.rename(netdev.parent / name)
            seen["netdevs renamed"] += 1

    @rule(number=numbers)
    def a_netdev_leaves_for_a_namespace(self, number: int) -> None:
        """Move the netdev of a PF to another network namespace."""
        pf = pick(self.node.cards, number)
        hidden = {*self.node.away, *self.node.unseen}
        if pf is not None and pf not in hidden and (netdev := self.node.netdev_of(pf)) is not None:
            place = self.node.folder / "away" / str(pf)
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            self.node.away[pf] = netdev.rename(place / netdev.name)
            self.node.tries.another_card(pf)  # whether its netdev is up is not seen any more
            seen["netdevs in a namespace"] += 1

    @precondition(lambda self: self.node.away)
    @rule()
    def a_netdev_comes_back(self) -> None:
        """Bring one back."""
        self.node.bring_back(min(self.node.away))

    @precondition(lambda self: self.node.pulled)
    @rule(ids=st.sampled_from([IGB, IGB, ANOTHER_CARD]), same=st.booleans(), made=st.sampled_from([0, 1, TOTAL_VFS]))
    def a_card_comes(self, ids: tuple[str, str], same: bool = True, made: int = 0) -> None:
        """Plug a card in where one was pulled: the same one, another of its kind, or one of another kind.

        Another program makes VFs on a card that is another. A card that was first touched while its netdev was away
        cannot be told from another of its kind (decision 0023), so the same one comes.
        """
        node, pf = self.node, min(self.node.pulled)
        own = node.kernel.mac_of(pf)
        same = same or any(o.address == pf and o.identity.mac is None for o in node.machine.journal.originals())
        mac = own if same and ids == IGB else f"52:54:00:00:{next(self._numbers):02x}:00"
        node.kernel.add_pf(pf, TOTAL_VFS, ids, mac=mac)
        node.cards[pf] = ids
        node.pulled.discard(pf)
        node.away.pop(pf, None)
        if mac != own:
            node.touched.discard(pf)
            node.unseen.add(pf)
            node.journal.another_card(pf)
            self._write_number(pf, made)
        seen["cards swapped"] += mac != own

    @precondition(lambda self: self.node.stuck is None and self.node.in_the_way is None)
    @rule(config=by_netdev, number=numbers, name=st.sampled_from(NAMES))
    def a_netdev_that_a_policy_names_is_renamed(self, config: NodeConfig, number: int, name: str) -> None:
        """Carry out a policy that names a netdev, rename one, and look again."""
        self.node.config = config
        self.a_turn()
        self.a_netdev_is_renamed(number, name)
        self.a_turn()

    @precondition(lambda self: self.node.stuck is None and self.node.in_the_way is None)
    @rule(number=numbers, made=st.sampled_from([1, TOTAL_VFS]))
    def a_card_is_swapped_and_the_policies_end(self, number: int, made: int) -> None:
        """Put another card of its kind in the place of one, with VFs of another program, and delete all policies."""
        self.a_card_is_pulled(number)
        if self.node.pulled:
            self.a_card_comes(IGB, same=False, made=made)
        self.node.config = NodeConfig(policies=())
        self.a_turn()

    @precondition(lambda self: self.node.stuck is None and self.node.in_the_way is None)
    @rule(made=st.tuples(*[st.sampled_from([0, 0, 1, TOTAL_VFS])] * PFS), renumber=st.booleans())
    def a_reboot(self, made: tuple[int, ...], renumber: bool) -> None:
        """Begin another boot: in it cards may be in each other's place, and another program may have made VFs."""
        node, kernel = self.node, self.node.kernel
        for vf in sorted(node.holds):
            node.let_go(vf)
        kernel.reboot(f"boot-{next(self._numbers)}")
        first, last = min(node.cards, default=None), max(node.cards, default=None)
        if renumber and first is not None and last is not None and first != last:
            cards = {at: (node.cards[at], kernel.mac_of(at)) for at in (first, last)}
            for at, other in ((first, last), (last, first)):
                kernel.remove_pf(at)
                kernel.add_pf(at, TOTAL_VFS, cards[other][0], mac=cards[other][1])
                node.cards[at] = cards[other][0]
            seen["reboots that change places"] += 1
        node.touched.clear()
        node.away.clear()
        node.unseen |= set(node.cards)
        for pf, number in zip(sorted(node.cards), made, strict=False):
            self._write_number(pf, number)
            seen["VFs of others after a reboot"] += number
        node.killed()
        node.journal.reboot()
        node.tries.edited()  # a wish ends with the boot
        seen["reboots"] += 1

    def teardown(self) -> None:
        """Bring every netdev back, then see Histories; in the end no claim is left."""
        for pf in sorted(self.node.away):
            self.node.bring_back(pf)
        super().teardown()


def run_claim_histories(how: settings) -> None:
    """Run as many histories as the settings say.

    Raises:
        AssertionError: a law was broken; its notes say how.
    """
    with quickly():
        run_state_machine_as_test(ClaimHistories, settings=how)


@contextmanager
def without_claims() -> Iterator[None]:
    """Mutation that the laws must catch: what matches no longer is not kept."""
    with patch.object(Claims, "_keeps", lambda *_: None):
        yield


@contextmanager
def without_age() -> Iterator[None]:
    """Mutation that the laws must catch: entries of the journal have no boot."""
    with patch.object(FakeSysfs, "boot_id", lambda _: "every"):
        yield


@contextmanager
def without_identity() -> Iterator[None]:
    """Mutation that the laws must catch: a card is its address and ids."""
    with patch.object(model, "differs", lambda *_: False):
        yield


CLAIM_MUTATIONS = {
    "the claim of a function that looks otherwise": without_claims,
    "the boot of the journal's entries": without_age,
    "the identity of the journal's cards": without_identity,
}
"""The mutations by what each drops; each must break a law."""

CLAIM_COUNTER_PROOF = settings(COUNTER_PROOF, stateful_step_count=24)

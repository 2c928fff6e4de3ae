"""The law of the journal: a new entry is how its PF was before the first touch; when it goes, the PF is so again. A
number of VFs that we never set is as others left it; VFs that they made since have no override. Then no link setting is
given back but those that we set; what each was is noted before, and goes when the VF has it again.

`history_node.py` uses it; it says what our process is about to touch and what others did meanwhile.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import DesiredPf
from virtfn_host.core.values.identity import UNKNOWN
from virtfn_host.core.values.link import link_text, mentioned, unmentioned
from virtfn_host.core.values.mac import ZERO_MAC
from virtfn_host.core.values.model import Original, OriginalVf, VfLink, of_index
from virtfn_host.core.values.steps import SetLink
from virtfn_host.linux.act.journal import original_of
from virtfn_host.linux.act.machine import Machine
from virtfn_host.linux.look.inventory import read_one


class JournalLaw:
    """Compares the journal with what the test itself saw of each PF."""

    def __init__(self, machine: Machine, cards: dict[PciAddress, tuple[str, str]], seen: Counter[str]) -> None:
        self.machine = machine
        """The machine of the process that runs now."""
        self._cards = cards
        """Vendor and device of the cards that are plugged in."""
        self._seen = seen
        """Counter of what happened."""
        self._expected: dict[PciAddress, Original] = {}
        """How PFs were at our first touch, as the test saw it."""
        self._before: dict[PciAddress, Original | None] = {}
        """How those PFs are that a turn may touch for the first time."""
        self._known: dict[PciAddress, Original] = {}
        """The journal at the last check."""
        self._read: tuple[str, dict[PciAddress, Original]] = ("", {})
        self._returned: dict[tuple[PciAddress, int], list[VfLink]] = {}
        """What was noted of link settings and went in this turn, by PF and index."""
        self._others: set[PciAddress] = set()
        """Places of cards that took another's since its entry was noted."""

    def originals(self) -> dict[PciAddress, Original]:
        """Return the journal; it is read again only when it changed."""
        try:
            text = self.machine.journal.path.read_text()
        except FileNotFoundError:
            text = ""
        if text != self._read[0]:
            self._read = text, {entry.address: _plain(entry) for entry in self.machine.journal.originals()}
        return self._read[1]

    def another_card(self, pf: PciAddress) -> None:
        """Note that another card is in the place of one, perhaps of the same kind; the entry stays in the journal."""
        self._others.add(pf)

    def reboot(self) -> None:
        """Note that another boot begins, in which nothing was touched yet."""
        self._expected, self._before, self._known, self._read = {}, {}, {}, ("", {})
        self._others.clear()

    def turn_of(self, pfs: Iterable[PciAddress]) -> None:
        """Note that a turn of ours begins, which may touch these PFs."""
        self._returned.clear()
        self._before = {pf: self._now(pf) for pf in pfs if not self._is_remembered(pf, whole=True) or self._gains(pf)}

    def others_did(self) -> None:
        """Note that others changed something in the middle of the turn: PFs without an entry, and link settings that an
        entry may gain, are read again."""
        for pf, before in self._before.items():
            if before is None or not self._is_remembered(pf):
                self._before[pf] = self._now(pf)
            elif self._gains(pf) and (now := self._now(pf)) is not None:
                self._before[pf] = replace(before, vfs=now.vfs)

    def check(self) -> None:
        """Check the entries that came to the journal since the last check, and those that went."""
        now = self.originals()
        if now is self._known:
            return
        for pf, entry in now.items():
            known = self._known.get(pf)
            if known != entry:
                self._check_entry(known, entry)
                self._others.discard(pf)
                self._expected[pf] = entry
        for pf in self._known.keys() - now.keys():
            self._seen["PFs given back"] += 1
            assert pf in self._expected, f"{pf} has an entry of an earlier boot"
            if not self._is_in(entry := self._expected.pop(pf)):
                self._others.discard(pf)
                self._seen["entries of replaced cards dropped"] += 1
                continue
            found = self._now(pf)
            assert found is not None
            own = None if entry.own is None or found.own is None else replace(found.own, netdevs=entry.own.netdevs)
            # Link settings are not noted while the PF's netdev is away.
            back = {vf.index: vf.link_before if entry.number_untouched else vf.link for vf in entry.vfs}
            entry = replace(entry, vfs=tuple(replace(vf, link=back[vf.index], link_before=None) for vf in entry.vfs))
            vfs = tuple(replace(vf, link=_part(vf.link, back.get(vf.index))) for vf in found.vfs)
            now_again = replace(found, own=own, vfs=vfs, number_untouched=entry.number_untouched)
            if entry.number_untouched:
                self._seen["numbers of others left alone"] += entry.num_vfs != found.num_vfs
                entry, now_again = self._of_both(entry, now_again)
            assert entry == now_again, f"forgotten as {entry}, and is {now_again}"
        self._known = now

    def check_restored(self) -> None:
        """Check that the journal is empty, except for cards that were pulled or replaced."""
        assert self.originals() == self._expected, (self.originals(), self._expected)
        assert not any(self._is_in(entry) for entry in self._expected.values())

    def _check_entry(self, known: Original | None, entry: Original) -> None:
        """Check a new entry, one that gained the function's own state before the function is handed out whole, or link
        settings that it lacked or that we are about to set, or one whose number of VFs we begin to set, or did not set
        after all."""
        self._check_settings(known if known is not None and self._is_in(known) else None, entry)
        known, entry = known and _unset(known), _unset(entry)
        if known == entry:
            return
        if known is not None and entry == replace(known, number_untouched=not known.number_untouched):
            self._seen["numbers noted"] += 1
            return
        assert entry.address in self._before, f"{entry.address} has an entry of an earlier boot"
        before = self._before[entry.address]
        assert before is not None, f"{entry.address} is not there"
        if known is None or not self._is_in(known):
            was = replace(before, own=before.own if entry.own else None, number_untouched=entry.number_untouched)
            assert entry == was, f"noted as {entry}, and was {was}"
        else:
            self._seen["whole functions"] += known.own is None and entry.own is not None
            own = known.own or (before.own if entry.own else None)
            assert entry == replace(known, own=own, vfs=_gained(known, entry, before)), (entry, known, before)

    def numbered(self, pf: PciAddress) -> None:
        """Check the entry of a PF of which we have just set the number of VFs."""
        entry = self.originals().get(pf)
        assert entry is None or not self._is_in(entry) or not entry.number_untouched, f"{pf}: the number is not noted"

    def _check_settings(self, known: Original | None, entry: Original) -> None:
        """Check what is noted of link settings that we are about to set, and that what is no longer noted is there."""
        pf, now = entry.address, None
        for vf in entry.vfs:
            there = None if known is None else of_index(known.vfs, vf.index)
            was, has = (there and there.link_before) or VfLink(), vf.link_before or VfLink()
            assert mentioned(was, has) == mentioned(has, was), f"noted as {was}, then as {has}"
            if (gained := unmentioned(has, was)) != VfLink():
                before = self._before.get(pf)
                shown = None if before is None else of_index(before.vfs, vf.index)
                assert shown is not None, f"VF {vf.index} was not there"
                assert _part(shown.link, gained) == gained, f"VF {vf.index}: noted as {gained}, was {shown}"
                self._seen["link settings noted"] += 1
            if (gone := unmentioned(was, has)) != VfLink():
                self._returned.setdefault((pf, vf.index), []).append(gone)
                now = now or self._now(pf)
                again = now and of_index(now.vfs, vf.index)
                gone = replace(gone, mac=None if gone.mac == ZERO_MAC else gone.mac)  # its driver makes up another
                assert not again or _part(again.link, gone) in (None, gone), f"VF {vf.index}: is {again}, was {gone}"
                self._seen["link settings given back"] += 1

    def linked(self, step: SetLink) -> None:
        """Check that what we have just set is noted, unless it was given back or all settings will be."""
        pf, index = step.function.pf, step.function.index
        entry = self.originals().get(pf)
        vf = None if entry is None or index is None or not self._is_in(entry) else of_index(entry.vfs, index)
        if entry is None or index is None or vf is None or not entry.number_untouched or step.expects is None:
            return
        noted = mentioned(step.value, vf.link_before or VfLink()) == step.value
        back = any(mentioned(gone, step.value) == step.value for gone in self._returned.get((pf, index), ()))
        assert noted or back, f"{pf}: {link_text(step.value)} of VF {index} is set and not noted"

    def planned(self, wanted: DesiredPf) -> None:
        """Check that no link setting is to be given back that we neither set nor lost."""
        entry = self.originals().get(wanted.address)
        for vf in wanted.vfs:
            if vf.policy is None and vf.link is not None:
                assert entry is not None
                noted = of_index(entry.vfs, vf.index)
                ours = noted and _part(noted.link_before, vf.link) == vf.link
                assert ours or not entry.number_untouched, f"gives back {vf.link} of VF {vf.index}, which we never set"

    @staticmethod
    def _of_both(entry: Original, now: Original) -> tuple[Original, Original]:
        """Both without their numbers of VFs, and without the VFs that only one of them has."""
        before, there = {vf.index for vf in entry.vfs}, {vf.index for vf in now.vfs}
        later = [vf for vf in now.vfs if vf.index not in before and vf.driver_override is not None]
        assert later == [], f"forgotten with {later}"

        def cut(one: Original) -> Original:
            return replace(one, num_vfs=0, vfs=tuple(vf for vf in one.vfs if vf.index in before & there))

        return cut(entry), cut(now)

    def _gains(self, pf: PciAddress) -> bool:
        """Whether the entry of a PF lacks link settings, which a later touch may note, or those that we may set."""
        entry = self.originals()[pf]
        return entry.number_untouched or any(vf.link is None for vf in entry.vfs)

    def _is_remembered(self, pf: PciAddress, *, whole: bool = False) -> bool:
        entry = self.originals().get(pf)
        return entry is not None and self._is_in(entry) and (entry.own is not None or not whole)

    def _is_in(self, entry: Original) -> bool:
        same = entry.address not in self._others
        return same and self._cards.get(entry.address) == (entry.vendor, entry.device)

    def _now(self, address: PciAddress) -> Original | None:
        pf = read_one(self.machine.sysfs, address, self.machine.netlink)
        return None if pf is None else _plain(original_of(pf, whole=True))


def _gained(known: Original, entry: Original, before: Original) -> tuple[OriginalVf, ...]:
    """The VFs of a known entry with the link settings that the entry has now, and that were there before this touch.
    Only VFs that are still as they were, where virtfn has not set their number, may gain some."""
    there = {vf.index: vf for vf in before.vfs if known.number_untouched}
    gaining = {vf.index for vf in entry.vfs if vf.link is not None}

    def with_link(vf: OriginalVf) -> OriginalVf:
        now = there.get(vf.index)
        return now if now is not None and vf.index in gaining and replace(now, link=None) == vf else vf

    return tuple(map(with_link, known.vfs))


def _part(link: VfLink | None, of: VfLink | None) -> VfLink | None:
    return None if link is None or of is None else mentioned(link, of)


def _unset(entry: Original) -> Original:
    """An entry without what is noted of link settings that we set."""
    return replace(entry, vfs=tuple(replace(vf, link_before=None) for vf in entry.vfs))


def _plain(entry: Original) -> Original:
    """An entry without its age and without what its card is known by, which a driver may not show."""
    return replace(entry, identity=UNKNOWN, boot_id="")

"""The journal: what every PF was before the first touch of this boot, and which policies have claimed it.

Originals are written before that touch and kept over kill -9. They are of one boot: VFs, overrides and autoprobe end
with it, so nothing is left to give back, and what another program makes in the next boot is not ours. Entries of an
earlier boot are not read any more, and dropped with the next write. Claims outlive boots (docs/decisions/0023).

A journal that cannot be read or understood is never replaced: the administrator mends or removes it, and so decides
what becomes of the machine.
"""

import errno
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.codec import SPARSE, CodecError, encode
from virtfn_host.core.values.envelope import loads
from virtfn_host.core.values.identity import Claim
from virtfn_host.core.values.link import joined, mentioned, unmentioned
from virtfn_host.core.values.model import Card, Function, Original, OriginalOwn, OriginalVf, Pf, VfLink, vfs_of
from virtfn_host.linux import documents
from virtfn_host.linux.errors import DocumentError, JournalUnreadableError, StaleSnapshotError
from virtfn_host.linux.files import write_atomically
from virtfn_host.linux.read.sysfs import NO_BOOT, UNKNOWN

MOST_CLAIMS = 2048
"""Claims in one journal: 32 on each of 64 functions."""

MOST_BYTES = 1 << 20
"""Bytes of all claims in one journal, so that originals always fit: a document has 4 MiB at most. A usual claim has
about 400."""


_NO_BOOT = f"{NO_BOOT}; nothing is touched until it can be"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entries:
    originals: tuple[Original, ...]
    claims: tuple[Claim, ...] = field(default=(), metadata=SPARSE)


class Journal:
    """The journal file. Every call reads it again, so two processes never disagree."""

    def __init__(self, path: Path, boot_id: Callable[[], str] = lambda: "") -> None:
        """`boot_id` returns the ID of this boot, or UNKNOWN, or "" where boots are not told apart: every entry counts
        then."""
        self.path = path
        self._boot_id = boot_id

    def originals(self) -> tuple[Original, ...]:
        """Return the original state of every PF that was touched in this boot, by address.

        Raises:
            JournalUnreadableError: the file exists and cannot be read or understood, or has entries of a boot, and
                which boot this is cannot be read.
        """
        return self._read().originals

    def claims(self) -> tuple[Claim, ...]:
        """Return which policies have claimed which functions, by address.

        Raises:
            JournalUnreadableError: see `originals`.
        """
        return self._read().claims

    def _read(self) -> _Entries:
        try:
            found = documents.read(_Entries, self.path)
        except DocumentError as error:
            raise JournalUnreadableError(f"the journal {error}; {_next_step(error)}") from error
        if found is None:
            return _Entries(originals=())
        if not (boot := self._boot_id()):
            return found
        if boot == UNKNOWN and any(original.boot_id for original in found.originals):
            raise JournalUnreadableError(f"the journal {self.path} has entries of a boot, and {_NO_BOOT}")
        return replace(found, originals=tuple(o for o in found.originals if o.boot_id in ("", boot)))

    def remember(self, pf: Function, *, whole: bool = False) -> None:
        """Note how a PF is, unless the journal already has an entry for this very card. Link settings that this entry
        lacks are noted of VFs that are still as they were.

        Args:
            whole: the function itself is about to be touched, not only its VFs.

        Raises:
            StaleSnapshotError: some of its VFs are gone, so another program is removing them.
            JournalUnreadableError: see `originals`, or the file could not be written.
        """
        known = self._read()
        entry = next((original for original in known.originals if original.card.is_same(pf.card)), None)
        if entry is None:
            _expect_no_gap(pf)
            entry = original_of(pf, whole=whole)
        else:
            before, entry = entry, _with_links(entry, pf)
            if whole and entry.own is None:
                entry = replace(entry, own=original_of(pf, whole=True).own)
            if entry == before:
                return
        others = (original for original in known.originals if original.address != pf.address)
        self._write([*others, entry], known.claims)

    def entry(self, card: Card) -> Original | None:
        """Return the entry of this very card; None if there is none.

        Raises:
            JournalUnreadableError: see `originals`.
        """
        return next((known for known in self.originals() if known.card.is_same(card)), None)

    def note_mtu(self, card: Card, index: int | None, now: int) -> bool:
        """Note the MTU of the PF's netdev, or with an index of a VF's, unless one is noted already; return whether it
        was. Nothing is noted of a VF that was not there at the first touch: it goes when the PF is given back, or keeps
        its MTU if virtfn did not make it (docs/decisions/0046).

        Raises:
            JournalUnreadableError: see `remember`.
        """
        return self._replace(card, lambda entry: _with_mtu(entry, index, now))

    def drop_mtu(self, card: Card, index: int | None) -> None:
        """Drop an MTU that was just noted, because it was not changed after all.

        Raises:
            JournalUnreadableError: see `remember`.
        """
        self._replace(card, lambda entry: _without_mtu(entry, index))

    def note_links(self, card: Card, shown: Mapping[int, VfLink]) -> Mapping[int, VfLink]:
        """Note link settings of VFs, by index, that are about to be set, unless they are noted already; return those
        that were not. Nothing is noted of a VF that was not there at the first touch, nor after virtfn has set the
        number of VFs: then all that the first touch noted is given back (docs/decisions/0010).

        Raises:
            JournalUnreadableError: see `remember`.
        """
        entry = self.entry(card)
        if entry is None or not entry.number_untouched:
            return {}
        known = {vf.index: vf.link_before or VfLink() for vf in entry.vfs}
        added = {index: unmentioned(shown[index], known[index]) for index in shown.keys() & known.keys()}
        self._replace(card, lambda entry: _with_before(entry, added))
        return added

    def drop_links(self, card: Card, again: Mapping[int, Sequence[VfLink]]) -> None:
        """Drop what `note_links` noted of settings that VFs have again, or still: nothing of them is to be given back.

        Raises:
            JournalUnreadableError: see `remember`.
        """
        self._replace(card, lambda entry: _without_before(entry, again))

    def note_number(self, card: Card) -> bool:
        """Note that virtfn sets the number of VFs; return whether this is the first time.

        Raises:
            JournalUnreadableError: see `remember`.
        """
        return self._replace(card, lambda entry: replace(entry, number_untouched=False))

    def drop_number(self, card: Card) -> None:
        """Drop that first note, because the number was not changed after all.

        Raises:
            JournalUnreadableError: see `remember`.
        """
        self._replace(card, lambda entry: replace(entry, number_untouched=True))

    def _replace(self, card: Card, made_of: Callable[[Original], Original]) -> bool:
        """Replace the entry of a card by another; return whether they differ."""
        known = self._read()
        entry = next((original for original in known.originals if original.card.is_same(card)), None)
        if entry is None or (made := made_of(entry)) == entry:
            return False
        self._write([made if one is entry else one for one in known.originals], known.claims)
        return True

    def forget(self, pf: Function, *, another: bool = False) -> None:
        """Drop the entry of a PF that is again as it was before the first touch.

        Args:
            another: drop it because another card is there now, instead.

        Raises:
            StaleSnapshotError: the PF is not as it was, or the card is not another; the entry stays.
            JournalUnreadableError: see `originals`.
        """
        known = self._read()
        entry = next((original for original in known.originals if original.address == pf.address), None)
        if entry is None:
            return
        if another and not entry.card.is_another(pf.card):
            raise StaleSnapshotError(f"{pf.address} may be the card that it was, so it stays in the journal")
        if not another and not (_as_before(entry, original_of(pf, whole=entry.own is not None)) and _mtus(entry, pf)):
            raise StaleSnapshotError(
                f"{pf.address} is not as it was before the first touch, so it stays in the journal"
            )
        self._write([one for one in known.originals if one is not entry], known.claims)

    def note_claims(self, address: PciAddress, claims: Sequence[Claim]) -> None:
        """Note the claims on a function, instead of those that are noted there.

        Raises:
            StaleSnapshotError: a claim is on another function, or the journal would have too many, or too long ones.
            JournalUnreadableError: see `originals`, or the file could not be written.
        """
        known = self._read()
        others = tuple(claim for claim in known.claims if claim.seen.address != address)
        if any(claim.seen.address != address for claim in claims):
            raise StaleSnapshotError(f"{address}: a claim on another function is not noted; look and plan again")
        if claims and len(others) + len(claims) > MOST_CLAIMS:
            raise StaleSnapshotError(f"{address}: more than {MOST_CLAIMS} claims in the journal; delete some policies")
        new = [claim.policy for claim in claims if claim not in known.claims]
        if new and _bytes(others) + _bytes(claims) > MOST_BYTES:
            names = ", ".join(dict.fromkeys(new))
            text = f"the claim of policy {names} is not noted: the journal would have more than {MOST_BYTES} bytes"
            raise StaleSnapshotError(f"{address}: {text} of claims; delete some policies")
        self._write(known.originals, (*others, *claims))

    def _write(self, originals: Iterable[Original], claims: Iterable[Claim] = ()) -> None:
        if (boot := self._boot_id()) == UNKNOWN:
            raise JournalUnreadableError(f"the journal {self.path} is not written: {_NO_BOOT}")
        stamped = (one if one.boot_id else replace(one, boot_id=boot) for one in originals)
        entries = _Entries(
            originals=tuple(sorted(stamped, key=lambda original: original.address)),
            claims=tuple(sorted(claims, key=lambda claim: claim.seen.address)),
        )
        try:
            text = documents.text_of(entries)
            loads(_Entries, text)  # what cannot be read again would stop all work on this node
            write_atomically(self.path, text, 0o600)
        except (OSError, CodecError) as error:
            text = f"the journal {DocumentError(self.path, 'written', error)}; nothing is touched without it"
            raise JournalUnreadableError(f"{text}{_way_out(error)}") from error


def _bytes(claims: Sequence[Claim]) -> int:
    """How long claims are in the file, or longer: other characters than those of ASCII are counted as escapes."""
    return len(json.dumps(encode(tuple(claims)), separators=(",", ":")))


def _next_step(error: DocumentError) -> str:
    if os.geteuid() and isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EACCES:
        return "only root may read it, so run it as root"  # there is nothing to mend
    return "it is kept as it is, and nothing is touched until it is mended or moved away"


def _way_out(error: Exception) -> str:
    if isinstance(error, documents.TooLongError):
        return ", delete policies, or restore functions, that this node does not need"
    return ", make its folder writable" if isinstance(error, OSError) else ""


def original_of(pf: Function, *, whole: bool = False) -> Original:
    """Return the state of a PF, and with `whole` of the function itself, that giving back restores."""
    own = OriginalOwn(driver=pf.driver, driver_override=pf.driver_override, netdevs=pf.netdevs) if whole else None
    vfs = [
        OriginalVf(index=vf.index, driver=vf.driver, driver_override=vf.driver_override, link=vf.link)
        for vf in vfs_of(pf)
    ]
    return Original(
        address=pf.address,
        vendor=pf.vendor,
        device=pf.device,
        num_vfs=pf.num_vfs,
        autoprobe=pf.autoprobe if isinstance(pf, Pf) else True,
        vfs=tuple(vfs),
        own=own,
        identity=pf.identity,
        number_untouched=isinstance(pf, Pf),
    )


def _with_links(entry: Original, pf: Function) -> Original:
    """The entry with the link settings that it lacks, of VFs that are still as they were."""
    if not entry.number_untouched:  # the VFs may be others
        return entry
    now = {vf.index: vf for vf in original_of(pf).vfs}
    vfs = (now[vf.index] if vf.index in now and replace(now[vf.index], link=None) == vf else vf for vf in entry.vfs)
    return replace(entry, vfs=tuple(vfs))


def _with_mtu(entry: Original, index: int | None, now: int) -> Original:
    if index is None:
        return entry if entry.mtu is not None else replace(entry, mtu=now)
    vfs = (replace(vf, mtu=now) if vf.index == index and vf.mtu is None else vf for vf in entry.vfs)
    return replace(entry, vfs=tuple(vfs))


def _without_mtu(entry: Original, index: int | None) -> Original:
    if index is None:
        return replace(entry, mtu=None)
    vfs = (replace(vf, mtu=None) if vf.index == index else vf for vf in entry.vfs)
    return replace(entry, vfs=tuple(vfs))


def _with_before(entry: Original, added: Mapping[int, VfLink]) -> Original:
    vfs = (_before(vf, joined(vf.link_before or VfLink(), added.get(vf.index, VfLink()))) for vf in entry.vfs)
    return replace(entry, vfs=tuple(vfs))


def _without_before(entry: Original, again: Mapping[int, Sequence[VfLink]]) -> Original:
    def without(vf: OriginalVf) -> OriginalVf:
        left = vf.link_before or VfLink()
        for setting in again.get(vf.index, ()):
            # A whole setting or nothing: one half of a VLAN with its priority is set together with the other.
            left = unmentioned(left, setting) if mentioned(left, setting) == setting else left
        return _before(vf, left)

    return replace(entry, vfs=tuple(map(without, entry.vfs)))


def _before(vf: OriginalVf, link: VfLink) -> OriginalVf:
    return replace(vf, link_before=None if link == VfLink() else link)


def _mtus(entry: Original, pf: Function) -> bool:
    """Whether each MTU that the entry has is there again. A VF without a netdev here has none."""
    now = {vf.index: vf.mtu for vf in vfs_of(pf)}
    vfs = all(vf.mtu is None or now.get(vf.index) in (None, vf.mtu) for vf in entry.vfs)
    return vfs and entry.mtu in (None, pf.mtu)


def _expect_no_gap(pf: Function) -> None:
    """Refuse a PF whose first VFs are missing. The kernel removes VFs in the order of their indexes and waits at one
    that is in use; an entry of the rest alone could not be given back.
    """
    indexes = [vf.index for vf in vfs_of(pf)]
    if indexes != list(range(len(indexes))):
        text = ", ".join(map(str, indexes))
        raise StaleSnapshotError(
            f"{pf.address} shows only VF {text}, so another program is removing its VFs; look and plan again"
        )


def _as_before(entry: Original, now: Original) -> bool:
    """Whether a PF is as its entry says. Not compared: names of netdevs, which udev gives, what its card is known by,
    which a driver may not show, link settings that are not given back, and a number of VFs that virtfn has not set: VFs
    that came later only have no override."""
    own = replace(now.own, netdevs=entry.own.netdevs) if now.own and entry.own else now.own
    back = {vf.index: entry.link_back(vf) for vf in entry.vfs}
    vfs = tuple(replace(vf, link=_part(vf.link, back.get(vf.index))) for vf in now.vfs)
    same = replace(
        entry, mtu=None, vfs=tuple(replace(vf, mtu=None, link=back[vf.index], link_before=None) for vf in entry.vfs)
    )
    if entry.number_untouched:
        before, there = {vf.index for vf in entry.vfs}, {vf.index for vf in vfs}
        if any(vf.driver_override is not None for vf in vfs if vf.index not in before):
            return False
        same = replace(same, num_vfs=now.num_vfs, vfs=tuple(vf for vf in same.vfs if vf.index in there))
        vfs = tuple(vf for vf in vfs if vf.index in before)
    again = replace(now, own=own, vfs=vfs, identity=entry.identity, boot_id=entry.boot_id)
    return same == replace(again, number_untouched=entry.number_untouched)


def _part(link: VfLink | None, back: VfLink | None) -> VfLink | None:
    return None if link is None or back is None else mentioned(link, back)


def has_links(originals: Iterable[Original]) -> bool:
    """Whether an entry has link settings to give back."""
    return any(original.link_back(vf) is not None for original in originals for vf in original.vfs)

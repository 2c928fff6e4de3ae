"""The journal: what every PF was before the first touch. Written before that touch, kept over kill -9 and reboot.

A journal that cannot be read or understood is never replaced: the administrator mends or removes it, and so decides
what becomes of the machine.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from virtfn_host.core.values.codec import CodecError
from virtfn_host.core.values.model import Card, Function, Original, OriginalOwn, OriginalVf, Pf, vfs_of
from virtfn_host.linux import documents
from virtfn_host.linux.errors import DocumentError, JournalUnreadableError, StaleSnapshotError
from virtfn_host.linux.files import write_atomically


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entries:
    originals: tuple[Original, ...]


class Journal:
    """The journal file. Every call reads it again, so two processes never disagree."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def originals(self) -> tuple[Original, ...]:
        """Return every PF's original state, by address; empty when nothing was ever touched.

        Raises:
            JournalUnreadableError: the file exists and cannot be read or understood.
        """
        try:
            found = documents.read(_Entries, self.path)
        except DocumentError as error:
            text = f"the journal {error}; it is kept as it is, and nothing is touched"
            raise JournalUnreadableError(f"{text} until it is mended or moved away") from error
        return () if found is None else found.originals

    def remember(self, pf: Function, *, whole: bool = False) -> None:
        """Note how a PF is, unless the journal already has an entry for this very card.

        Args:
            whole: the function itself is about to be touched, not only its VFs.

        Raises:
            StaleSnapshotError: some of its VFs are gone, so another program is removing them.
            JournalUnreadableError: see `originals`, or the file could not be written.
        """
        known = self.originals()
        entry = next((original for original in known if original.card == pf.card), None)
        if entry is None:
            _expect_no_gap(pf)
            entry = original_of(pf, whole=whole)
        elif whole and entry.own is None:
            entry = replace(entry, own=original_of(pf, whole=True).own)
        else:
            return
        self._write([*(original for original in known if original.address != pf.address), entry])

    def entry(self, card: Card) -> Original | None:
        """Return the entry of this very card; None if there is none.

        Raises:
            JournalUnreadableError: see `originals`.
        """
        return next((known for known in self.originals() if known.card == card), None)

    def forget(self, pf: Function) -> None:
        """Drop the entry of a PF that is again as it was before the first touch.

        Raises:
            StaleSnapshotError: the PF is not as it was; the entry stays.
            JournalUnreadableError: see `originals`.
        """
        known = self.originals()
        entry = next((original for original in known if original.address == pf.address), None)
        if entry is None:
            return
        if not _as_before(entry, original_of(pf, whole=entry.own is not None)):
            raise StaleSnapshotError(
                f"{pf.address} is not as it was before the first touch, so it stays in the journal"
            )
        self._write([original for original in known if original is not entry])

    def _write(self, originals: list[Original]) -> None:
        entries = _Entries(originals=tuple(sorted(originals, key=lambda original: original.address)))
        try:
            write_atomically(self.path, documents.text_of(entries), 0o600)
        except (OSError, CodecError) as error:
            text = f"the journal {DocumentError(self.path, 'written', error)}; nothing is touched without it"
            raise JournalUnreadableError(f"{text}, make its folder writable") from error


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
    )


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
    """Whether a PF is as its entry says. Not compared: names of netdevs, which udev gives, and link settings that the
    entry does not have (an earlier version wrote it, or they could not be read)."""
    own = replace(now.own, netdevs=entry.own.netdevs) if now.own and entry.own else now.own
    noted = {vf.index for vf in entry.vfs if vf.link is not None}
    vfs = tuple(vf if vf.index in noted else replace(vf, link=None) for vf in now.vfs)
    return entry == replace(now, own=own, vfs=vfs)


def has_links(originals: Iterable[Original]) -> bool:
    """Whether an entry has link settings to give back."""
    return any(vf.link is not None for original in originals for vf in original.vfs)

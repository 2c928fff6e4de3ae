"""The tries of wishes: the file beside the journal, and the count of destructive steps of one PF within one apply.

A destructive step is noted before it is carried out, and taken back if the kernel refused it and nothing has changed.
So a process that is killed in between leaves one too many, never one too few. A file that cannot be read or written
stops every step that makes, takes away or unbinds VFs, or sets a link setting or MTU (docs/decisions/0024).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from virtfn_host.core.turn.tries import Key, destruction
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import Outcome, StepResult
from virtfn_host.core.values.steps import (
    Bind,
    PfPlan,
    Probe,
    SetDriverOverride,
    SetNumVfs,
    Step,
    Unbind,
    holds_up_others,
)
from virtfn_host.core.values.tries import MOST, Destruction, Other, Repeat, Tried, Tries
from virtfn_host.linux import documents
from virtfn_host.linux.act.standing import stands
from virtfn_host.linux.errors import (
    DocumentError,
    DriverMadeOtherError,
    SettingMadeOtherError,
    SysfsWriteError,
    TriedEnoughError,
    TriesUnreadableError,
)
from virtfn_host.linux.read.sysfs import NO_BOOT, UNKNOWN

NAME = "tries.json"
"""Beside the journal: whoever has that folder locked is the one writer of both."""

TOGETHER = 32
"""Unbinds that are noted in one go."""


class TriesFile:
    """The file. Every call reads it again; what it says of another boot is void."""

    def __init__(self, path: Path, boot_id: str) -> None:
        self._path = path
        self._boot_id = boot_id

    def tried(self) -> tuple[Tried, ...]:
        """Return what was tried in this boot, by address.

        Raises:
            TriesUnreadableError: the file exists and cannot be read or understood, or the boot is not known.
        """
        try:
            found = documents.read(Tries, self._path)
        except DocumentError as error:
            raise _unreadable(error) from error
        if found is not None:
            self._expect_boot()
        return found.tried if found is not None and found.boot_id == self._boot_id else ()

    def of(self, pf: PciAddress) -> Tried | None:
        """Return what was tried on one PF.

        Raises:
            TriesUnreadableError: as above.
        """
        return next((it for it in self.tried() if it.pf == pf), None)

    def replace(self, pf: PciAddress, tried: Tried | None) -> None:
        """Note what was tried on one PF; None: nothing. Where nothing is left to note, the file goes.

        Raises:
            TriesUnreadableError: the file cannot be read or written.
        """
        others = [it for it in self.tried() if it.pf != pf]
        left = sorted([*others, *([tried] if tried else [])], key=lambda it: it.pf)
        if left:
            self._expect_boot()
        try:
            if left:
                documents.write(self._path, Tries(boot_id=self._boot_id, tried=tuple(left)), 0o600)
            else:
                self._path.unlink(missing_ok=True)
        except (DocumentError, OSError) as error:
            raise _unreadable(error) from error

    def _expect_boot(self) -> None:
        if self._boot_id == UNKNOWN:
            raise TriesUnreadableError(f"{_NOT_KNOWN}: {NO_BOOT}; {_STOPPED} until it can be")


_NOT_KNOWN = "how often it was tried is not known"
_STOPPED = "no VF is made, taken away or unbound, and no link setting or MTU is set"


def _unreadable(error: Exception) -> TriesUnreadableError:
    return TriesUnreadableError(f"{_NOT_KNOWN}: {error}; {_STOPPED} until it is mended or removed")


class PfTries:
    """The tries of one PF within one apply."""

    def __init__(
        self, file: TriesFile, part: PfPlan, standings: Callable[[], tuple[str, str]], now: Callable[[], float]
    ) -> None:
        self._file = file
        self._part = part
        self._standings = standings
        self._now = now
        self._noted: set[Key] = set()
        """Destructive steps that the file has and that may not have happened yet."""
        self._other: set[str] = set()
        """Kinds of other results that this apply has noted: names of fields of `Tried`."""
        self._settings_begun = False
        self._at_first: tuple[str, str] | None = None
        """How the PF stood before the first of these steps."""

    def begin(self, step: SetNumVfs | Unbind) -> None:
        """Note a step before it is carried out.

        Raises:
            TriedEnoughError: it was carried out often enough for the same wish.
            TriesUnreadableError: that is not known, or cannot be noted.
        """
        key = destruction(step)
        if key in self._noted:
            return
        tried = self._present()
        if key is not None:
            if tried.times(*key) >= MOST:
                raise TriedEnoughError(_enough(tried))
            keys = self._following(key, tried)
            self._noted |= set(keys)
            tried = _more(tried, keys, 1)
        self._file.replace(self._part.pf, tried)

    def begin_settings(self) -> None:
        """Write the file once before the first link setting or MTU: a result other than asked can be noted then.

        Raises:
            TriesUnreadableError: it cannot be.
        """
        if not self._settings_begun:
            self._file.replace(self._part.pf, self._present())
            self._settings_begun = True

    @contextmanager
    def counted(self, step: SetNumVfs | Unbind, unchanged: Callable[[], bool]) -> Iterator[None]:
        """Note a destructive step before the body carries it out.

        Args:
            unchanged: whether nothing has happened, asked if the kernel refuses a write of the body.

        Raises:
            TriedEnoughError, TriesUnreadableError: see `begin`.
        """
        self.begin(step)
        happened = True
        try:
            yield
        except SysfsWriteError:
            happened = not unchanged()
            raise
        finally:
            if happened and (key := destruction(step)) is not None:
                self._noted.discard(key)

    def came(self, error: DriverMadeOtherError, text: str) -> None:
        """Note a result other than asked; of several of a kind in one apply only the first.

        Raises:
            TriesUnreadableError: it cannot be noted.
        """
        kind = _kind(error)
        if kind in self._other:
            return
        self._other.add(kind)
        tried = self._present()
        former: Other | None = getattr(tried, kind)
        times = former.times + 1 if former else 1
        noted: dict[str, Any] = {kind: Other(text=text, times=times, at=self._now(), num_vfs=error.num_vfs)}
        self._file.replace(self._part.pf, replace(tried, **noted))

    def ended(self, results: Sequence[StepResult]) -> None:
        """Note the end of the PF's steps. What is done begins anew: a VF whose steps are all done, or all after the
        number of VFs was set. What waits for a holder is not among the steps, so it stays counted.

        Raises:
            TriesUnreadableError: it cannot be noted.
        """
        tried = self._file.of(self._part.pf)
        if tried is None:
            return
        settings = [result.outcome for result in results if not holds_up_others(result.step)]
        left = tried
        withheld = any(one.only_links and one.reason is Reason.DRIVER_MADE_OTHER for one in self._part.blocked)
        if settings and not withheld and all(outcome is Outcome.DONE for outcome in settings):
            left = replace(left, setting=None)
        left = _more(left, self._noted, -1)
        if all(result.outcome is Outcome.DONE for result in results if holds_up_others(result.step)):
            left = self._fulfilled(left)
        something = left.repeats or left.number or left.binding or left.setting
        if something and (now := self._standings()[0]) != left.standing:
            left = replace(left, after=now)
        if left != tried or not something:
            self._file.replace(self._part.pf, left if something else None)

    def _fulfilled(self, tried: Tried) -> Tried:
        """What is left of the tries. VFs that were bound do not change that there are not as many as asked for, nor
        that another VF is on another driver, nor does all this change a setting that is not as asked."""
        if any(isinstance(step, SetNumVfs) for step in self._part.steps):
            return replace(tried, repeats=(), number=None, binding=None)
        bound = {step.function.index for step in self._part.steps if isinstance(step, Unbind | Bind | Probe)}
        kept = (
            it.index not in bound if it.kind is Destruction.UNBIND else tried.number is not None for it in tried.repeats
        )
        repeats = tuple(it for it, keep in zip(tried.repeats, kept, strict=True) if keep)
        waits = not bound or any(it.kind is Destruction.UNBIND for it in repeats)
        return replace(tried, repeats=repeats, binding=tried.binding if waits else None)

    def _present(self) -> Tried:
        """The tries of this wish; without any for another wish, or where the PF was otherwise."""
        if self._at_first is None:  # afterwards our own steps change it
            self._at_first = self._standings()
        known, (whole_pf, card) = self._file.of(self._part.pf), self._at_first
        if known is not None and known.wish == self._part.wish and stands(known, whole_pf, card):
            return known
        rebound = any(_is_of_the_pf(step) for step in self._part.steps)
        return Tried(pf=self._part.pf, wish=self._part.wish, standing=card if rebound else whole_pf)

    def _following(self, key: Key, tried: Tried) -> list[Key]:
        """This step and the next ones of its kind, so that many unbinds do not write the file each."""
        keys = [found for step in self._part.steps if (found := destruction(step)) is not None and found[0] is key[0]]
        start = keys.index(key) if key in keys else 0
        left = (it for it in keys[start:] if it not in self._noted and tried.times(*it) < MOST)
        return list(dict.fromkeys(islice(left, TOGETHER))) or [key]


def _kind(error: DriverMadeOtherError) -> str:
    if isinstance(error, SettingMadeOtherError):
        return "setting"
    return "binding" if error.num_vfs is None else "number"


def _is_of_the_pf(step: Step) -> bool:
    """Whether a step binds or unbinds the PF itself, so that its driver changes by our own hand."""
    return isinstance(step, Unbind | Bind | Probe | SetDriverOverride) and step.function.index is None


def _more(tried: Tried, keys: Sequence[Key] | set[Key], number: int) -> Tried:
    """The same with these steps counted so many times more."""
    times = {(it.kind, it.index): it.times for it in tried.repeats}
    times |= {key: max(0, times.get(key, 0) + number) for key in keys}
    order = sorted(
        (it for it in times.items() if it[1]), key=lambda it: (it[0][0], -1 if it[0][1] is None else it[0][1])
    )
    return replace(tried, repeats=tuple(Repeat(kind=k, index=i, times=number) for (k, i), number in order))


def _enough(tried: Tried) -> str:
    other = tried.number or tried.binding
    said = f"; {other.text}" if other else ""
    return f"refused: done {MOST} times for the same wish, and nothing was as asked afterwards{said}"

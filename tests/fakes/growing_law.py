"""The law of our documents, for those that grow: a head, and records appended to it.

As `document_law.py`; and a file that ends after a whole line means what its lines say, as does one whose writer was
killed. One whose last line is cut off is refused, and the refusal knows what the whole lines say.
"""

import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

from document_law import BOOT, DocumentLaw, Kind, killed, tried
from document_mutations import mutated

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.appended import digest_of, line_of
from virtfn_host.core.values.envelope import checksum_of
from virtfn_host.core.values.offered import Allocation, Grant, Grants, Ledger, MoreGrants, Noted
from virtfn_host.linux import appended, poolfile
from virtfn_host.linux.appended import GrowingFile
from virtfn_host.linux.errors import HostError


@dataclass(frozen=True, kw_only=True)
class Growing(Kind):
    """One kind of document that grows."""

    meant: tuple[object, ...]
    """What the file means after each of its lines; the last is `value`."""
    whole: Callable[[HostError], object]
    """Returns what the whole lines say, from the refusal of a last line that is cut off; None from another refusal."""
    told: Callable[[list[Any]], Any]
    """Returns what the values of all lines say together, as JSON."""


def growing_kinds(folder: Path) -> tuple[Growing, ...]:
    """Return each kind of our files that grow, with a head and three records."""
    vfs = [PciAddress(0, 1, 0x10, number) for number in range(4)]
    entries = [Allocation(address=vf, resource_name="virtfn.dev/fast", at=1.79e5 + n / 4) for n, vf in enumerate(vfs)]
    heads = Ledger(boot_id=BOOT, allocations=(entries[0],), lost_at=1234.5)
    parts = ((entries[1], entries[2]), (entries[3],), (entries[0],))
    meant = [heads]
    for part in parts:
        meant.append(replace(meant[-1], allocations=meant[-1].allocations + part))
    path = folder / "ledger.json"
    return (
        _grown_grants(folder / "grants.json", vfs),
        Growing(
            name="ledger with records",
            path=path,
            write=lambda: written(path, heads, [_noted(part) for part in parts]),
            read=lambda: poolfile.read_ledger(path),
            value=meant[-1],
            meant=tuple(meant),
            whole=lambda error: error.whole if isinstance(error, poolfile.TornLedgerError) else None,
            told=_told_allocations,
        ),
    )


def _grown_grants(path: Path, vfs: Sequence[PciAddress]) -> "Growing":
    first, second, third, other = (
        Grant(
            address=vfs[number],
            resource_name="virtfn.dev/fast",
            driver="vfio-pci",
            nodes=("/dev/vfio/vfio", f"/dev/vfio/{group}"),
            boot_id=BOOT,
        )
        for number, group in ((0, 12), (1, 13), (2, 14), (0, 15))
    )
    parts = (((second, third), ()), ((), (vfs[1],)), ((other,), ()))
    return Growing(
        name="grants with records",
        path=path,
        write=lambda: written(path, Grants(grants=(first,)), [_granted(*part) for part in parts]),
        read=lambda: poolfile.read_grants(path),
        value=Grants(grants=(third, other)),
        meant=tuple(
            Grants(grants=grants) for grants in ((first,), (first, second, third), (first, third), (third, other))
        ),
        whole=lambda error: error.whole if isinstance(error, poolfile.TornGrantsError) else None,
        told=_told_grants,
    )


def _granted(grants: tuple[Grant, ...], gone: tuple[PciAddress, ...]) -> Callable[[str], MoreGrants]:
    return lambda line: MoreGrants(follows=line, grants=grants, gone=gone)


def _told_allocations(values: list[Any]) -> Any:
    return {**values[0], "allocations": [entry for value in values for entry in [*value["allocations"]]]}


def _told_grants(values: list[Any]) -> Any:
    kept: dict[Any, Any] = {}
    for value in values:
        for address in [*value.get("gone", ()), *(grant["address"] for grant in value["grants"])]:
            kept.pop(address, None)
        kept |= {grant["address"]: grant for grant in value["grants"]}
    return {**values[0], "grants": list(kept.values())}


def _noted(part: tuple[Allocation, ...]) -> Callable[[str], Noted]:
    return lambda line: Noted(follows=line, allocations=part)


def written(path: Path, head: object, records: Sequence[Callable[[str], object]]) -> None:
    """Write a file as its writer does: the head, then record by record."""
    file = GrowingFile(path, 0o644)
    file.replace(line_of(head))
    for record in records:
        assert file.append(record)


class GrowingLaw(DocumentLaw):
    """Tries variants of one kind of document that grows."""

    kind: Growing

    def every_truncation(self) -> None:
        """Try the file cut off after each byte."""
        for size in range(len(self._good)):
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, self._good[:size], 0)
            lines = self._good[:size].count(b"\n")
            self._cut("truncated", self._good[:size], lines + (self._good[size : size + 1] == b"\n"), lines)

    def _cut(self, what: str, data: bytes, whole: int, told: int) -> None:
        """Read a file whose last line may be cut off; `whole` lines are whole, and at least `told` of them ended."""
        try:
            found: object = self.kind.read()
        except HostError as error:
            found = self.kind.whole(error)
            right = found in self.kind.meant[max(0, told - 1) : whole] if told else found is None
            self.counted[f"{what}: {'cut off, told' if found else 'refused'}"] += 1
        else:
            right = found == (self.kind.meant[whole - 1] if whole else None)
            self.counted[f"{what}: read up to there"] += 1
        if not right:
            self.violations.append(f"{self.kind.name}, {what}: {found!r:.300} of {data!r:.600}")

    def generated(self, number: int) -> None:
        """Try documents with a changed line: sealed and linked anew, only sealed, or as of version 1."""
        for _ in range(number):
            lines = [json.loads(line) for line in self._good.splitlines()]
            which = self._random.randrange(len(lines))
            how = self._random.choice(("old seal", "new seal", "new seal and links", "version 1", "moved"))
            lines[which]["value"] = mutated(lines[which]["value"], self._random)
            if how == "moved":
                lines = [json.loads(line) for line in self._good.splitlines()]
                lines.insert(self._random.randrange(len(lines)), lines.pop(which))
            if how == "version 1":
                lines[which] = {"version": 1, "kind": lines[which]["kind"], "value": lines[which]["value"]}
            try:
                data = self._linked(lines, which, how)
            except (RecursionError, ValueError):
                continue
            last = how == "new seal" and which == len(lines) - 1  # nothing links to it
            as_it_says = last or how in ("new seal and links", "version 1")
            self._try(f"generated, {how}", data, self._told(data) if as_it_says else None)

    def _linked(self, lines: list[Any], which: int, how: str) -> bytes:
        """Return the lines as text; sealed, and from the changed one on linked anew, if `how` says so."""
        parts: list[bytes] = []
        for number, line in enumerate(lines):
            if how in ("new seal and links", "version 1") and number > which and isinstance(line["value"], dict):
                line["value"]["follows"] = digest_of(parts[-1])
            if "checksum" in line and (how == "new seal and links" or (how == "new seal" and number == which)):
                line["checksum"] = checksum_of(line)
            if how == "version 1" and number > which:
                line["checksum"] = checksum_of(line)
            text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))  # as written, where nothing has changed
            parts.append(text.encode(errors="surrogatepass") + b"\n")
        return b"".join(parts)

    def _told(self, data: bytes) -> Any:
        """Return what these lines say together, as far as their JSON lets them."""
        values = [json.loads(line)["value"] for line in data.splitlines()]
        try:
            return self.kind.told(values)
        except (TypeError, KeyError, AttributeError):
            return {}

    def kills(self, number: int) -> None:
        """Kill the writer at one of its calls, or in the middle of a write: what it had ended stays, and is told."""
        for _ in range(number):
            self.kind.write()
            half = self._random.random() < 0.5
            at = self._random.randrange(len(self.kind.meant)) if half else self._random.randrange(1, 40)
            died = killed_growing(self.kind.write, at, half)
            data = self.kind.path.read_bytes()
            ended = data.count(b"\n")
            self._cut("writer killed" if died else "writer not killed", data, ended, ended)
            self.kind.write()
            if beside := self._beside():
                self.violations.append(f"{self.kind.name}: left after a kill and a write: {beside}")
        self._again()


_CALLS = ("open", "write", "fchmod", "fsync", "fdatasync", "replace", "fstat", "close", "stat")


def killed_growing(write: Callable[[], object], at: int, half: bool) -> bool:
    """Run `write` in a process that dies before its call number `at`; `half`: in the middle of that write."""
    return killed(write, at, ("write",) if half else _CALLS, half=half)


def tried_growing(
    chosen: Sequence[Growing], *, flips: int, generated: int, kills: int, seed: int
) -> tuple[Counter[str], Sequence[str]]:
    """Try everything with each kind; return how often each result came, and the violations."""
    with mock.patch.object(appended, "WRITING", 0.0):  # no writer is at work here
        return tried(chosen, flips=flips, generated=generated, kills=kills, seed=seed, made=GrowingLaw)

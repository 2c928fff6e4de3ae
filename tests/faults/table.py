"""Makes docs/faults.md from what a run of every fault printed, one line for each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fault import Fault

HEAD = """# Faults, and what is said of them

`tests/faults/` provokes each of these {number} faults, {real} of them on a real kernel too, the others on the fake one
only. Each must show its reason and message in `virtfn` and in the status of the SriovNode within 10 s (`NotOffered`
within 30 s, because a difference must last), and be gone within 10 s of its repair; the test asserts both. The section
is that of the list of faults measured on real kernels, by theme: 1 a VF is held, 2 holders that come and go, 3 blocked
writes, 4 killed processes, 5 netdevs, 6 modules and IOMMU, 7 groups, 8 outside actors, 9 cards, 10 errors of writes,
11 events, 12 links, 13 several at once, 14 PFs given away.

The test writes this table (`VIRTFN_UPDATE=1`) and fails when it is not what a run prints. Messages are those of a run
on the fake kernel, with its addresses; the exit status is that of the command. A dash: only the report can know of it.

| Fault | Section | On | Command | Reason | Message | Exit |
|---|---|---|---|---|---|---|
"""


REST = "\n## "
"""Where the rest of the file begins, which people write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table."""

    text: str
    real: bool


def row_of(fault: Fault, line: str, root: Path) -> Row:
    """Return the row of a fault, without what differs from run to run."""
    said = line.removeprefix(f"{fault.reason}: ").replace(str(root), "").replace(str(root.parent), "")
    said = re.sub(r"/[\w/.-]*/(host\.sock|(?:policies|pools|ledger)\.\w+)", r"\1", said) if root != Path("/") else said
    said = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "2026-01-01T00:00:00Z", said)
    said = re.sub(r"process \d+", "process 4242", said).replace("|", "\\|")
    where = "real and fake" if fault.real else f"fake: {fault.fake_only}"
    command = f"`virtfn {fault.words[0]}`" if fault.words else "-"
    exit_status = str(fault.status) if fault.words else "-"
    cells = (fault.name, fault.section, where, command, fault.reason, said, exit_status)
    return Row(text=f"| {' | '.join(cells)} |", real=fault.real)


def table(rows: Sequence[Row], old: str) -> str:
    """Return the whole file: the table, and the rest of the old file."""
    head = HEAD.format(number=len(rows), real=sum(row.real for row in rows))
    return head + "\n".join(row.text for row in rows) + "\n" + "".join(old.partition(REST)[1:])

"""Every fault shows its own reason and message, in `virtfn` and in the node's report, and clears after its repair.

Users are promised 10 s for each, and 30 s where a difference must last. `make prove` checks that, where nothing else
runs; the agent's pauses count in full (faulty_node.py). A real kernel runs the faults that its hardware can show.
docs/faults.md lists all.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault import Fault
from faulty_node import DEADLINE, PROMISE, FaultyNode, says, verdicts
from list_cards import FAULTS as CARDS
from list_in_use import FAULTS as IN_USE
from list_links import FAULTS as LINKS
from list_offers import FAULTS as OFFERS
from list_outside_actors import FAULTS as OUTSIDE_ACTORS
from list_policies import FAULTS as POLICIES
from list_results import FAULTS as RESULTS
from list_surroundings import FAULTS as SURROUNDINGS
from list_usable import FAULTS as USABLE
from list_writes import FAULTS as WRITES
from table import REST, Row, row_of, table

from virtfn_operator.agent.ports import Patience

ALL = (*IN_USE, *OUTSIDE_ACTORS, *WRITES, *RESULTS, *POLICIES, *CARDS, *LINKS, *SURROUNDINGS, *USABLE, *OFFERS)
TABLE = Path(__file__).resolve().parents[2] / "docs/faults.md"
IN_GUEST = bool(os.environ.get("VIRTFN_IN_GUEST"))
UPDATE = bool(os.environ.get("VIRTFN_UPDATE"))


def _hardware() -> str:
    """Return the hardware of this real machine, in the words of `Fault.hardware`."""
    if not any(Path("/sys/kernel/iommu_groups").iterdir()):
        return "no-iommu"
    devices = Path("/sys/bus/pci/devices")
    switch = any(
        (d / "class").read_text() == "0x060400\n" and (d / "device").read_text() == "0x8233\n"
        for d in devices.iterdir()
    )
    return "no-acs" if switch else "igb2"


HERE = [f for f in ALL if f.real and f.hardware == _hardware()] if IN_GUEST else list(ALL)


@pytest.fixture(scope="module")
def seen() -> Iterator[list[tuple[Row, float, float]]]:
    """Collect, for every fault of this run, its row, the seconds until it showed, and until it was gone."""
    found: list[tuple[Row, float, float]] = []
    yield found
    if found:
        shown, cleared = max(entry[1] for entry in found), max(entry[2] for entry in found)
        print(f"\n{len(found)} faults; at worst shown after {shown:.1f} s and gone {cleared:.1f} s after the repair")
    if UPDATE and len(found) == len(ALL):
        TABLE.write_text(table([entry[0] for entry in found], TABLE.read_text()))


@pytest.mark.parametrize("fault", HERE, ids=lambda fault: fault.name)
def test_the_fault_shows_and_clears(node: FaultyNode, fault: Fault, seen: list[tuple[Row, float, float]]) -> None:
    node.converge(fault.before(node))
    # Filled in now, because the fault may remove what it names.
    node.expected = node.named(fault.message), node.named(fault.told[1] if fault.told else fault.message)
    wrong, shown, line = None, 0.0, ""
    with fault.provoke(node):
        try:
            shown, line = _shown(node, fault)
        except AssertionError as error:
            wrong = error  # raised below, after the machine is repaired
    if wrong is not None:
        raise wrong
    node.ask(wanted := (fault.after or fault.asked)(node))
    cleared = node.until(node.converged, "gone after the repair")
    assert not wanted or node.virtfn(["verify"])[0] == 0
    assert shown < max(DEADLINE, fault.within), f"shown after {shown:.1f} s"
    assert cleared < DEADLINE, f"shown after {shown:.1f} s, gone {cleared:.1f} s after the repair"
    print(f"{fault.name}: shown after {shown:.1f} s, gone {cleared:.1f} s after the repair: {line}")
    row = row_of(fault, line, node.root)
    seen.append((row, shown, cleared))
    if path := os.environ.get("VIRTFN_TRIED"):
        with Path(path).open("a") as file:
            file.write("1\n")
    if not IN_GUEST and not UPDATE:
        assert row.text in TABLE.read_text().splitlines(), f"VIRTFN_UPDATE=1 writes {TABLE.name} anew"


def _shown(node: FaultyNode, fault: Fault) -> tuple[float, str]:
    """Return the seconds until command and report showed the fault, and the line that shows it."""
    node.ask(fault.asked(node))
    seconds, line = _printed(node, fault, node.expected[0])
    reason, _ = fault.told or (fault.reason, "")
    limit = max(DEADLINE, fault.within)
    shown = max(seconds, node.until(says(reason, node.expected[1]), f"{reason} in the report", limit))
    if not fault.words:
        said = verdicts(node.neighbours.status)
        line = next(f"{word}: {text}" for word, text in said if re.search(node.expected[0], text))
    if node.agent.failing:
        node.agent.grow_old()
        node.turn()
    return shown, line


def _printed(node: FaultyNode, fault: Fault, message: str) -> tuple[float, str]:
    """Return the seconds until `virtfn` showed the fault, and its line."""
    if not fault.words:
        return 0.0, ""
    began, printed = time.monotonic(), ""
    while time.monotonic() - began < DEADLINE:
        status, printed = node.virtfn(fault.words)
        for line in printed.splitlines():
            _, found, said = line.partition(f"{fault.reason}: ")
            if found and re.search(message, said) and status == fault.status:
                return time.monotonic() - began, found + said
    raise AssertionError(f"wanted {fault.reason}: {message} and exit {fault.status}, got {status}:\n{printed}")


def test_the_agent_looks_often_enough_for_the_deadline() -> None:
    patience = Patience()
    longest = max(patience.idle * 1.2, patience.in_use, patience.blocked, patience.retry_limit)
    assert longest <= PROMISE / 2  # the other half is for the work


def test_there_are_enough_and_every_one_has_a_message_of_its_own() -> None:
    assert len(ALL) >= 30
    assert len({fault.name for fault in ALL}) == len(ALL)
    # Two pairs look the same: driver reloaded and VFs removed; card without IOMMU and machine without IOMMU.
    assert len({(fault.reason, fault.message) for fault in ALL}) >= len(ALL) - 2


@pytest.mark.skipif(UPDATE, reason="the table is made of a run on the fake kernel")
def test_the_table_lists_these_faults_and_no_others() -> None:
    lines = TABLE.read_text().partition(REST)[0].splitlines()
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines if line.startswith("| ")][1:] == [
        f.name for f in ALL
    ]

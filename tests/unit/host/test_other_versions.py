"""A journal of another version is used as far as it is understood; if that is too little, nothing is touched."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from documents import sealed
from kernel import FakeKernel

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.codec import encode
from virtfn_host.core.values.report import Outcome
from virtfn_host.core.values.steps import Forget, SetAutoprobe, SetNumVfs, Settle, Step, plan_of
from virtfn_host.executor import Executor
from virtfn_host.linux.act.journal import _Entries
from virtfn_host.process.serve import Host

PF = PciAddress(0, 1, 0, 0)
MAKE = (
    SetAutoprobe(pf=PF, value=False, expects=True),
    SetNumVfs(pf=PF, value=2, expects=0),
    Settle(pf=PF, num_vfs=2),
)
GIVE_BACK = (SetNumVfs(pf=PF, value=0, expects=2), SetAutoprobe(pf=PF, value=True, expects=False), Forget(pf=PF))


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A host process that has made two VFs, so it has a journal."""
    host = Host(Executor(FakeKernel(tmp_path / "root", pfs=1).machine()), None)
    assert outcomes(host, *MAKE) == [Outcome.DONE] * 3
    yield host
    host.end()


def outcomes(host: Host, *steps: Step) -> list[Outcome]:
    report = host.apply(plan_of(steps), lambda _: None)
    return [result.outcome for result in report.results]


def rewrite(host: Host, change: Callable[[Any], object], **more: object) -> str:
    """Write the journal as another version would have; return its former content."""
    path, entries = host.machine.journal.path, _Entries(originals=host.machine.journal.originals())
    before, told = path.read_text(), encode(entries)
    change(told)
    path.write_text(sealed(entries, told, **more))
    return before


def test_a_journal_with_fields_more_is_used_and_ended(host: Host) -> None:
    before = host.observe().originals
    rewrite(host, lambda told: told["originals"][0].update(eswitch="legacy", num_queues=[4]), writer="9.9")
    now = host.observe()
    assert (now.originals, now.journal_error) == (before, None)
    assert outcomes(host, *GIVE_BACK) == [Outcome.DONE] * 3
    assert host.observe().originals == ()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.write_text(""), "it is empty"),
        (lambda path: path.write_bytes(path.read_bytes()[:50]), "it is cut off"),
        (lambda path: path.write_text(path.read_text().replace('"version":2', '"version":3')), "it has version 3"),
    ],
)
def test_nothing_is_touched_by_a_journal_that_cannot_be_read(
    host: Host, spoil: Callable[[Path], object], said: str
) -> None:
    path = host.machine.journal.path
    before = path.read_text()
    spoil(path)
    look = host.observe()
    assert said in (look.journal_error or "")
    assert "nothing is touched until it is mended or moved away" in (look.journal_error or "")
    assert Outcome.DONE not in outcomes(host, *GIVE_BACK)
    path.write_text(before)
    assert host.observe().journal_error is None
    assert outcomes(host, *GIVE_BACK) == [Outcome.DONE] * 3


def test_nothing_is_touched_where_the_original_state_needs_what_nobody_here_knows(host: Host) -> None:
    field = "originals.eswitch"
    before = rewrite(host, lambda told: told["originals"][0].update(eswitch="legacy"), needs=[field])
    look = host.observe()
    assert f"it needs '{field}', which only a newer version of virtfn knows" in (look.journal_error or "")
    assert look.originals == ()
    assert Outcome.DONE not in outcomes(host, *GIVE_BACK)
    kept = json.loads(host.machine.journal.path.read_text())
    assert kept["value"]["originals"][0]["eswitch"] == "legacy"
    host.machine.journal.path.write_text(before)
    assert outcomes(host, *GIVE_BACK) == [Outcome.DONE] * 3

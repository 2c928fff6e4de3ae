"""No remedy tells to run a `virtfn` command that writes where the host process runs: that one has the writer's lock."""

import ast
import re
from collections.abc import Iterator

import pytest
from doc_commands import ROOT

from virtfn_host.core.values.reasons import Reason
from virtfn_kubectl.judge.next_steps import NEXT

WRITES = re.compile(r"virtfn (apply|bind|boot|restore)\b")
ALONE = "where no agent runs: `virtfn "
"""What a text says before such a command."""
CORE = ROOT / "host/virtfn_host/core"
OF_COMMANDS = {CORE / "turn/by_hand.py"}
"""What only the command itself prints."""


def texts() -> Iterator[tuple[str, str]]:
    """Place and text of each string of the checks and of what becomes of a policy, docstrings left out."""
    for path in sorted({*CORE.glob("checks/*.py"), *CORE.glob("turn/*.py")} - OF_COMMANDS):
        tree = ast.parse(path.read_text())
        said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
                yield f"{path.name}:{node.lineno}", node.value


def test_a_message_names_such_a_command_only_for_a_node_without_an_agent() -> None:
    found = dict(texts())
    assert len(found) > 100
    assert any(ALONE in text for text in found.values())
    assert [place for place, text in found.items() if WRITES.search(text.replace(ALONE, ""))] == []


@pytest.mark.parametrize("reason", list(Reason))
def test_a_next_step_names_none(reason: Reason) -> None:
    assert not WRITES.search(NEXT[reason])


def test_the_tables_of_the_runbook_name_none() -> None:
    rows = [line for line in (ROOT / "docs/runbook.md").read_text().splitlines() if line.startswith("|")]
    assert len(rows) > 60
    assert [row for row in rows if WRITES.search(row)] == []


def test_the_next_step_of_a_blocked_write_ends_the_holder_and_spares_the_writer() -> None:
    """A writer that was killed would write all the same, later (docs/runbook.md, Stuck)."""
    assert "end the holder" in NEXT[Reason.STUCK]
    assert "never the writer" in NEXT[Reason.STUCK]

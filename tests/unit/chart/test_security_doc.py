"""docs/security.md: every line says what stops an attacker, and the test that it names is there."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docs" / "security.md").read_text()
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def rows() -> list[list[str]]:
    """The lines of the tables that have a column of tests."""
    found, inside = [], False
    for line in TEXT.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if cells and cells[-1] == "Test":
            inside = True
        elif not cells:
            inside = False
        elif inside and set(cells[0]) != {"-"}:
            found.append(cells)
    return found


def test_every_line_names_its_tests() -> None:
    assert len(rows()) >= 30
    assert [cells for cells in rows() if len(cells) != 3 or not NAMED.fullmatch(cells[2].split(", ")[0])] == []


def test_every_test_that_is_named_exists() -> None:
    missing = [f"{path}::{name}" for path, name in NAMED.findall(TEXT) if name not in defined_in(ROOT / path)]
    assert missing == []


def test_every_kind_of_attacker_has_a_table() -> None:
    for kind in (
        "compromised agent",
        "stolen token",
        "hostile SriovNode",
        "who may create policies",
        "compromised device plugin",
        "pod with our paths",
        "strange card",
        "API server that misbehaves",
        "What we ship",
    ):
        assert re.search(f"^## .*{kind}", TEXT, re.MULTILINE), kind


def defined_in(path: Path) -> set[str]:
    """Names of the tests of a file; none where there is no such file."""
    if not path.is_file():
        return set()
    tree = ast.parse(path.read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}

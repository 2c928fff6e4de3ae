"""docs/conformance.md names each of the kubelet's 21 cases once, and a test with this name as its docstring."""

from __future__ import annotations

import ast
import re

import pytest

from virtfn_lab.paths import repository

ROW = re.compile(r"\| (?P<number>\d+) \| (?P<name>[^|]+) \| `(?P<file>\w+)`: `(?P<test>\w+)` \|")
TABLE = (repository() / "docs/conformance.md").read_text()
ROWS = [match.groupdict() for match in map(ROW.match, TABLE.splitlines()) if match]


def docstrings() -> dict[tuple[str, str], str]:
    found = {}
    for path in sorted((repository() / "tests/cluster").glob("test_kubelet_cases_*.py")):
        for item in ast.parse(path.read_text()).body:
            if isinstance(item, ast.FunctionDef) and item.name.startswith("test_"):
                name = path.stem.removeprefix("test_kubelet_cases_")
                found[name, item.name] = " ".join((ast.get_docstring(item) or "").split())
    return found


def test_the_table_has_21_cases_and_each_is_another_test() -> None:
    assert [int(row["number"]) for row in ROWS] == list(range(1, 22))
    assert {(row["file"], row["test"]) for row in ROWS} == set(docstrings())


@pytest.mark.parametrize("row", ROWS, ids=[row["number"] for row in ROWS])
def test_the_tests_docstring_is_upstreams_name(row: dict[str, str]) -> None:
    assert docstrings()[row["file"], row["test"]] == row["name"]

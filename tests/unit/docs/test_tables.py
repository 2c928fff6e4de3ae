"""Every row of a table is shown in one: it follows a head, with no empty line between, and has as many cells."""

import re
from collections.abc import Iterator

import pytest
from doc_commands import doc_pages

from virtfn_release.markdown import prose

PAGES = doc_pages()
RULE = re.compile(r"\|( *:?-+:? *\|)+")
SAMPLE = """\
| a | b |
|---|:-:|
| 1 | 2 |
| `x \\| y` | 3 |

    | code |

Text.
"""


def lost(page: str) -> Iterator[int]:
    """Yield the number of each line that looks like a row and is shown as text, or loses cells."""
    before, cells, rows = -1, 0, dict(prose(page))
    for number, line in rows.items():
        if not line.lstrip().startswith("|"):
            continue
        if number != before + 1:
            cells = _cells(line) if RULE.fullmatch(rows.get(number + 1, "").strip()) else 0
        if _cells(line) != cells:
            yield number
        before = number


def _cells(row: str) -> int:
    return len(re.findall(r"(?<!\\)\|", row.strip())) - 1


@pytest.mark.parametrize("page", PAGES)
def test_every_row_is_part_of_a_table(page: str) -> None:
    assert list(lost(PAGES[page])) == []


def test_a_table_is_read_as_it_is_shown() -> None:
    assert list(lost(SAMPLE)) == []


@pytest.mark.parametrize(
    ("wrong", "lines"),
    [
        (SAMPLE.replace("| 1", "\n| 1"), [4, 5]),
        (SAMPLE.replace("|---|:-:|\n", ""), [1, 2, 3]),
        (SAMPLE.replace("2 |", "2 | 3 |"), [3]),
        (SAMPLE.replace("\\|", "|"), [4]),
        (SAMPLE + "| 5 | 6 |\n", [9]),
    ],
    ids=["an empty line", "no rule", "a cell too many", "a bar that is not escaped", "a row by itself"],
)
def test_what_is_not_shown_as_a_row_is_found(wrong: str, lines: list[int]) -> None:
    assert list(lost(wrong)) == lines

"""YAML that is refused: each message has the line of the fault, and none is a traceback or Python's own."""

import time
from pathlib import Path

import pytest

from virtfn_host.cli import strict_yaml
from virtfn_host.cli.policy import UsageError, parse
from virtfn_host.core.values.strict_json import DEPTH_LIMIT

DEEP = f"more than {DEPTH_LIMIT} objects and lists within each other"
MOST = 1_000
MANY = f"more than {MOST} values; use fewer aliases"


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit that takes no seconds to reach."""
    monkeypatch.setattr(strict_yaml, "MOST_VALUES", MOST)


def lists(depth: int, inner: str = "1") -> str:
    return "[" * depth + inner + "]" * depth


def block(depth: int, inner: str = "1") -> str:
    """Objects within each other, each in a line of its own."""
    return "".join(f"{' ' * n}a:\n" for n in range(depth)) + f"{' ' * depth}{inner}\n"


def of_aliases(first: str, each: str) -> str:
    """Seven lines, each of which has the one before nine times."""
    lines = [each.format(n=n, of=", ".join([f"*a{n - 1}"] * 9)) for n in range(1, 7)]
    return f"x: 1\na0: &a0 {first}\n" + "\n".join(lines)


def refusal(text: str) -> str:
    began = time.process_time()
    with pytest.raises(UsageError) as refused:
        parse(Path("f"), text, "objects")
    assert time.process_time() - began < 20
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("depth", [DEPTH_LIMIT, 70, 330, 500, 2_000, 100_000])
def test_what_is_too_deep_is_refused_at_its_line(depth: int) -> None:
    """The object around it is a level, too."""
    assert refusal(f"x: 1\ny:\n  {lists(depth)}\n") == f"f: line 3: {DEEP}"
    assert refusal(f"x: 1\ny: {'{a: ' * depth}1{'}' * depth}\n") == f"f: line 2: {DEEP}"
    assert refusal(f"x: 1\n? {lists(depth)}\n: 1\n") == f"f: line 2: {DEEP}"
    assert refusal(f"x: 1\n---\ny:\n{'- ' * depth}1\n") == f"f: line 4: {DEEP}"


@pytest.mark.parametrize("depth", [65, 70, 330, 900])
def test_what_is_too_deep_in_many_lines_is_refused_at_the_first_that_is(depth: int) -> None:
    assert refusal(block(depth)) == f"f: line {DEPTH_LIMIT + 1}: {DEEP}"
    assert refusal(f"y:\n  {'[' * 9}\n" + "  [\n" * depth) == f"f: line {DEPTH_LIMIT - 9 + 2}: {DEEP}"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"a: &a {lists(40)}\nb:\n  {lists(40, '*a')}\n", 3),
        (f"a: &a {lists(60)}\nb: &b\n- 1\n- [[*a]]\nc: [*b]\n", 5),
        (f"a: &a {lists(2)}\nb:\n  {lists(62, '*a')}\n", 3),
        ("x: 1\na: &a [*a]\n", 2),
        ("x: 1\na: &a\n  b: {c: [1, *a]}\n", 3),
        ("x: 1\na: &a {<<: *a}\n", 2),
        ("x: &x\n  y: 1\n  z: *x\n", 3),
    ],
)
def test_aliases_that_make_it_too_deep_or_circular_are_refused_at_their_line(text: str, line: int) -> None:
    assert refusal(text) == f"f: line {line}: {DEEP}"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (of_aliases("[1, 2, 3]", "a{n}: &a{n} [{of}]"), 5),
        (of_aliases("{k: 1}", "a{n}: &a{n} {{<<: [{of}]}}"), 5),
        (f"a: &a [{'1, ' * 90}]\nb:\n  [{'*a, ' * 90}]\n", 3),
        ("x: 1\ny:\n" + "- 1\n" * 1_200, MOST + 1),
    ],
)
def test_too_many_values_are_refused_where_they_are_too_many(text: str, line: int) -> None:
    assert refusal(text) == f"f: line {line}: {MANY}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("!!bool x", "'x' is no bool"),
        ("!!int ''", "'' is no int"),
        ("!!int _", "'_' is no int"),
        ("!!float ''", "'' is no float"),
        ("!!timestamp x", "'x' is no timestamp"),
        ("!!timestamp 2026-99-99", "month must be in 1..12"),
        ("!!int 1:x", "invalid literal for int() with base 10: 'x'"),
        ("!!map [1]", "expected a mapping node, but found sequence"),
        ("!!seq {a: 1}", "expected a sequence node, but found mapping"),
        ("!!str [1]", "expected a scalar node, but found sequence"),
        ("{? [a] : 1}", "found unhashable key"),
        ("{a: 1, a: 2}", "key 'a' is there twice"),
        ('"\\UFFFFFFFF"', "Python int too large to convert to C int"),
        ("9" * 5_000, "Exceeds the limit"),
        ("*nothing", "found undefined alias 'nothing'"),
    ],
)
def test_what_is_not_of_its_type_is_refused_at_its_line(text: str, said: str) -> None:
    assert refusal(f"x: 1\ny: {text}\nz: 1\n").startswith(f"f: line 2: not valid YAML: {said}")


@pytest.mark.parametrize(
    "text",
    [
        f"a: {lists(DEPTH_LIMIT - 1)}\n",
        block(DEPTH_LIMIT),
        f"a: &a {lists(30)}\nb: {lists(33, '*a')}\nc: [*a, *a]\n",
        f"a: {lists(60)}\n---\nb: {lists(60)}\n",
        "a: &a [1, 2]\nb: {c: *a}\n",
        f"a: [{'1, ' * 990}]\n",
        "".join(f"k{n}: 1\n" for n in range(990)),
    ],
    ids=["lists", "objects", "aliases", "documents", "a small alias", "many values", "many keys"],
)
def test_what_is_just_within_the_limits_is_read(text: str) -> None:
    assert parse(Path("f"), text, "objects")

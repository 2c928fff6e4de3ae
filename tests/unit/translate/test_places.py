"""Places in JSON text: the line of a value, of a key that is there twice, and of too many levels."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from virtfn_host.core.translate.places import Place, fault_line, line_of, named
from virtfn_host.core.values.strict_json import CodecError, parse_json

TEXT = """{
  "a": [
    1,
    {"b": "x,]}\\"",
     "c": null}
  ],
  "d.e": {}
}"""


@pytest.mark.parametrize(
    ("place", "line"),
    [((), 1), (("a",), 2), (("a", 0), 3), (("a", 1), 4), (("a", 1, "b"), 4), (("a", 1, "c"), 5), (("d.e",), 7)],
)
def test_the_line_of_a_value_is_that_of_its_key(place: Place, line: int) -> None:
    assert line_of(TEXT, place) == line


@pytest.mark.parametrize(("place", "line"), [(("a", 1, "z"), 4), (("a", 9), 2), (("z", 1), 1), (("d.e", "f", 0), 7)])
def test_a_place_that_is_not_there_has_the_line_of_its_holder(place: Place, line: int) -> None:
    assert line_of(TEXT, place) == line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('{"a": 1,\n "b": {"a": 2},\n "a": 3}', 3),
        ('[{"a": 1},\n {"a": {"b": 1,\n "b": 1}}]', 3),
        ("[\n" * 70 + "]" * 70, 66),
        ('{"a":\n [1,\n 2,,]}', 3),
        ("{\n]", 2),
        ("", 1),
        ('{"a": 1e999}', None),
    ],
)
def test_a_fault_has_the_line_where_it_is(text: str, line: int | None) -> None:
    with pytest.raises(CodecError) as refused:
        parse_json(text, limit=1000)
    assert fault_line(text, refused.value) == line


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ((), ""),
        (("a", 0, "b"), "a[0].b"),
        ((1, "a"), "[1].a"),
        (("data", "config.json", "x"), 'data["config.json"].x'),
        (("a\nb",), '["a\\nb"]'),
        (("x" * 100,), f'["{"x" * 60}"]'),
    ],
)
def test_a_place_has_a_name_of_one_line(place: Place, name: str) -> None:
    assert named(place) == name


VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def places(value: Any, at: Place = ()) -> list[tuple[Place, Any]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(at, value), *(found for key, item in pairs for found in places(item, (*at, key)))]


@given(VALUES)
@settings(max_examples=300, deadline=None)
def test_every_value_of_any_text_is_found_on_its_own_line(value: Any) -> None:
    """With an indent, each value begins a line of its own, in order."""
    text = json.dumps(value, indent=1)
    lines = [line for line in text.split("\n") if line.strip() not in ("}", "]", "},", "],")]
    assert len(places(value)) == len(lines)
    for place, item in places(value):
        line = text.split("\n")[line_of(text, place) - 1]
        shown = json.dumps(item, indent=1).split("\n")[0]
        assert line.strip().rstrip(",").endswith(shown.rstrip(","))

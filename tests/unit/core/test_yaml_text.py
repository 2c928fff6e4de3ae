"""Objects printed as YAML mean the same to a YAML parser, and nothing in them can end a comment."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from virtfn_host.core.tell.yaml_text import comment, commented, yaml_text

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=8), inner, max_size=3),
    max_leaves=12,
)


@given(VALUES)
@settings(max_examples=500, deadline=None)
def test_any_value_is_read_back_as_it_was(value: Any) -> None:
    assert yaml.safe_load(yaml_text(value)) == value


ODD = (
    *("8086", "1e3", "0x1f", "yes", "No", "null", "~", "", " a", "a: b", "a #b", "- a", "2026-01-01", "=", "12:30"),
    *("a\tb", "\x00", "\x7f", "\x85", "\u2028", "\ufeff", "\U0001f600", "'", '"', "\\"),
    *("{a}", "[a]", "*a", "&a", "!a", "%a", "@a"),
)


@pytest.mark.parametrize("text", ODD)
def test_text_stays_text(text: str) -> None:
    for value in (text, [text], {"a": text}, [{"a": text}], {"b": {"a": text}}):
        assert yaml.safe_load(yaml_text(value)) == value


@pytest.mark.parametrize(
    "text",
    ["a\nb", "{\n  1\n}", " a\nb", "a\n\nb", "a\nb\n", "\na", "a\r\nb", "#a\n#b", "---\n...", "a\n---\nb", "ä\nö"],
)
def test_lines_stay_lines(text: str) -> None:
    for value in ({"a": text}, {"a": {"b": text}}, [{"a": text, "c": [1]}]):
        assert yaml.safe_load(yaml_text(value)) == value


def test_an_object_is_printed_as_people_write_it() -> None:
    value = {
        "kind": "SriovPolicy",
        "spec": {"devices": [{"vendor": "8086", "netdev": "ens1f0"}], "pools": [{"name": "a", "link": {"vlan": 7}}]},
        "config": json.dumps({"a": 1}, indent=2),
    }
    assert yaml_text(value).split("\n") == [
        "kind: SriovPolicy",
        "spec:",
        "  devices:",
        '  - {vendor: "8086", netdev: ens1f0}',
        "  pools:",
        "  - name: a",
        "    link:",
        "      vlan: 7",
        "config: |-",
        "  {",
        '    "a": 1',
        "  }",
    ]


@given(st.text(max_size=300))
@settings(max_examples=300, deadline=None)
def test_a_comment_is_only_a_comment(text: str) -> None:
    assert yaml.safe_load(f"a: 1\n{comment(text)}\nb: 2") == {"a": 1, "b": 2}


def test_a_comment_is_broken_at_blanks() -> None:
    lines = comment("word " * 60).split("\n")
    assert len(lines) > 2
    assert all(line.startswith("# ") and len(line) <= 101 for line in lines)


def test_an_object_in_comments_is_there_when_the_signs_are_gone() -> None:
    value = {"a": [{"b": [1, 2]}], "c": "x\ny"}
    hidden = commented(yaml_text(value))
    assert yaml.safe_load(hidden) is None
    assert yaml.safe_load("\n".join(line[2:] for line in hidden.split("\n"))) == value

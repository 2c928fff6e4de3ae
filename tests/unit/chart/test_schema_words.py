"""Helm shows the pattern that a value does not match, and nothing else; so each pattern of the schema has words."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

CHART = Path(__file__).resolve().parents[3] / "charts" / "virtfn"
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
PARTS = re.compile(r"(?P<words>[^^]+)\^\|(?P<rule>\^.*\$)")
"""`WORDS^|^RULE$`: the part before the bar matches nothing, because no text comes before its own beginning."""


def patterns(value: Any) -> Iterator[str]:
    """Every pattern of a schema."""
    if isinstance(value, dict):
        if isinstance(found := value.get("pattern"), str):
            yield found
        for part in value.values():
            yield from patterns(part)


@pytest.mark.parametrize("pattern", sorted(patterns(SCHEMA)))
def test_a_pattern_begins_with_words_that_match_nothing(pattern: str) -> None:
    parts = PARTS.fullmatch(pattern)
    assert parts is not None
    words, rule = parts["words"], parts["rule"]
    assert len(words.split()) >= 4
    for text in (words, f"{words}^", f"{words}\n", "", "/var/lib/kubelet", "1.2.3", "10.0.0.0/28", "5%"):
        assert bool(re.search(pattern, text)) is bool(re.search(rule, text)), text


@pytest.mark.parametrize(
    ("part", "wrong", "says"),
    [
        ("kubelet", {"rootDir": "var/lib/k0s"}, "an absolute path"),
        ("kubelet", {"rootDir": "/var/lib/kubelet/"}, "without a slash at the end"),
        ("image", {"tag": "a b"}, "a tag of an image"),
        ("image", {"digests": {"host": "latest"}}, "sha256: and 64 digits"),
    ],
)
def test_what_is_wrong_is_said_in_words(part: str, wrong: dict[str, Any], says: str) -> None:
    (error,) = Draft7Validator(SCHEMA).iter_errors(VALUES | {part: VALUES[part] | wrong})
    assert says in error.message

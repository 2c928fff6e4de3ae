"""JSON of anybody is read strictly: it is what it says, or it is a CodecError, and never another exception."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtfn_host.core.values.codec import CodecError
from virtfn_host.core.values.strict_json import DEPTH_LIMIT, parse_json

LIMIT = 1 << 20

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@given(PLAIN)
def test_what_is_json_is_read_as_it_is(value: object) -> None:
    assert parse_json(json.dumps(value), limit=LIMIT) == value
    assert parse_json(json.dumps(value, ensure_ascii=False).encode(), limit=LIMIT) == value


@given(st.binary() | st.text(alphabet='[]{}:,"\\ud8e+-.019tN', max_size=30))
def test_what_is_anything_is_a_codec_error_at_worst(text: str | bytes) -> None:
    with suppress(CodecError):
        parse_json(text, limit=LIMIT)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "not JSON"),
        (b"\0" * 4096, "not JSON"),
        (b"{} {}", "not JSON"),
        (b"[1,]", "not JSON"),
        ("\ufeff{}".encode(), "not JSON"),
        ("{}".encode("utf-16"), "not UTF-8"),
        (b'"\xff"', "not UTF-8"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        ('"\ud800"', "not UTF-8"),
        (b'{"a":"\\ud800"}', "not UTF-8"),
        (b'{"\\uDFFFa":1}', "not UTF-8"),
        (b"NaN", "not finite"),
        (b"[-Infinity]", "not finite"),
        (b"[1e999]", "not finite"),
        (b"9" * 5000, "more than 64 bits"),
        (b"-" + b"9" * 4000, "more than 64 bits"),
        (b"18446744073709551616", "more than 64 bits"),
        (b'{"a":1,"b":2,"a":1}', "key 'a' is there twice"),
        (b'[{"a":{"b":1,"\\u0062":2}}]', "key 'b' is there twice"),
        (nested(DEPTH_LIMIT + 1), "within each other"),
        (nested(900), "within each other"),
        (nested(100_000), "within each other"),
        ("[" * 100_000, "within each other"),
        ('{"a":' * 100_000, "within each other"),
        ('{"a":[' * 40 + "]}" * 40, "within each other"),
        (b'"' + b"x" * LIMIT + b'"', "longer than"),
        ('"' + "\u00e9" * (LIMIT // 2) + '"', "longer than"),
    ],
)
def test_what_is_no_json_of_ours_is_refused_and_says_why(text: str | bytes, message: str) -> None:
    with pytest.raises(CodecError, match=message) as refused:
        parse_json(text, limit=LIMIT)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (nested(DEPTH_LIMIT), json.loads(nested(DEPTH_LIMIT))),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'"\\\\ud800"', "\\ud800"),
        (b"18446744073709551615", (1 << 64) - 1),
        (b"-9223372036854775808", -(1 << 63)),
        (b'[{"a":1},{"a":2}]', [{"a": 1}, {"a": 2}]),
        (b" 1e308 ", 1e308),
        (b'"[[[[{{{{"', "[[[[{{{{"),
    ],
)
def test_what_only_looks_like_it_is_read(text: str | bytes, value: object) -> None:
    assert parse_json(text, limit=LIMIT) == value

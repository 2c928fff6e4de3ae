"""Parse untrusted JSON text to plain values; any fault in it is a CodecError.

`codec.py` decides what the values mean. Everything is bounded: `json` alone raises RecursionError for a deep list, and
ValueError for a number of 5,000 digits, or works on it for seconds if Python's limit is switched off.
"""

import json
import math
import re
from collections import Counter
from typing import Any

DEPTH_LIMIT = 64
"""Most levels of nested objects and lists in JSON that is read; virtfn's own values have at most eight."""


class CodecError(ValueError):
    """A document is not valid; the message begins with the path of the fault inside it."""


class NotJsonError(CodecError):
    """The text is not JSON, so it may be another format."""


def parse_json(text: str | bytes, *, limit: int) -> Any:
    """Parse untrusted JSON text of at most `limit` bytes strictly.

    It also refuses what `json` accepts: a key that appears twice, a number that is not finite, an integer of more than
    64 bits, half of a surrogate pair, and more than DEPTH_LIMIT levels.

    Raises:
        CodecError: the text is refused; no other exception is raised.
    """
    try:
        if len(text if isinstance(text, bytes) or text.isascii() else text.encode()) > limit:
            raise CodecError(f"longer than {limit} bytes")
        if isinstance(text, bytes):
            text = text.decode()
        value = _JSON.decode(text)
        _refuse_depth(value)
        if _HALF_A_PAIR.search(text):  # it may be part of a whole pair, or an escaped backslash: encoding decides
            json.dumps(value, ensure_ascii=False).encode()
    except CodecError:
        raise
    except UnicodeError as error:
        raise CodecError(f"not UTF-8: {clipped(str(error))}") from error
    except ValueError as error:
        raise NotJsonError(f"not JSON: {error}") from error
    except RecursionError as error:
        raise CodecError(_TOO_DEEP) from error
    except MemoryError as error:
        raise CodecError("not enough memory to read it") from error
    return value


def clipped(value: object) -> str:
    """Return the beginning of an untrusted value, for a message."""
    text = repr(value)
    return text if len(text) <= _CLIP else text[:_CLIP] + "..."


_CLIP = 120
"""Characters."""

_TOO_DEEP = f"more than {DEPTH_LIMIT} objects and lists within each other"

_HALF_A_PAIR = re.compile(r"\\u[dD][89a-fA-F]")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        (twice, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise CodecError(f"key {clipped(twice)} is there twice")
    return value


def _integer(text: str) -> int:
    if len(text) > len("-9223372036854775808") or not -(1 << 63) <= (value := int(text)) < 1 << 64:
        raise CodecError(f"an integer of more than 64 bits: {clipped(text)}")
    return value


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise CodecError(f"a number that is not finite: {clipped(text)}")
    return value


_JSON = json.JSONDecoder(object_pairs_hook=_once, parse_int=_integer, parse_float=_finite, parse_constant=_finite)


def _refuse_depth(value: object) -> None:
    """Raise CodecError for more than DEPTH_LIMIT levels. It goes level by level and stops at the limit."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(DEPTH_LIMIT):
        level = [
            item
            for holder in level
            for item in (holder.values() if isinstance(holder, dict) else holder)
            if type(item) is dict or type(item) is list
        ]
        if not level:
            return
    raise CodecError(_TOO_DEEP)

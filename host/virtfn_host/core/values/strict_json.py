"""JSON text that anybody may have written, to plain values: it is what it says, or it is a CodecError.

What the values mean is codec's. Everything is bounded, for `json` alone answers a deep list with a RecursionError, and
a number of 5,000 digits with a ValueError or, where somebody set it so, with seconds of work.
"""

import json
import math
import re
from collections import Counter
from typing import Any

DEPTH_LIMIT = 64
"""Objects and lists within each other in the deepest JSON that is read; the deepest value of ours has eight."""


class CodecError(ValueError):
    """A document that is not what it should be; the message begins with the path inside it."""


class NotJsonError(CodecError):
    """It is no JSON at all, so it may be something else."""


def parse_json(text: str | bytes, *, limit: int) -> Any:
    """What a JSON text of at most `limit` bytes says, read strictly, whoever wrote it.

    Beside what is no JSON, it refuses what `json` lets through: a key that is there twice, a number that is not finite
    or an integer of more than 64 bits, half of a surrogate pair, and more than DEPTH_LIMIT levels.

    Raises:
        CodecError: it is not that, and nothing else is raised.
    """
    try:
        if len(text if isinstance(text, bytes) or text.isascii() else text.encode()) > limit:
            raise CodecError(f"longer than {limit} bytes")
        if isinstance(text, bytes):
            text = text.decode()
        value = _JSON.decode(text)
        _refuse_depth(value)
        if _HALF_A_PAIR.search(text):  # perhaps whole pairs, or only text about them
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
        raise CodecError("takes more memory than there is") from error
    return value


def clipped(value: object) -> str:
    """A value of somebody else for a message of ours: its beginning says enough."""
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
    """Level by level: what is deeper than the limit is not gone into."""
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

"""Documents of ours as another version writes them: an earlier one, or one that is not made yet."""

import copy
import json
from collections.abc import Collection
from typing import Any

from hypothesis import strategies as st

from virtfn_host.core.values.codec import checksum_of, encode


def of_version_1(value: object) -> str:
    """As version 1 wrote it: without a checksum."""
    return json.dumps({"version": 1, "kind": type(value).__name__, "value": encode(value)}, separators=(",", ":"))


def sealed(value: object, told: object = None, **more: object) -> str:
    """A document with its checksum.

    Args:
        value: whose kind it is, and what it says where nothing else is told.
        told: the JSON that it says instead.
        more: what stands beside it in the document, or instead.
    """
    said = encode(value) if told is None else told
    document = {"version": 2, "kind": type(value).__name__, "value": said, **more}
    return json.dumps({**document, "checksum": checksum_of(document)})


def every_object(told: Any) -> list[dict[str, Any]]:
    """Every object within a JSON value, itself included."""
    if isinstance(told, list):
        return [found for item in told for found in every_object(item)]
    return [told, *(found for item in told.values() for found in every_object(item))] if isinstance(told, dict) else []


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def extended(draw: st.DrawFn, told: Any, known: Collection[str]) -> Any:
    """The same JSON with one to five fields more, anywhere, of names that are not known."""
    more = copy.deepcopy(told)
    places = every_object(more)
    names = st.text(max_size=20).filter(lambda name: name not in known)
    for number in draw(st.lists(st.integers(0, len(places) - 1), min_size=1, max_size=5)):
        places[number][draw(names)] = draw(JSON)
    return more

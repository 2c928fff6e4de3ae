"""Our documents as another version writes them: an earlier one, or a future one."""

import copy
import json
from collections.abc import Collection
from typing import Any

from hypothesis import strategies as st

from virtfn_host.core.values.codec import encode
from virtfn_host.core.values.envelope import checksum_of


def of_version_1(value: object) -> str:
    """Return a document as version 1 wrote it: without a checksum."""
    return json.dumps({"version": 1, "kind": type(value).__name__, "value": encode(value)}, separators=(",", ":"))


def sealed(value: object, told: object = None, **more: object) -> str:
    """Return a document with its checksum.

    Args:
        value: gives the kind of document, and its content unless `told` is given.
        told: JSON to use as the content.
        more: keys to add to the document or to replace in it.
    """
    said = encode(value) if told is None else told
    document = {"version": 2, "kind": type(value).__name__, "value": said, **more}
    return json.dumps({**document, "checksum": checksum_of(document)})


def every_object(told: Any) -> list[dict[str, Any]]:
    """Return every object within a JSON value, itself included."""
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
    """Draw the same JSON with one to five more fields, anywhere, with unknown names."""
    more = copy.deepcopy(told)
    places = every_object(more)
    names = st.text(max_size=20).filter(lambda name: name not in known)
    for number in draw(st.lists(st.integers(0, len(places) - 1), min_size=1, max_size=5)):
        places[number][draw(names)] = draw(JSON)
    return more

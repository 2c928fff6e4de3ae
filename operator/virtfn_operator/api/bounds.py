"""The bounds of texts and lists in a status, written once: beside each field of the status dataclasses.

Longer texts and lists are cut before they are sent, because the API server stores nothing of a status that the schema
refuses. The CRDs have the same numbers; tests/unit/crds compares them.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from virtfn_host.core.values.codec import camel


@dataclass(frozen=True, slots=True)
class Most:
    """The bound of a field: characters of a text, or entries of a list."""

    number: int


Name = Annotated[str, Most(253)]
Uid = Annotated[str, Most(64)]
Address = Annotated[str, Most(32)]
Id = Annotated[str, Most(16)]
Driver = Annotated[str, Most(128)]
Netdev = Annotated[str, Most(128)]
ResourceName = Annotated[str, Most(317)]
Device = Annotated[str, Most(256)]
Word = Annotated[str, Most(1024)]
"""A reason."""
Message = Annotated[str, Most(32768)]
HolderText = Annotated[str, Most(4096)]

_Cut = Callable[[Any], Any]

MARK = "…"
"""The end of a text that was cut."""


def cut(kind: type, document: Any) -> Any:
    """Cut every text and list in the JSON of a dataclass to the bounds of the schema."""
    return _cutter(kind)(document)


def cut_text(text: str, most: int) -> str:
    """Cut a text to `most` characters, and replace those that UTF-8 cannot encode."""
    text = text if text.isascii() else text.encode("utf-8", "replace").decode()
    return text if len(text) <= most else text[: most - len(MARK)] + MARK


def bounded(kind: type, path: str = "") -> dict[str, int]:
    """Return the bound of every bounded field by its path, as the CRD writes paths: `.functions[].vfs[].indexes`."""
    found: dict[str, int] = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        found |= _bounded(hint, f"{path}.{camel(name)}")
    return found


def _bounded(hint: Any, path: str) -> dict[str, int]:
    bare, most = _split(hint)
    here = {path: most} if most is not None else {}
    if get_origin(bare) is tuple:
        return here | _bounded(get_args(bare)[0], f"{path}[]")
    if is_dataclass(bare) and isinstance(bare, type):
        return here | bounded(bare, path)
    return here


def _split(hint: Any) -> tuple[Any, int | None]:
    """Split a type hint into its type, without `None`, and its bound."""
    if get_origin(hint) is Annotated:
        bare, *marks = get_args(hint)
        return _split(bare)[0], next((mark.number for mark in marks if isinstance(mark, Most)), None)
    members = [member for member in get_args(hint) if member is not type(None)]
    if len(members) == 1 and type(None) in get_args(hint):
        return _split(members[0])
    return hint, None


@cache
def _cutter(hint: Any) -> _Cut:
    bare, most = _split(hint)
    if get_origin(bare) is tuple:
        item = _cutter(get_args(bare)[0])
        return lambda value: [item(one) for one in value[:most]]
    if is_dataclass(bare) and isinstance(bare, type):
        hints = get_type_hints(bare, include_extras=True)
        parts = {camel(field.name): _cutter(hints[field.name]) for field in fields(bare)}
        return lambda value: {key: parts[key](item) for key, item in value.items()}
    if most is None:
        return lambda value: value
    return lambda value: cut_text(value, most)

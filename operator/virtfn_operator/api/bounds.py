"""How long the texts and lists of a status may be, said once: beside each field of the dataclasses that are the status.

A status that the schema refuses tells nobody anything, so what is longer is cut before it is sent. The CRDs have the
same numbers; tests/unit/crds compares them.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from virtfn_host.core.values.codec import camel


@dataclass(frozen=True, slots=True)
class Most:
    """Characters of a text, or entries of a list."""

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
"""Ends a text of which something was cut off."""


def cut(kind: type, document: Any) -> Any:
    """The JSON of a value of this dataclass with every text and list as long as the schema lets it be."""
    return _cutter(kind)(document)


def cut_text(text: str, most: int) -> str:
    """At most so many characters, and none that JSON in UTF-8 cannot carry."""
    text = text if text.isascii() else text.encode("utf-8", "replace").decode()
    return text if len(text) <= most else text[: most - len(MARK)] + MARK


def bounded(kind: type, path: str = "") -> dict[str, int]:
    """Path to bound for every bounded field of a dataclass, as the CRD writes paths: `.functions[].vfs[].indexes`."""
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
    """A hint without `None` and without its bound, and the bound."""
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

"""Documents that outlive a process and its version: an envelope of version, kind, value and checksum.

A reader ignores a field that it does not know, unless the document lists the field as needed (decision 0020).
`codec.py` has the values inside. The caller owns the file.
"""

import hashlib
import json
import types
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, get_args

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.codec import CodecError, camel, decode, decode_known, encode, few, hints
from virtfn_host.core.values.strict_json import NotJsonError, clipped, parse_json

VERSION = 2
"""Version of the documents that `dumps` writes; 2 added the checksum. It changes with the envelope, never with a
field."""

_ENVELOPE = ("version", "kind", "value")
"""Keys that every document has. Version 1 has no others; later versions have `checksum` and may have more."""

NEEDED = types.MappingProxyType({"needed": True})
"""Metadata of a dataclass field that readers must know: a document lists it in `needs` if it is not its default."""

DOCUMENT_LIMIT = 4 << 20
"""Bytes of the longest document that `loads` accepts. A pool file of 2,048 devices has at most 0.7 MB."""

T = TypeVar("T")


def dumps(value: object) -> str:
    """Return `{"version":2,"kind":"Plan","value":{...},"checksum":"sha256:..."}` on one line; equal values, equal text.

    Raises:
        CodecError: the value has a number or text that JSON cannot represent.
    """
    kind, encoded = type(value).__name__, encode(value)
    document = {"version": VERSION, "kind": kind, "value": encoded}
    if needs := _needs(type(value), encoded):
        document["needs"] = needs
    try:
        document["checksum"] = checksum_of(document)
        text = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        text.encode()
    except ValueError as error:
        raise CodecError(f"{kind} cannot be written: {clipped(str(error))}") from error
    return text


def loads(kind: type[T], text: str | bytes, *, limit: int = DOCUMENT_LIMIT) -> T:
    """Read a document that `dumps` wrote, in this version or another.

    Raises:
        CodecError: the text is not JSON or too long; the kind, the checksum or the type of a value is wrong; or the
            document needs a field that this program does not know.
    """
    document = _parsed(text, limit)
    version = document["version"]
    if type(version) is not int or version < 1:
        raise CodecError(f"version {clipped(version)} is not valid; this program reads version 1 and later ones")
    try:
        return _value(kind, document)
    except CodecError as error:
        if version <= VERSION:
            raise
        raise CodecError(f"{error}; it has version {version}, this program knows {VERSION}: upgrade virtfn") from error


def _parsed(text: str | bytes, limit: int) -> dict[str, Any]:
    if not text.strip():
        raise CodecError("it is empty")
    try:
        document = parse_json(text, limit=limit)
    except NotJsonError as error:
        raise CodecError(f"it is cut off, or not a virtfn document: {error}") from error
    if not isinstance(document, dict) or "version" not in document:
        raise CodecError("not a virtfn document: want version, kind and value")
    return document


def _value(kind: type[T], document: Mapping[str, Any]) -> T:
    if not document.keys() >= set(_ENVELOPE):
        raise CodecError("not a virtfn document: want version, kind and value")
    # Version 1 has no checksum, and later programs do not write it, so an extra key in it is damage.
    strict = document["version"] == 1
    if strict and len(document) != len(_ENVELOPE):
        raise CodecError("a document of version 1 has kind, value, version and nothing else")
    if document["kind"] != kind.__name__:
        raise CodecError(f"kind {clipped(document['kind'])}, wanted {kind.__name__}")
    if not strict and document.get("checksum") != checksum_of(document):
        raise CodecError("its checksum does not match: it was edited or damaged after it was written")
    if "needs" in document:
        expect_known(document["needs"], field_paths(kind))
    read = decode if strict else decode_known
    value: T = read(kind, document["value"], kind.__name__)
    return value


def checksum_of(document: Mapping[str, Any]) -> str:
    """Return the checksum over all other keys of a document, known or not. White space and key order do not matter.

    Keys beyond the envelope come last and are left out if there are none: documents without them keep their checksum.
    """
    more = {key: item for key, item in document.items() if key not in (*_ENVELOPE, "checksum")}
    said = [*(document[key] for key in _ENVELOPE), *([more] if more else [])]
    canonical = json.dumps(said, separators=(",", ":"), sort_keys=True, allow_nan=False)
    return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"


def expect_known(needs: object, known: Collection[str]) -> None:
    """Refuse a document that needs a field which this program does not know.

    Args:
        needs: the document's list of needed field paths.
        known: the paths of all fields that this program knows.

    Raises:
        CodecError: a needed field is unknown, or `needs` is not a list of paths.
    """
    if not isinstance(needs, list) or not all(isinstance(path, str) for path in needs):
        raise CodecError(f"needs: want a list of fields, got {clipped(needs)}")
    if unknown := {clipped(path) for path in needs} - {repr(path) for path in known}:
        names = few(unknown)
        raise CodecError(f"it needs {names}, which only a newer version of virtfn knows: upgrade virtfn")


def field_paths(kind: Any) -> Mapping[str, Field[Any]]:
    """Return every field of this dataclass and of those inside it, by path without indexes: `pools.devices.reason`."""
    return _field_paths(kind)


@cache
def _field_paths(kind: Any) -> Mapping[str, Field[Any]]:
    found: dict[str, Field[Any]] = {}
    for one in fields(kind):
        path = camel(one.name)
        found[path] = one
        for inner in _dataclasses(hints(kind)[one.name]):
            found |= {f"{path}.{below}": field for below, field in _field_paths(inner).items()}
    return found


def _dataclasses(hint: Any) -> Iterator[Any]:
    if is_dataclass(hint) and isinstance(hint, type) and hint is not PciAddress:
        yield hint
    for part in get_args(hint):
        yield from _dataclasses(part)


def _needs(kind: Any, encoded: object) -> list[str]:
    return sorted(path for path, field in _needed(kind).items() if _says(encoded, path.split("."), field))


@cache
def _needed(kind: Any) -> Mapping[str, Field[Any]]:
    return {path: field for path, field in field_paths(kind).items() if "needed" in field.metadata}


def _says(encoded: object, path: Sequence[str], field: Field[Any]) -> bool:
    """Return whether the value at the path is not the field's default, in any item of the lists on the way. A sparse
    field that is left out has its default."""
    if isinstance(encoded, list):
        return any(_says(item, path, field) for item in encoded)
    if path:
        return isinstance(encoded, dict) and path[0] in encoded and _says(encoded[path[0]], path[1:], field)
    return field.default is MISSING or encoded != encode(field.default)

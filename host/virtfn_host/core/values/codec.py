"""Convert the model's values to JSON and back: lowerCamelCase keys, addresses as text, a checksum on each document.

A message (`decode`) comes from a process of the same version, so an unknown field is an error. A document (`dumps`,
`loads`) may come from another version, so the reader ignores an unknown field, unless the document lists the field as
needed (decision 0020). In both, a missing field without default or a value of another type is an error that names the
path of the field. The caller owns the socket or the file.
"""

import hashlib
import json
import types
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.indexes import Indexes
from virtfn_host.core.values.names import AtMost, Parsed, Shared, Within
from virtfn_host.core.values.reasons import Reason, known_reason
from virtfn_host.core.values.strict_json import CodecError as CodecError
from virtfn_host.core.values.strict_json import NotJsonError, clipped
from virtfn_host.core.values.strict_json import parse_json as parse_json

VERSION = 2
"""Version of the documents that `dumps` writes; 2 added the checksum. It changes with the envelope, never with a
field."""

_ENVELOPE = ("version", "kind", "value")
"""Keys that every document has. Version 1 has no others; later versions have `checksum` and may have more."""

NEEDED = types.MappingProxyType({"needed": True})
"""Metadata of a dataclass field that readers must know: a document lists it in `needs` if it is not its default."""

SPARSE = types.MappingProxyType({"sparse": True})
"""Metadata of a dataclass field that is left out while it is its default: the strict readers of version 1 refuse
unknown fields, and a document without it reads as before (docs/decisions/0023)."""

DOCUMENT_LIMIT = 4 << 20
"""Bytes of the longest document that `loads` accepts. A pool file of 2,048 devices has about 0.4 MB."""

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
    value: T = _decoded(kind, document["value"], kind.__name__, strict)
    return value


def checksum_of(document: Mapping[str, Any]) -> str:
    """Return the checksum over all other keys of a document, known or not. White space and key order do not matter.

    Keys beyond the envelope come last and are left out if there are none: documents without them keep their checksum.
    """
    more = {key: item for key, item in document.items() if key not in (*_ENVELOPE, "checksum")}
    said = [*(document[key] for key in _ENVELOPE), *([more] if more else [])]
    canonical = json.dumps(said, separators=(",", ":"), sort_keys=True, allow_nan=False)
    return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"


# --- fields that a reader must know --------------------------------------------------------------------------------


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
        names = _few(unknown)
        raise CodecError(f"it needs {names}, which only a newer version of virtfn knows: upgrade virtfn")


def field_paths(kind: Any) -> Mapping[str, Field[Any]]:
    """Return every field of this dataclass and of those inside it, by path without indexes: `pools.devices.reason`."""
    found: dict[str, Field[Any]] = {}
    for one in fields(kind):
        path = camel(one.name)
        found[path] = one
        for inner in _dataclasses(_hints(kind)[one.name]):
            found |= {f"{path}.{below}": field for below, field in field_paths(inner).items()}
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


# --- values --------------------------------------------------------------------------------------------------------


def encode(value: object) -> Any:
    """Return the JSON form of a value of the model. A member of a union has its class name as `kind`."""
    kind: Any = type(value)
    return _encoder(kind)(value)


def decode(hint: Any, value: object, path: str) -> Any:
    """Return the value of type `hint` that `encode` turned into `value`; `path` begins every error message.

    Raises:
        CodecError: `value` does not fit the type.
    """
    return _decoded(hint, value, path, strict=True)


def _decoded(hint: Any, value: object, path: str, strict: bool) -> Any:
    try:
        return _decoder(hint, strict)(value)
    except _MisfitError as error:
        raise CodecError(f"{path}{error.path}: {error.text}") from error.__cause__


# Encoders and decoders are built once for each type: an observation has thousands of fields, and inspecting the type of
# each took longer than reading the machine (measured by hand).

_Encode = Callable[[Any], Any]
_Decode = Callable[[object], Any]


class _MisfitError(Exception):
    """A value that does not fit its type. Each enclosing decoder adds its part in front of the path."""

    def __init__(self, text: str, path: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.path = path


@cache
def _encoder(kind: type) -> _Encode:
    if kind in (PciAddress, Indexes):
        return str
    if issubclass(kind, Enum):
        return lambda value: value.value
    if issubclass(kind, tuple):
        return lambda value: [encode(item) for item in value]
    if is_dataclass(kind):
        return _dataclass_encoder(kind)
    if issubclass(kind, str | int | float | type(None)):
        return lambda value: value
    raise TypeError(f"{kind.__name__} is not part of the model")


def _dataclass_encoder(kind: Any) -> _Encode:
    return _fields_encoder(kind, {f.name for f in fields(kind) if "sparse" in f.metadata})


def _field_encoder(hint: Any) -> _Encode:
    if (shared := _shared(hint)) is None:
        return _encode_tagged if _is_tagged(hint) else encode
    kind = _item_of(hint)
    encoder = _fields_encoder(kind, {f.name for f in fields(kind)}, without=shared.fields)
    return lambda items: [encoder(item) for item in items]


def _fields_encoder(kind: Any, sparse: Collection[str], without: Collection[str] = ()) -> _Encode:
    """Return the encoder of a dataclass's fields; those in `sparse` are left out while they are their default."""
    known = [
        (f.name, camel(f.name), f.default if f.name in sparse else MISSING, _field_encoder(_hints(kind)[f.name]))
        for f in fields(kind)
        if f.name not in without
    ]
    return lambda value: {
        key: encoder(part) for name, key, default, encoder in known if (part := getattr(value, name)) != default
    }


def _encode_tagged(value: object) -> Any:
    if isinstance(value, tuple):
        return [_encode_tagged(item) for item in value]
    return {"kind": type(value).__name__, **encode(value)}


def _is_tagged(hint: Any) -> bool:
    hint = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return len(_classes(get_args(hint)[0] if get_origin(hint) is tuple else hint)) > 1


@cache
def _decoder(hint: Any, strict: bool) -> _Decode:
    """Return the decoder of a type; `strict` refuses unknown fields and unknown reasons."""
    origin = get_origin(hint)
    if origin is Annotated:
        return _bounded_decoder(strict, *get_args(hint))
    if origin in (Union, types.UnionType):
        return _union_decoder(hint, strict)
    if origin is tuple:
        return _tuple_decoder(_decoder(get_args(hint)[0], strict))
    if hint is PciAddress:
        return _text_decoder(PciAddress.parse)
    if is_dataclass(hint) and isinstance(hint, type):
        return _dataclass_decoder(hint, strict)
    if hint is Reason and not strict:
        return _text_decoder(known_reason)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _text_decoder(hint)
    return _scalar_decoder(hint)


def _bounded_decoder(strict: bool, hint: Any, *bounds: Parsed | Within | AtMost) -> _Decode:
    """Return the decoder of a field whose type has a bound (`names.py`)."""
    (bound,) = bounds
    plain = _decoder(hint, strict)
    if isinstance(bound, Parsed):
        return _text_decoder(bound.parse)
    if isinstance(bound, AtMost):
        return _short_list_decoder(plain, bound)

    def decoder(value: object) -> Any:
        number = plain(value)
        if not bound.least <= number <= bound.most:
            raise _MisfitError(f"want {bound.least} to {bound.most}, got {number}")
        return number

    return decoder


def _short_list_decoder(plain: _Decode, bound: AtMost) -> _Decode:
    def decoder(value: object) -> Any:
        if isinstance(value, list):  # before any item is decoded
            if len(value) > bound.items:
                raise _MisfitError(f"want at most {bound.items} items, got {len(value)}")
            if bound.together is not None and (number := _together(value, bound.together)) > bound.items:
                raise _MisfitError(f"want at most {bound.items} {bound.together} in all, got {number}")
        return plain(value)

    return decoder


def _together(items: list[Any], name: str) -> int:
    lists = (item.get(name) for item in items if isinstance(item, dict))
    return sum(len(one) for one in lists if isinstance(one, list))


def _union_decoder(hint: Any, strict: bool) -> _Decode:
    classes = _classes(hint)
    optional = type(None) in get_args(hint)
    if len(classes) > 1:
        decoders = {name: _decoder(kind, strict) for name, kind in classes.items()}
        return lambda value: None if optional and value is None else _decode_tagged(decoders, value)
    one = _decoder(next(arg for arg in get_args(hint) if arg is not type(None)), strict)
    return lambda value: None if optional and value is None else one(value)


def _decode_tagged(decoders: Mapping[str, _Decode], value: object) -> Any:
    kind = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(kind, str) or kind not in decoders:
        raise _MisfitError(f"want an object whose kind is one of {', '.join(decoders)}")
    try:
        return decoders[kind]({key: item for key, item in value.items() if key != "kind"})
    except _MisfitError as error:
        error.path = f"({kind}){error.path}"
        raise


def _tuple_decoder(item: _Decode) -> _Decode:
    def decoder(value: object) -> Any:
        if not isinstance(value, list):
            raise _MisfitError(f"want a list, got {clipped(value)}")
        found: list[Any] = []
        try:
            for one in value:
                found.append(item(one))  # noqa: PERF401  # their number is the index of the item that does not fit
        except _MisfitError as error:
            error.path = f"[{len(found)}]{error.path}"
            raise
        return tuple(found)

    return decoder


def _dataclass_decoder(kind: Any, strict: bool) -> _Decode:
    given = _fields_decoder(kind, strict)
    return lambda value: kind(**given(value))


def _items_decoder(hint: Any, shared: Shared, strict: bool) -> Callable[[object, Mapping[str, Any]], Any]:
    """Return the decoder of a list whose items take some fields from the value that holds the list."""
    kind = _item_of(hint)
    given = _fields_decoder(kind, strict, frozenset(shared.fields))

    def decoder(value: object, having: Mapping[str, Any]) -> Any:
        taken = {name: having[own] for name, own in shared.fields.items()}
        return _tuple_decoder(lambda item: kind(**given(item), **taken))(value)

    return decoder


def _fields_decoder(
    kind: Any, strict: bool, without: Collection[str] = frozenset()
) -> Callable[[object], dict[str, Any]]:
    hints = {name: hint for name, hint in _hints(kind).items() if name not in without}
    lists = {camel(n): (n, _items_decoder(hint, it, strict)) for n, hint in hints.items() if (it := _shared(hint))}
    known = {camel(n): (n, _decoder(hint, strict)) for n, hint in hints.items() if camel(n) not in lists}
    # A field with a default may be missing: a journal or pool file of an earlier version has never heard of it.
    needed = {camel(f.name) for f in fields(kind) if f.default is MISSING and f.name not in without}

    def decoder(value: object) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _MisfitError(f"want an object, got {clipped(value)}")
        if strict and (unknown := value.keys() - known - lists.keys()):
            raise _MisfitError(f"unknown field {_few(unknown)}")
        if missing := needed - value.keys():
            raise _MisfitError(f"missing field {', '.join(sorted(missing))}")
        given: dict[str, Any] = {}
        key = ""
        try:
            for key, item in value.items():
                if key in known:
                    name, field_decoder = known[key]
                    given[name] = field_decoder(item)
            for key, (name, items_decoder) in lists.items():
                if key in value:
                    given[name] = items_decoder(value[key], given)
        except _MisfitError as error:
            error.path = f".{key}{error.path}"
            raise
        return given

    return decoder


def _text_decoder(parse: Callable[[str], Any]) -> _Decode:
    def decoder(value: object) -> Any:
        if not isinstance(value, str):
            raise _MisfitError(f"want a string, got {clipped(value)}")
        try:
            return parse(value)
        except ValueError as error:
            raise _MisfitError(_short(str(error))) from error

    return decoder


def _scalar_decoder(hint: Any) -> _Decode:
    def decoder(value: object) -> Any:
        if type(value) is hint:
            return value
        if hint is float and type(value) is int:
            return float(value)
        raise _MisfitError(f"want {getattr(hint, '__name__', hint)}, got {clipped(value)}")

    return decoder


def _few(names: Collection[str]) -> str:
    """Return the first three names and the number of the others: a document may have thousands of unknown fields."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(_short(name) for name in sorted(names)[:3]) + more


def _short(text: str) -> str:
    return text if len(text) <= 300 else text[:300] + "..."


def camel(name: str) -> str:
    """Convert `num_vfs` to `numVfs`, the spelling in JSON."""
    head, *tail = name.split("_")
    return head + "".join(word.capitalize() for word in tail)


def _shared(hint: Any) -> Shared | None:
    marks = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    return next((mark for mark in marks if isinstance(mark, Shared)), None)


def _item_of(hint: Any) -> Any:
    """The type of the items of an annotated tuple."""
    return get_args(get_args(hint)[0])[0]


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _classes(hint: Any) -> dict[str, Any]:
    """Return the dataclasses of a union, by name; with two or more, its JSON has a `kind`."""
    members = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else ()
    return {m.__name__: m for m in members if is_dataclass(m) and isinstance(m, type)}

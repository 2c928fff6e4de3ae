"""The model's values to JSON and back: lowerCamelCase keys, addresses as text, version and checksum on every document.

Strict: a field too many, a field without default too few or a value of another type is an error that names its path.
What JSON is kept in (a socket, a file) is the caller's.
"""

import hashlib
import json
import types
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.names import AtMost, Parsed, Within
from virtfn_host.core.values.strict_json import CodecError as CodecError
from virtfn_host.core.values.strict_json import clipped
from virtfn_host.core.values.strict_json import parse_json as parse_json

VERSION = 2
"""Of the documents that are written: with a checksum. Version 1, without, is read too (an upgrade loses no journal)."""

_KEYS = {1: {"version", "kind", "value"}, 2: {"version", "kind", "value", "checksum"}}
"""What a document of each version has, no more and no less: so none passes for the other by losing or gaining a key."""

DOCUMENT_LIMIT = 4 << 20
"""Bytes of the longest document that `loads` reads: a pool file of 2,048 devices is about 0.4 MB."""

T = TypeVar("T")


def dumps(value: object) -> str:
    """One line of JSON: `{"version":2,"kind":"Plan","value":{...},"checksum":"sha256:..."}`; equal values, equal text.

    Raises:
        CodecError: it holds a number or text that JSON cannot carry.
    """
    kind, encoded = type(value).__name__, encode(value)
    try:
        document = {"version": VERSION, "kind": kind, "value": encoded, "checksum": checksum_of(kind, encoded)}
        text = json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        text.encode()
    except ValueError as error:
        raise CodecError(f"{kind} cannot be written: {clipped(str(error))}") from error
    return text


def loads(kind: type[T], text: str | bytes, *, limit: int = DOCUMENT_LIMIT) -> T:
    """Read back what `dumps` wrote, of this version or of version 1.

    Raises:
        CodecError: no JSON, too long, another version, another kind, a checksum that does not fit, or a value that does
            not fit the type.
    """
    document = parse_json(text, limit=limit)
    if not isinstance(document, dict) or not document.keys() >= _KEYS[1]:
        raise CodecError("not a virtfn document: want version, kind and value")
    version = document["version"]
    if type(version) is not int or version not in _KEYS:
        raise CodecError(f"version {clipped(version)}, this program reads version 1 and {VERSION}")
    if document.keys() != _KEYS[version]:
        raise CodecError(f"a document of version {version} has {', '.join(sorted(_KEYS[version]))} and nothing else")
    if document["kind"] != kind.__name__:
        raise CodecError(f"kind {clipped(document['kind'])}, wanted {kind.__name__}")
    if version != 1 and document["checksum"] != checksum_of(kind.__name__, document["value"]):
        raise CodecError("its checksum does not fit: it was changed, or damaged, after it was written")
    value: T = decode(kind, document["value"], kind.__name__)
    return value


def checksum_of(kind: str, encoded: object) -> str:
    """Of what the JSON says and not of its spelling."""
    canonical = json.dumps([VERSION, kind, encoded], separators=(",", ":"), sort_keys=True, allow_nan=False)
    return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"


def encode(value: object) -> Any:
    """JSON-able form of a value of the model; a member of a union carries its class as `kind`."""
    kind: Any = type(value)
    return _encoder(kind)(value)


def decode(hint: Any, value: object, path: str) -> Any:
    """The value of type `hint` that `encode` turned into `value`; `path` begins every error message.

    Raises:
        CodecError: it does not fit.
    """
    try:
        return _decoder(hint)(value)
    except _MisfitError as error:
        raise CodecError(f"{path}{error.path}: {error.text}") from error.__cause__


# What has to be done for a type is found out once for each: an observation has thousands of fields, and to ask for all
# of them what they are took longer than to look at the machine (measured).

_Encode = Callable[[Any], Any]
_Decode = Callable[[object], Any]


class _MisfitError(Exception):
    """A value that does not fit; whoever it is part of puts its own part of the path before."""

    def __init__(self, text: str, path: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.path = path


@cache
def _encoder(kind: type) -> _Encode:
    if kind is PciAddress:
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
    hints = _hints(kind)
    known = [(f.name, camel(f.name), _encode_tagged if _is_tagged(hints[f.name]) else encode) for f in fields(kind)]
    return lambda value: {key: encoder(getattr(value, name)) for name, key, encoder in known}


def _encode_tagged(value: object) -> Any:
    if isinstance(value, tuple):
        return [_encode_tagged(item) for item in value]
    return {"kind": type(value).__name__, **encode(value)}


def _is_tagged(hint: Any) -> bool:
    hint = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return len(_classes(get_args(hint)[0] if get_origin(hint) is tuple else hint)) > 1


@cache
def _decoder(hint: Any) -> _Decode:
    origin = get_origin(hint)
    if origin is Annotated:
        return _bounded_decoder(*get_args(hint))
    if origin in (Union, types.UnionType):
        return _union_decoder(hint)
    if origin is tuple:
        return _tuple_decoder(get_args(hint)[0])
    if is_dataclass(hint) and isinstance(hint, type):
        return _dataclass_decoder(hint)
    if hint is PciAddress:
        return _text_decoder(PciAddress.parse)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _text_decoder(hint)
    return _scalar_decoder(hint)


def _bounded_decoder(hint: Any, *bounds: Parsed | Within | AtMost) -> _Decode:
    """A field whose type says more than what kind of value it is (`names.py`)."""
    (bound,) = bounds
    plain = _decoder(hint)
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
        if isinstance(value, list):  # before any item of it is looked at
            if len(value) > bound.items:
                raise _MisfitError(f"want at most {bound.items} items, got {len(value)}")
            if bound.together is not None and (number := _together(value, bound.together)) > bound.items:
                raise _MisfitError(f"want at most {bound.items} {bound.together} in all, got {number}")
        return plain(value)

    return decoder


def _together(items: list[Any], name: str) -> int:
    lists = (item.get(name) for item in items if isinstance(item, dict))
    return sum(len(one) for one in lists if isinstance(one, list))


def _union_decoder(hint: Any) -> _Decode:
    classes = _classes(hint)
    optional = type(None) in get_args(hint)
    if len(classes) > 1:
        decoders = {name: _decoder(kind) for name, kind in classes.items()}
        return lambda value: None if optional and value is None else _decode_tagged(decoders, value)
    one = _decoder(next(arg for arg in get_args(hint) if arg is not type(None)))
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


def _tuple_decoder(hint: Any) -> _Decode:
    item = _decoder(hint)

    def decoder(value: object) -> Any:
        if not isinstance(value, list):
            raise _MisfitError(f"want a list, got {clipped(value)}")
        found: list[Any] = []
        try:
            for one in value:
                found.append(item(one))  # noqa: PERF401  # how many there are tells which of them does not fit
        except _MisfitError as error:
            error.path = f"[{len(found)}]{error.path}"
            raise
        return tuple(found)

    return decoder


def _dataclass_decoder(kind: Any) -> _Decode:
    known = {camel(name): (name, _decoder(hint)) for name, hint in _hints(kind).items()}
    # A field with a default may be missing: a journal or pool file of an earlier version has never heard of it.
    needed = {camel(f.name) for f in fields(kind) if f.default is MISSING}

    def decoder(value: object) -> Any:
        if not isinstance(value, dict):
            raise _MisfitError(f"want an object, got {clipped(value)}")
        if unknown := value.keys() - known:
            raise _MisfitError(f"unknown field {_few(unknown)}")
        if missing := needed - value.keys():
            raise _MisfitError(f"missing field {', '.join(sorted(missing))}")
        given, key = {}, ""
        try:
            for key, item in value.items():
                name, field_decoder = known[key]
                given[name] = field_decoder(item)
        except _MisfitError as error:
            error.path = f".{key}{error.path}"
            raise
        return kind(**given)

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
    """The first ones: whoever sends a thousand unknown fields is not told all of them."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(_short(name) for name in sorted(names)[:3]) + more


def _short(text: str) -> str:
    return text if len(text) <= 300 else text[:300] + "..."


def camel(name: str) -> str:
    """`num_vfs` to `numVfs`, the wire's spelling."""
    head, *tail = name.split("_")
    return head + "".join(word.capitalize() for word in tail)


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _classes(hint: Any) -> dict[str, Any]:
    """The dataclasses of a union, by name: two or more make it a tagged one."""
    members = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else ()
    return {m.__name__: m for m in members if is_dataclass(m) and isinstance(m, type)}

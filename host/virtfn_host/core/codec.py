"""The model's values to JSON and back: lowerCamelCase keys, addresses as text, a version on every document.

Strict: a field too many, a field without default too few or a value of another type is an error that names its path.
What JSON is kept in (a socket, a file) is the caller's.
"""

import json
import types
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from virtfn_host.core.address import PciAddress

VERSION = 1

T = TypeVar("T")


class CodecError(ValueError):
    """A document that is not what it should be; the message begins with the path inside it."""


def dumps(value: object) -> str:
    """One line of JSON: `{"version": 1, "kind": "Plan", "value": {...}}`; equal values are equal text."""
    document = {"version": VERSION, "kind": type(value).__name__, "value": encode(value)}
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def loads(kind: type[T], text: str | bytes) -> T:
    """Read back what `dumps` wrote.

    Raises:
        CodecError: no JSON, another version, another kind, or a value that does not fit the type.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise CodecError(f"not JSON: {error}") from error
    if not isinstance(document, dict) or set(document) != {"version", "kind", "value"}:
        raise CodecError("not a virtfn document: want version, kind and value")
    if document["version"] != VERSION:
        raise CodecError(f"version {document['version']!r}, this program reads version {VERSION}")
    if document["kind"] != kind.__name__:
        raise CodecError(f"kind {document['kind']!r}, wanted {kind.__name__}")
    value: T = decode(kind, document["value"], kind.__name__)
    return value


def encode(value: object) -> Any:
    """JSON-able form of a value of the model; a member of a union carries its class as `kind`."""
    match value:
        case PciAddress():
            return str(value)
        case Enum():
            return value.value
        case tuple():
            return [encode(item) for item in value]
        case _ if is_dataclass(value) and not isinstance(value, type):
            hints = _hints(type(value))
            return {camel(f.name): _encode_field(hints[f.name], getattr(value, f.name)) for f in fields(value)}
        case str() | int() | float() | None:
            return value
        case _:
            raise TypeError(f"{type(value).__name__} is not part of the model")


def _encode_field(hint: Any, value: object) -> Any:
    (item,) = get_args(hint)[:1] if get_origin(hint) is tuple else (hint,)
    if len(_classes(item)) > 1:
        members = value if isinstance(value, tuple) else (value,)
        tagged = [{"kind": type(member).__name__, **encode(member)} for member in members]
        return tagged if isinstance(value, tuple) else tagged[0]
    return encode(value)


def decode(hint: Any, value: object, path: str) -> Any:
    """The value of type `hint` that `encode` turned into `value`; `path` begins every error message.

    Raises:
        CodecError: it does not fit.
    """
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _decode_union(hint, value, path)
    if origin is tuple:
        if not isinstance(value, list):
            raise CodecError(f"{path}: want a list, got {value!r}")
        return tuple(decode(get_args(hint)[0], item, f"{path}[{n}]") for n, item in enumerate(value))
    if is_dataclass(hint) and isinstance(hint, type):
        return _decode_dataclass(hint, value, path)
    return _decode_scalar(hint, value, path)


def _decode_union(hint: Any, value: object, path: str) -> Any:
    if value is None and type(None) in get_args(hint):
        return None
    classes = _classes(hint)
    if len(classes) < 2:
        return decode(next(arg for arg in get_args(hint) if arg is not type(None)), value, path)
    if not isinstance(value, dict) or value.get("kind") not in classes:
        raise CodecError(f"{path}: want an object whose kind is one of {', '.join(classes)}")
    rest = {key: item for key, item in value.items() if key != "kind"}
    return _decode_dataclass(classes[value["kind"]], rest, f"{path}({value['kind']})")


def _decode_dataclass(hint: Any, value: object, path: str) -> Any:
    if not isinstance(value, dict):
        raise CodecError(f"{path}: want an object, got {value!r}")
    hints = _hints(hint)
    names = {camel(name): name for name in hints}
    if unknown := sorted(set(value) - set(names)):
        raise CodecError(f"{path}: unknown field {', '.join(unknown)}")
    # A field with a default may be missing: a journal or pool file of an earlier version has never heard of it.
    needed = {camel(f.name) for f in fields(hint) if f.default is MISSING}
    if missing := sorted(needed - set(value)):
        raise CodecError(f"{path}: missing field {', '.join(missing)}")
    given = {name: key for key, name in names.items() if key in value}
    return hint(**{name: decode(hints[name], value[key], f"{path}.{key}") for name, key in given.items()})


def _decode_scalar(hint: Any, value: object, path: str) -> Any:
    parse = PciAddress.parse if hint is PciAddress else hint
    if hint is PciAddress or (isinstance(hint, type) and issubclass(hint, Enum)):
        if not isinstance(value, str):
            raise CodecError(f"{path}: want a string, got {value!r}")
        try:
            return parse(value)
        except ValueError as error:
            raise CodecError(f"{path}: {error}") from error
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not hint:
        raise CodecError(f"{path}: want {getattr(hint, '__name__', hint)}, got {value!r}")
    return value


def camel(name: str) -> str:
    """`num_vfs` to `numVfs`, the wire's spelling."""
    head, *tail = name.split("_")
    return head + "".join(word.capitalize() for word in tail)


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _classes(hint: Any) -> dict[str, Any]:
    """The dataclasses of a union, by name: two or more make it a tagged one."""
    members = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else ()
    return {m.__name__: m for m in members if is_dataclass(m) and isinstance(m, type)}

"""Convert the model's values to JSON and back: lowerCamelCase keys, addresses as text.

A message (`decode`) comes from a process of the same version, so an unknown field is an error. A value in a document
(`envelope.py`) may come from another version, so its reader (`decode_known`) ignores an unknown field. In both, a
missing field without default or a value of another type is an error that names the path of the field.
"""

import types
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.indexes import Indexes
from virtfn_host.core.values.names import AtMost, Parsed, Shared, Within
from virtfn_host.core.values.reasons import Reason, known_reason
from virtfn_host.core.values.strict_json import CodecError as CodecError
from virtfn_host.core.values.strict_json import clipped

SPARSE = types.MappingProxyType({"sparse": True})
"""Metadata of a dataclass field that is left out while it is its default: the strict readers of version 1 refuse
unknown fields, and a document without it reads as before (docs/decisions/0023)."""


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


def decode_known(hint: Any, value: object, path: str) -> Any:
    """Return the same, of a value that another version may have encoded: what this one does not know is left out.

    Raises:
        CodecError: `value` does not fit the type.
    """
    return _decoded(hint, value, path, strict=False)


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
        (f.name, camel(f.name), f.default if f.name in sparse else MISSING, _field_encoder(hints(kind)[f.name]))
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
    own = {name: hint for name, hint in hints(kind).items() if name not in without}
    lists = {camel(n): (n, _items_decoder(hint, it, strict)) for n, hint in own.items() if (it := _shared(hint))}
    known = {camel(n): (n, _decoder(hint, strict)) for n, hint in own.items() if camel(n) not in lists}
    # A field with a default may be missing: a journal or pool file of an earlier version has never heard of it.
    needed = {camel(f.name) for f in fields(kind) if f.default is MISSING and f.name not in without}

    def decoder(value: object) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _MisfitError(f"want an object, got {clipped(value)}")
        if strict and (unknown := value.keys() - known - lists.keys()):
            raise _MisfitError(f"unknown field {few(unknown)}")
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


def few(names: Collection[str]) -> str:
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
def hints(kind: Any) -> dict[str, Any]:
    """Return the types of a dataclass's fields by name, bounds included."""
    return get_type_hints(kind, include_extras=True)


def _classes(hint: Any) -> dict[str, Any]:
    """Return the dataclasses of a union, by name; with two or more, its JSON has a `kind`."""
    members = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else ()
    return {m.__name__: m for m in members if is_dataclass(m) and isinstance(m, type)}

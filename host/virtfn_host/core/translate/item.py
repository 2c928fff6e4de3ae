"""A value of an untrusted document with its place. Every refusal is an UnfitError that names the place."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from virtfn_host.core.translate.places import Place, fault_line, line_of, named
from virtfn_host.core.values.fields import (
    PolicyError,
    read_list,
    read_mapping,
    read_matching,
    read_number,
    read_switch,
    read_text,
)
from virtfn_host.core.values.strict_json import CodecError, parse_json

TEXT_LIMIT = 253
"""Most characters of a name, as Kubernetes has it."""

_NOTHING = re.compile(r"(?!)")

LIST_LIMIT = 256
"""Most entries of a list: resources, names, selectors."""

JSON_LIMIT = 1 << 20
"""Most bytes of JSON text in a field; the API server accepts no longer object."""


class UnfitError(ValueError):
    """A document, or a field of it, is not what the tool reads. The message names the field, but not the line."""

    def __init__(self, place: Place, message: str, *, inner_line: int | None = None) -> None:
        super().__init__(message)
        self.place = place
        self.inner_line = inner_line
        """The line inside the text at this place, if the place is a text that is a document itself."""


@dataclass(frozen=True, slots=True)
class Item:
    """A value and where it is; the first part of `place` is the number of the document in its file."""

    value: object
    place: Place

    @property
    def name(self) -> str:
        """The place inside its document, for a message."""
        return named(self.place[1:]) or "the document"

    def unfit(self, reason: str) -> UnfitError:
        """Return the error that says what is wrong here."""
        return UnfitError(self.place, f"{self.name}: {reason}")

    def at(self, key: str | int, value: object) -> "Item":
        """Return a value inside this one."""
        return Item(value, (*self.place, key))

    def fields(self) -> dict[str, "Item"]:
        """Return the fields of an object; null is a field that is not there, as for the tools themselves."""
        with self._read():
            given = read_mapping(self.value, self.name)
        return {str(key): self.at(str(key), value) for key, value in given.items() if value is not None}

    def folded(self) -> dict[str, "Item"]:
        """Return the fields by their names in lower case: Go reads JSON without regard to case."""
        found: dict[str, Item] = {}
        for key, item in self.fields().items():
            if (first := found.setdefault(key.lower(), item)) is not item:
                raise item.unfit(f"is there twice, also as {named(first.place[-1:])}")
        return found

    def items(self, limit: int = LIST_LIMIT) -> list["Item"]:
        """Return the entries of a list."""
        with self._read():
            given = read_list(self.value, self.name, limit)
        return [self.at(n, value) for n, value in enumerate(given)]

    def text(self, limit: int = TEXT_LIMIT) -> str:
        """Return a text that is not empty."""
        with self._read():
            return read_text(self.value, self.name, limit)

    def matching(self, pattern: re.Pattern[str], want: str) -> str:
        """Return text that the pattern matches."""
        with self._read():
            return read_matching(self.value, pattern, self.name, want)

    def one_of(self, words: tuple[str, ...]) -> str:
        """Return one of these words."""
        if self.value not in words:
            with self._read():
                read_matching(self.value, _NOTHING, self.name, f"one of {', '.join(words)}")
        return str(self.value)

    def number(self, highest: int, what: str = "number", lowest: int = 0) -> int:
        """Return a whole number."""
        with self._read():
            return read_number(self.value, highest, self.name, what, lowest)

    def switch(self) -> bool:
        """Return true or false."""
        with self._read():
            return read_switch(self.value, self.name)

    def document(self, before: str = "", after: str = "") -> "Item":
        """Parse text as JSON, as a document of its own. `before` and `after` complete a text that is only a part."""
        text = f"{before}{self.text(JSON_LIMIT)}{after}"
        try:
            return Item(parse_json(text, limit=JSON_LIMIT), (0,))
        except CodecError as error:
            raise UnfitError(self.place, f"{self.name}: {error}", inner_line=fault_line(text, error)) from error

    @contextmanager
    def _read(self) -> Iterator[None]:
        try:
            yield
        except PolicyError as error:
            raise UnfitError(self.place, str(error)) from error


@contextmanager
def inside(outer: Item, text: str) -> Iterator[None]:
    """Turn faults of a document inside a text field into faults of that field, with their line in the text."""
    try:
        yield
    except UnfitError as error:
        line = line_of(text, error.place[1:])
        raise UnfitError(outer.place, f"{outer.name}: {error}", inner_line=line) from error


def missing(holder: Item, field: str) -> UnfitError:
    """Return the error of a field that must be there."""
    return UnfitError(holder.place, f"{named((*holder.place[1:], field))}: is missing")


def needed(fields: Mapping[str, Item], field: str, holder: Item) -> Item:
    """Return a field that must be there."""
    if field.lower() in fields:
        return fields[field.lower()]
    if field in fields:
        return fields[field]
    raise missing(holder, field)

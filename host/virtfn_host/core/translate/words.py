"""What is not carried over, in words: from tables of fields."""

import re
from collections.abc import Iterable, Mapping, Sequence

from virtfn_host.core.translate.item import Item
from virtfn_host.core.values.fields import shown

MOST_SENTENCES = 12
"""Most sentences about one resource that other resources cause: 1,000 that all overlap would need a million."""

_NAME = re.compile(r"[A-Za-z0-9._-]{1,63}")
_MORE = "and others, too"


def also(sentences: Sequence[str], sentence: str) -> tuple[str, ...]:
    """Add a sentence, if there are not too many already."""
    if len(sentences) < MOST_SENTENCES:
        return (*sentences, sentence)
    return (*sentences[:MOST_SENTENCES], _MORE)


def left_out(fields: Mapping[str, Item], known: Iterable[str], words: Mapping[str, str]) -> tuple[str, ...]:
    """Return a sentence for each field that is given and not carried over.

    Args:
        fields: the fields of an object, their names in any case.
        known: names of fields that are carried over, or told of elsewhere.
        words: names of the others, with what becomes of them.
    """
    by_name = {name.lower(): (name, text) for name, text in words.items()}
    carried = {name.lower() for name in known}
    return tuple(
        _sentence(item, *by_name.get(key.lower(), (str(item.place[-1])[:60], "virtfn does not know this field")))
        for key, item in fields.items()
        if key.lower() not in carried and item.value not in (False, "", 0, [], {})
    )


def _sentence(item: Item, name: str, text: str) -> str:
    value = "" if item.value is True else f" {shown(item.value)}"
    return f"{name}{value} is not carried over: {text}"


def called(value: object) -> str:
    """Return what a document is: its kind and name."""
    fields = mapping_of(value)
    name = mapping_of(fields.get("metadata")).get("name")
    words = [word for word in (fields.get("kind"), name) if isinstance(word, str) and _NAME.fullmatch(word)]
    return " ".join(words) or f"{shown(value)}, of no kind"


def mapping_of(value: object) -> Mapping[str, object]:
    """Return an object as it is, and an empty one for everything else."""
    return value if isinstance(value, Mapping) else {}

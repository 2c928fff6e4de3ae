"""The line of a value in a file that was read, YAML or JSON, for a message."""

from typing import Any

from virtfn_host.cli.policy import LIMIT
from virtfn_host.core.translate.places import Place, line_of
from virtfn_host.core.values.codec import CodecError
from virtfn_host.core.values.strict_json import parse_json


def line_in(text: str, place: Place) -> tuple[int, bool]:
    """Return the line of a value, and whether that is text in lines of its own, below this line.

    Args:
        text: the file, which was parsed before.
        place: the number of the document, then keys and indexes; of a place that is not there, the innermost holder.
    """
    try:
        parse_json(text, limit=LIMIT)
    except CodecError:
        return _line_of_yaml(text, place)
    return line_of(text, place[1:]), False


def _line_of_yaml(text: str, place: Place) -> tuple[int, bool]:
    import yaml

    nodes = [n for n in yaml.compose_all(text, Loader=yaml.SafeLoader) if n is not None and not n.tag.endswith(":null")]
    node: Any = nodes[int(place[0])]
    line = node.start_mark.line
    for key in place[1:]:
        if (found := _inside(node, key)) is None:
            break
        line, node = found
    return line + 1, isinstance(node, yaml.ScalarNode) and node.style == "|"


def _inside(node: Any, key: str | int) -> tuple[int, Any] | None:
    """Return an inner value and the line that names it: a field's key, or an entry itself."""
    inner = node.value if isinstance(node.value, list) else []
    if isinstance(key, int):
        return (inner[key].start_mark.line, inner[key]) if key < len(inner) else None
    pairs = (pair for pair in inner if isinstance(pair, tuple))
    return next(((field.start_mark.line, value) for field, value in pairs if field.value == key), None)

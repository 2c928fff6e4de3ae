"""Loads YAML as strictly as our JSON reader loads JSON, and names the line of a fault. Import it only where it is used:
PyYAML need not be installed.

Levels and values are counted before anything is built. An alias counts each time it is used: ten lines of aliases can
mean more than memory can hold, or be circular.
"""

from typing import Any

import yaml

from virtfn_host.core.values.strict_json import DEPTH_LIMIT, clipped

MOST_VALUES = 100_000
"""Most values in one file, those inside objects and lists counted."""


class TooMuchYamlError(yaml.MarkedYAMLError):
    """It is YAML, and nested too deep, or has too many values."""


def load_all(text: str) -> list[Any]:
    """Return the documents of a text.

    Raises:
        yaml.YAMLError: it is not valid, or a TooMuchYamlError.
    """
    loader = _Strict(text)
    found = []
    try:
        while loader.check_data():  # type: ignore[no-untyped-call]  # so in its stubs
            found.append(loader.get_data())
    except (ValueError, OverflowError, TypeError) as error:  # of PyYAML itself, for example by "\UFFFFFFFF"
        raise yaml.MarkedYAMLError(None, None, str(error), loader.get_mark()) from error
    return found


class _Strict(yaml.SafeLoader):
    """A loader that also refuses a key that is there twice, as our JSON reader and the API server do."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._level = 0
        """Objects and lists around the present node, itself included."""
        self._deepest = 0
        """The most levels that were inside the present node so far, counted from the document."""
        self._values = 0
        self._sizes: dict[yaml.Node | None, tuple[int, int]] = {}
        """Levels and values of each node that is whole."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Count a node; `index` is None for a key and for a document."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        level, deepest = self._level, self._deepest
        self._level = self._deepest = level + isinstance(event, yaml.CollectionStartEvent)
        self._values += index is not None
        values = self._values
        self._expect_small(event)
        node = super().compose_node(parent, index)
        if isinstance(event, yaml.AliasEvent):
            levels, inside = self._sizes.get(node, (DEPTH_LIMIT + 1, 0))  # not whole yet: it is inside itself
            self._deepest, self._values = level + levels, values + inside
            self._expect_small(event)
        else:
            self._sizes[node] = self._deepest - level, self._values - values
        self._level, self._deepest = level, max(deepest, self._deepest)
        return node

    def _expect_small(self, event: yaml.Event) -> None:
        mark: Any = event.start_mark
        if self._deepest > DEPTH_LIMIT:
            text = f"more than {DEPTH_LIMIT} objects and lists within each other"
            raise TooMuchYamlError(None, None, text, mark)
        if self._values > MOST_VALUES:
            raise TooMuchYamlError(None, None, f"more than {MOST_VALUES} values; use fewer aliases", mark)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []  # `!!map [1]`, which is refused below
        keys = [key.value for key, _ in pairs if isinstance(key, yaml.ScalarNode)]
        if len(set(keys)) != len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise yaml.constructor.ConstructorError(None, None, f"key {clipped(twice)} is there twice", node.start_mark)
        return super().construct_mapping(node, deep)

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> Any:
        """Take 0000:01:00.1 and times for text, as Kubernetes' parser does: YAML 1.1 has numbers to base 60."""
        tag = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
        number = tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
        time = tag == "tag:yaml.org,2002:timestamp"
        return "tag:yaml.org,2002:str" if time or (number and ":" in value) else tag

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Refuse a text that is not of its type where it is."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, OverflowError) as error:  # a bad date or number
            text = str(error)
        except (LookupError, AttributeError):  # `!!bool x`, `!!int ""`, `!!timestamp x`
            text = f"{clipped(node.value)} is no {node.tag.rpartition(':')[2]}"
        raise yaml.constructor.ConstructorError(None, None, text, node.start_mark)

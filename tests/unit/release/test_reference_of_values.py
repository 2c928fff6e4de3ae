"""Comments, defaults and types of values.yaml, as the reference has them."""

import pytest

from virtfn_release.reference.values import read_values, values_page

TEXT = """\
# -- The image,
# on every node.
# @default -- of the chart
image:
  # Where it is.
  registry: ""
  tag: ""  # Empty: the newest.

labels:
  # Of every pod.
  pod: {a: "1"}
  namespace:
    example.com/level: privileged
# Hosts | names.
hosts:
  - one
  - two
"""
SCHEMA = {
    "definitions": {"text": {"type": "string"}},
    "properties": {
        "image": {"properties": {"registry": {"$ref": "#/definitions/text"}, "tag": {"enum": ["a", "b"]}}},
        "labels": {
            "properties": {
                "pod": {"type": ["object", "null"], "description": "Not this."},
                "namespace": {"type": "object", "description": "Of the namespace."},
            }
        },
    },
}


def test_names_in_order_with_defaults() -> None:
    found = {".".join(value.path): value.default for value in read_values(TEXT) if not value.group}
    assert found == {
        "image.registry": "",
        "image.tag": "",
        "labels.pod": {"a": "1"},
        "labels.namespace": {"example.com/level": "privileged"},
        "hosts": ["one", "two"],
    }


def test_a_comment_stands_above_or_behind() -> None:
    found = {".".join(value.path): value.comment for value in read_values(TEXT)}
    assert found == {
        "image": "The image, on every node.",
        "image.registry": "Where it is.",
        "image.tag": "Empty: the newest.",
        "labels": "",
        "labels.pod": "Of every pod.",
        "labels.namespace": "",
        "hosts": "Hosts | names.",
    }


@pytest.mark.parametrize(
    "row",
    [
        '| `image.registry` | string | `""` | Where it is. |',
        '| `image.tag` | `a`, `b` | `""` | Empty: the newest. |',
        '| `labels.pod` | object or null | `{"a": "1"}` | Of every pod. |',
        '| `labels.namespace` | map | `{"example.com/level": "privileged"}` | Of the namespace. |',
        '| `hosts` | list | `["one", "two"]` | Hosts \\| names. |',
    ],
)
def test_a_row(row: str) -> None:
    assert row in values_page(TEXT, SCHEMA).splitlines()

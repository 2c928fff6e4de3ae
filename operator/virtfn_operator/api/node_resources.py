"""Numbers of resources, as the scheduler goes by them: how they are written, and what a Node's status says. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from virtfn_operator.api.foreign import mapping

_QUANTITY = re.compile(r"([0-9]{1,9})([kM]?)", re.ASCII)
"""An integer as Kubernetes writes it: 2000 is `2k`."""
_TIMES = {"": 1, "k": 1000, "M": 1_000_000}


def whole(quantity: object) -> int | None:
    """Return the number of a quantity, or None if it is not a whole number, or beyond what a node could have."""
    match = _QUANTITY.fullmatch(quantity) if isinstance(quantity, str) else None
    return int(match[1]) * _TIMES[match[2]] if match else None


def allocatable(node: Mapping[str, Any]) -> dict[str, int]:
    """Return `status.allocatable` of a Node, where it is a whole number."""
    listed = mapping(mapping(node.get("status")).get("allocatable"))
    return {name: count for name, value in listed.items() if (count := whole(value)) is not None}

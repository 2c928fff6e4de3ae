"""What a Node's status says of resources: the numbers that the scheduler goes by. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from virtfn_operator.api.foreign import mapping

_QUANTITY = re.compile(r"([0-9]{1,9})([kM]?)", re.ASCII)
"""An integer as Kubernetes writes it: 2000 is `2k`."""
_TIMES = {"": 1, "k": 1000, "M": 1_000_000}


def allocatable(node: Mapping[str, Any]) -> dict[str, int]:
    """Return `status.allocatable` of a Node, where it is a whole number."""
    listed = mapping(mapping(node.get("status")).get("allocatable"))
    found = {name: _QUANTITY.fullmatch(value) for name, value in listed.items() if isinstance(value, str)}
    return {name: int(match[1]) * _TIMES[match[2]] for name, match in found.items() if match}

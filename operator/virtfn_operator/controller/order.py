"""In which order writes go to the API server: the fewest disruptions first. Pure.

Turns end before others begin, so that places become free early. An end that cannot be written holds up no turn of other
policies: its place is free only when its node has answered (docs/decisions/0038), so the limit does not depend on it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from virtfn_operator.api import POLICIES
from virtfn_operator.controller.decide import Write


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Three parts, each written after the one before."""

    ends: tuple[Write, ...]
    """Turns that end."""
    rest: tuple[Write, ...]
    """Statuses of policies, then specs that change no turn."""
    grants: tuple[Write, ...]
    """Turns that begin."""


def in_order(writes: Iterable[Write]) -> Order:
    """Put writes in order; within a part, the given order stays."""
    found = tuple(writes)
    rest = [write for write in found if write.turn is None]
    return Order(
        ends=tuple(write for write in found if write.turn is False),
        rest=tuple(sorted(rest, key=lambda write: write.plural != POLICIES)),
        grants=tuple(write for write in found if write.turn is True),
    )

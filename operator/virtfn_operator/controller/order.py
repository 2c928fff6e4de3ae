"""In which order writes go to the API server: the fewest disruptions first. Pure.

Law: at no moment do more nodes have a turn than the rules allow, whatever becomes of a write. So turns end before
others begin, and none begins while an end is not known to be written.
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
    """Turns that begin; only if every one of `ends` is written."""


def in_order(writes: Iterable[Write]) -> Order:
    """Put writes in order; within a part, the given order stays."""
    found = tuple(writes)
    rest = [write for write in found if write.turn is None]
    return Order(
        ends=tuple(write for write in found if write.turn is False),
        rest=tuple(sorted(rest, key=lambda write: write.plural != POLICIES)),
        grants=tuple(write for write in found if write.turn is True),
    )

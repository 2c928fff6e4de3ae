"""Names holders in a status while there is room for names, and says how many it leaves out. Pure.

The authors of pods choose their names: up to 63 and 253 characters. So room is counted in bytes, and a status stays
small whatever they choose.
"""

from collections.abc import Sequence

from virtfn_host.core.values.holders import Holder, holder_text

NAME_LIMIT = 8
"""Holders named for one function; `virtfn list` shows all."""


class Room:
    """Bytes of a status that are left for names."""

    def __init__(self, left: int) -> None:
        self._left = left

    def takes(self, *texts: str) -> bool:
        """Take the room for these texts, with quotes and keys around them; return False if there is too little."""
        needed = sum(len(text.encode()) + 8 for text in texts)
        if needed > self._left:
            return False
        self._left -= needed
        return True

    def names(self, holders: Sequence[Holder]) -> tuple[str, ...]:
        """Return the first holders by name, and how many more there are; only how many where no room is left."""
        texts = named(holders)
        return texts if not texts or self.takes(*texts) else (unnamed(len(holders)),)


def named(holders: Sequence[Holder]) -> tuple[str, ...]:
    """Return the first holders by name, and how many more there are."""
    more = len(holders) - NAME_LIMIT
    return (*map(holder_text, holders[:NAME_LIMIT]), *((f"and {more} more",) if more > 0 else ()))


def unnamed(number: int) -> str:
    """Return what stands for holders for whose names no room is left."""
    return f"{number} holders (too many to list)" if number != 1 else "1 holder (too many to list)"

"""VF indexes as users write them: `0-3,6`. Stored as ranges, because 7 characters may name 65,535 VFs.

The work grows with the length of the text only: overlaps are searched between ranges, and `Indexes.below` lists only
the indexes that a PF really has.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import overload

from virtfn_host.core.values.fields import PolicyError, shown

MAX_VFS = 65535
"""`sriov_numvfs` is 16 bits wide (PCIe SR-IOV capability)."""

TEXT_LIMIT = 1024
"""Most characters of `indexes`: the limit in SriovNode's schema. SriovPolicy's schema has 128."""

RANGE_LIMIT = 128
"""Most ranges of one pool."""

Range = tuple[int, int]
"""First and last index."""

_PART = re.compile(r"\s*([0-9]{1,5})(?:-([0-9]{1,5}))?\s*")


@dataclass(frozen=True, slots=True, eq=False)
class Indexes(Sequence[int]):
    """A set of VF indexes in ascending order. It equals a tuple of the same numbers."""

    ranges: tuple[Range, ...]
    """Ascending; no two ranges touch or overlap."""

    @classmethod
    def of(cls, numbers: Iterable[int]) -> "Indexes":
        """Make one from single numbers in any order."""
        return numbers if isinstance(numbers, Indexes) else cls(_joined([(n, n) for n in sorted(numbers)]))

    def below(self, limit: int) -> Iterator[int]:
        """Yield the indexes below `limit`: those that a PF with `limit` VFs has."""
        for first, last in self.ranges:
            if first >= limit:
                return
            yield from range(first, min(last + 1, limit))

    def beyond(self, number: int) -> "Indexes":
        """Return the indexes that a PF with `number` VFs does not have."""
        return Indexes(tuple((max(first, number), last) for first, last in self.ranges if last >= number))

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self.ranges)

    def __iter__(self) -> Iterator[int]:
        return self.below(MAX_VFS + 1)

    def __contains__(self, index: object) -> bool:
        if not isinstance(index, int):
            return False
        at = bisect_right(self.ranges, (index, MAX_VFS + 1)) - 1
        return at >= 0 and self.ranges[at][0] <= index <= self.ranges[at][1]

    @overload
    def __getitem__(self, at: int) -> int: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[int, ...]: ...
    def __getitem__(self, at: int | slice) -> int | tuple[int, ...]:
        return tuple(self)[at]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Indexes):
            return self.ranges == other.ranges
        return tuple(self) == other if isinstance(other, tuple) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.ranges)

    def __str__(self) -> str:
        return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in self.ranges)


def read_indexes(
    text: object, path: str = "indexes", *, text_limit: int = TEXT_LIMIT, range_limit: int = RANGE_LIMIT
) -> Indexes:
    """Parse `0-3,6`.

    Raises:
        PolicyError: the value is not text or is too long, a part is not an index or a range, a range runs backwards,
            or an index appears twice.
    """
    if not isinstance(text, str):
        raise PolicyError(f"{path}: want text like 0-3,6, got {shown(text)}")
    if len(text) > text_limit:
        raise PolicyError(f"{path}: at most {text_limit} characters, got {len(text)}; join neighbours like 0-3")
    parts = text.split(",")
    if len(parts) > range_limit:
        raise PolicyError(f"{path}: at most {range_limit} ranges, got {len(parts)}; join neighbours like 0-3")
    ranges = sorted(_range(part, path) for part in parts)
    if clash(ranges) is not None:
        raise PolicyError(f"{path}: {shown(text)} names an index twice")
    return Indexes(_joined(ranges))


def parse_indexes(text: str, path: str = "indexes") -> tuple[int, ...]:
    """Parse `0-3,6` to (0, 1, 2, 3, 6): at most 65,535 numbers.

    Raises:
        PolicyError: as `read_indexes`.
    """
    return tuple(read_indexes(text, path))


def indexes_text(indexes: Iterable[int]) -> str:
    """Convert (0, 1, 2, 3, 6) to `0-3,6`, the shortest text that `parse_indexes` reads back."""
    return str(Indexes.of(indexes))


def clash(ranges: Sequence[Range]) -> int | None:
    """Return the first index that is in two of these ascending ranges, or None."""
    for (_, last), (first, _) in pairwise(ranges):
        if first <= last:
            return first
    return None


def _range(part: str, path: str) -> Range:
    match = _PART.fullmatch(part)
    if match is None:
        raise PolicyError(f"{path}: {shown(part)} is not a VF index or range; write indexes like 0-3,6")
    first, last = int(match[1]), int(match[2] or match[1])
    if last < first:
        raise PolicyError(f"{path}: the range {part.strip()} runs backwards; write the lower index first")
    if last >= MAX_VFS:
        raise PolicyError(f"{path}: {last} is out of range (0 to {MAX_VFS - 1})")
    return first, last


def _joined(ranges: Sequence[Range]) -> tuple[Range, ...]:
    """Join ascending ranges that touch or overlap."""
    found: list[Range] = []
    for first, last in ranges:
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return tuple(found)

"""What was tried for a wish, and what came of it: a driver may accept a write and make something else.

A wish is what one state of the policies asks of one card. It ends when it is fulfilled, or when policy, card, PF or
boot changes (docs/decisions/0024). The host process notes the tries, because its notes must survive the agent.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, TypeAlias

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.codec import SPARSE
from virtfn_host.core.values.names import AtMost, Sentence, VfCount, VfIndex, WishName, Within

GIVE_BACK = "give-back"
"""The wish of a PF that no policy claims any more."""

MOST = 3
"""Times that one destructive step is carried out for one wish."""

Times: TypeAlias = Annotated[int, Within(0, (1 << 31) - 1)]


class Destruction(StrEnum):
    """A kind of destructive step."""

    RESIZE = "resize"  # 0 to sriov_numvfs: every VF ends
    UNBIND = "unbind"


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """How often a destructive step was carried out for a wish."""

    kind: Destruction
    index: VfIndex | None
    """VF index of an unbind; None: the number of VFs, or the function itself."""
    times: Times


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """A result other than asked."""

    text: Sentence
    """What was asked for, and what the driver made, in a sentence that begins with the device."""
    times: Times
    """Number of tries in a row with such a result."""
    at: float
    """When the last one ended, in seconds since boot."""
    num_vfs: VfCount | None = None
    """The number of VFs that the driver made; None where the result is not about their number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """All that was tried for the present wish of one PF, or of one whole function."""

    pf: PciAddress
    wish: WishName
    standing: Sentence
    """How the PF was: its card, driver and netdev. If it is otherwise now, these tries say nothing any more."""
    repeats: Annotated[tuple[Repeat, ...], AtMost(1 << 17)] = ()
    number: Other | None = None
    """The last result about the number of VFs."""
    binding: Other | None = None
    """The last result about drivers and overrides."""
    setting: Other | None = field(default=None, metadata=SPARSE)
    """The last result about link settings and MTUs, for which nothing else of the PF waits."""
    after: Sentence = field(default="", metadata=SPARSE)
    """How the PF was after the last try, where that is not `standing`."""

    def times(self, kind: Destruction, index: int | None) -> int:
        """Return how often a destructive step was carried out."""
        return next((it.times for it in self.repeats if (it.kind, it.index) == (kind, index)), 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tries:
    """The document of tries. It is valid for one boot."""

    boot_id: str
    tried: Annotated[tuple[Tried, ...], AtMost(65536)]
    """Ordered by address."""

"""Decides which events of a watch wake the controller, and when. Pure; the caller passes the time.

A wake-up costs a decision and often a write, and changes of objects are not trusted: with a stolen token of one node, a
new status can come every second. So each object has an allowance that normal operation does not use up; events beyond
it are handled a little later, together. The memory is bounded, because deletions are missed in the gaps of a watch.
"""

from dataclasses import dataclass, field

from virtfn_host.backoff import Allowance

AT_ONCE, EVERY = 20, 5.0
"""Wake-ups of one object at once, and seconds until one more. An agent writes ten statuses, then one every 4 s."""

REMEMBERED = 32768
"""Objects, at most; beyond that the one seen longest ago is forgotten, which costs a wake-up when it is seen again."""


@dataclass(slots=True)
class _Known:
    state: object = None
    allowance: Allowance = field(default_factory=lambda: Allowance(burst=AT_ONCE, every=EVERY))
    due: float = 0.0
    """When a delayed wake-up comes; it covers all events until then."""


class Waking:
    """Remembers the last state of each object that the watches showed."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, object], _Known] = {}

    def moved(self, who: tuple[object, object], state: object, now: float) -> float | None:
        """Return the seconds after which to wake for this event; None for not at all.

        Args:
            who: kind and name.
            state: a value that differs when the object differs; None when it is gone or its state is unknown.
            now: seconds of a monotonic clock.
        """
        known = self._known.pop(who) if who in self._known else _Known()
        self._known[who] = known
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]
        if state is not None and state == known.state:
            return None  # only listed again, because a watch ended
        known.state = state
        if now < known.due:
            return None
        wait = known.allowance.reserve(now)
        known.due = now + wait
        return wait

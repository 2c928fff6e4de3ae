"""Which events of a watch wake the controller, and when. Pure; the time is the caller's.

A wake-up costs three lists, and an object's changes are anybody's writing: a stolen token of one node can make a status
a second. So each object has an allowance that no honest one uses up, and what comes beyond it is looked at a little
later, together. What is remembered is bounded, because deletions are missed in the gaps of a watch.
"""

from dataclasses import dataclass, field

from virtfn_host.backoff import Allowance

AT_ONCE, EVERY = 20, 5.0
"""Wake-ups of one object at once, and seconds until it has one more. An agent writes ten statuses, then one in 4 s."""

REMEMBERED = 32768
"""Objects; beyond that the one that was seen longest ago is forgotten, which costs a wake-up when it is seen again."""


@dataclass(slots=True)
class _Known:
    state: object = None
    allowance: Allowance = field(default_factory=lambda: Allowance(burst=AT_ONCE, every=EVERY))
    due: float = 0.0
    """When a wake-up that is promised comes; whatever happens until then is seen by it."""


class Waking:
    """Remembers what the watches told of last."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, object], _Known] = {}

    def moved(self, who: tuple[object, object], state: object, now: float) -> float | None:
        """Seconds after which to wake for this event; None: not at all.

        Args:
            who: kind and name.
            state: another one when the object is another; None: it is gone, or nobody can tell.
            now: seconds of a monotonic clock.
        """
        known = self._known.pop(who) if who in self._known else _Known()
        self._known[who] = known
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]
        if state is not None and state == known.state:
            return None  # listed again, because a watch ended
        known.state = state
        if now < known.due:
            return None
        wait = known.allowance.reserve(now)
        known.due = now + wait
        return wait

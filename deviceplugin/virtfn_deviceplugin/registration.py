"""When to register with the kubelet, how long to wait before it is tried again, and what is told of it. Pure.

Theory of operation. The kubelet calls ListAndWatch once for a registration and never again. So a registration is over
when its stream ends, or when another kubelet is there than the one that it was made with. Each resource has one task
(`server.py`), and that task alone decides to register again, for either cause; nobody else tears a registration down.

1. Wait for a kubelet, connect, and remember its socket. The connection is made between two looks at the socket, so that
   it is known which kubelet answers.
2. Listen on a fresh socket and Register. Kubelets up to 1.36 confuse two registrations of one socket.
3. Wait for ListAndWatch. A kubelet under load takes seconds for it; one that never comes is given up after a minute.
4. Serve until the stream ends or another kubelet is there. Close everything, then begin again.

Kubelets up to 1.36 know a plugin by its resource name only: the late end of an old stream ends the new registration.
Whoever registers at once then loses the new one, too, and so on for ever. Therefore the pause grows after each
registration that did not last, and begins anew with one that has lasted or with another kubelet.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from virtfn_host.backoff import Backoff
from virtfn_host.core.values.offered import MOST_REFUSAL, Registration
from virtfn_host.core.values.strict_json import clipped

FIRST_PAUSE = 0.1
"""Seconds between the end of one registration and the next; twice as many after each that did not last."""
LONGEST_PAUSE = 10.0
LASTED = 10.0
"""Seconds after which a registration has lasted. A kubelet's late clean-up of an old stream comes within seconds."""
TELL_AGAIN = 60.0
"""Seconds until the same refusal is logged again."""

_NAMED = 8
"""Resources that the health text names, so that it stays a line."""


@dataclass(slots=True, kw_only=True)
class Pacing:
    """The pause before the next registration of one resource."""

    backoff: Backoff = field(default_factory=lambda: Backoff(first=FIRST_PAUSE, limit=LONGEST_PAUSE))
    _kubelet: object = None

    def pause(self, *, kubelet: object, lasted: float) -> float:
        """Seconds to wait before the next attempt.

        Args:
            kubelet: which one the attempt that ended was made with.
            lasted: seconds for which the kubelet had the list.
        """
        if lasted >= LASTED or kubelet != self._kubelet:
            self.backoff.succeeded()
        self._kubelet = kubelet
        return self.backoff.failed()


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How one resource stands with the kubelet. Times are in seconds since the machine booted."""

    resource_name: str
    registered_at: float | None = None
    """Since when the kubelet has the list; None: it does not have it."""
    waiting_since: float
    """Since when it does not have it."""
    refusal: str = ""
    """Why the last attempt failed; empty where none has failed."""
    refused_at: float = 0.0
    registrations: int = 0

    def registered(self, now: float) -> "Standing":
        """The kubelet has asked for the list."""
        return replace(self, registered_at=now, registrations=self.registrations + 1)

    def ended(self, now: float) -> "Standing":
        """The stream is over."""
        return replace(self, registered_at=None, waiting_since=now)

    def refused(self, now: float, text: str) -> "Standing":
        """An attempt failed."""
        waiting = self.waiting_since if self.registered_at is None else now
        return replace(self, registered_at=None, waiting_since=waiting, refusal=_line(text), refused_at=now)

    def told(self, now: float) -> str:
        """For people: since when it is registered, or why not; the last refusal in either case."""
        if self.registered_at is not None:
            text = f"{self.resource_name} registered for {_seconds(now - self.registered_at)}"
        else:
            text = f"{self.resource_name} not registered for {_seconds(now - self.waiting_since)}"
        if not self.refusal:
            return text
        return f"{text}, last refused {_seconds(now - self.refused_at)} ago: {self.refusal}"

    @property
    def outline(self) -> Registration:
        """For the agent; it changes only when something has happened that is worth a look."""
        registered = self.registered_at is not None
        since = self.waiting_since if self.registered_at is None else self.registered_at
        return Registration(resource_name=self.resource_name, registered=registered, since=since, refusal=self.refusal)


def summary(standings: Sequence[Standing], now: float) -> str:
    """One line about all of them: those that are not registered first; `ok` in front when all are."""
    missing = sorted((s for s in standings if s.registered_at is None), key=lambda s: s.resource_name)
    others = sorted((s for s in standings if s.registered_at is not None), key=lambda s: s.resource_name)
    if not standings:
        return "ok"
    named = [standing.told(now) for standing in (*missing, *others)[:_NAMED]]
    more = [f"and {len(standings) - _NAMED} more"] if len(standings) > _NAMED else []
    head = "ok" if not missing else f"{len(missing)} of {len(standings)} resources are not registered with the kubelet"
    return "; ".join([head, *named, *more])


def _seconds(seconds: float) -> str:
    return f"{max(0.0, seconds):.0f} s"


def _line(text: str) -> str:
    """What a kubelet answers is somebody else's text."""
    return text if len(text) <= MOST_REFUSAL and text.isprintable() else clipped(text)

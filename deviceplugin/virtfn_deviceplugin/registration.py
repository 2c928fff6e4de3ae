"""Decides when to register with the kubelet again, and tells how each resource stands with the kubelet. Pure.

Theory of operation. The kubelet calls ListAndWatch once for each registration. So a registration is over when its
stream ends or when another kubelet has taken the place of its kubelet. Each resource has one task (`server.py`). Only
that task ends a registration and registers again.

1. Wait for a kubelet, connect, and remember its socket. The connection is made between two looks at the socket, so that
   the task knows which kubelet answers.
2. Listen on a fresh socket and Register. Kubelets up to 1.36 confuse two registrations of one socket.
3. Wait for ListAndWatch. A kubelet under load takes seconds. After a minute the registration is given up.
4. Serve until the stream ends or another kubelet is there. Close everything, then begin again.

Kubelets up to 1.36 know a plugin by its resource name only: the late end of an old stream ends the new registration. A
plugin that registers at once then loses the new registration, too, and so on for ever. Therefore the pause grows after
each registration that did not last. It is short again after one that lasted, and for another kubelet.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from virtfn_host.backoff import Backoff
from virtfn_host.core.values.offered import MOST_REFUSAL, Registration
from virtfn_host.core.values.strict_json import clipped

FIRST_PAUSE = 0.1
"""Seconds between the end of one registration and the next; doubled after each one that did not last."""
LONGEST_PAUSE = 10.0
"""The limit of that doubling, in seconds."""
LASTED = 10.0
"""Seconds after which a registration counts as lasting. The kubelet's late clean-up of an old stream takes less."""
TELL_AGAIN = 60.0
"""Seconds until the same refusal is logged again."""

_NAMED = 8
"""Most resources that the health text names, so that it stays one line."""


@dataclass(slots=True, kw_only=True)
class Pacing:
    """The pause before the next registration of one resource."""

    backoff: Backoff = field(default_factory=lambda: Backoff(first=FIRST_PAUSE, limit=LONGEST_PAUSE))
    _kubelet: object = None

    def pause(self, *, kubelet: object, lasted: float) -> float:
        """Seconds to wait before the next attempt.

        Args:
            kubelet: the kubelet of the attempt that ended.
            lasted: seconds for which that kubelet had the list of devices.
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
    """When the kubelet asked for the list of devices; None: it does not have the list."""
    waiting_since: float
    """When it last began to be without the list."""
    refusal: str = ""
    """Why the last failed attempt failed; empty: no attempt failed."""
    refused_at: float = 0.0
    registrations: int = 0

    def registered(self, now: float) -> "Standing":
        """Return the standing after the kubelet has asked for the list."""
        return replace(self, registered_at=now, registrations=self.registrations + 1)

    def ended(self, now: float) -> "Standing":
        """Return the standing after the stream has ended."""
        return replace(self, registered_at=None, waiting_since=now)

    def refused(self, now: float, text: str) -> "Standing":
        """Return the standing after an attempt has failed."""
        waiting = self.waiting_since if self.registered_at is None else now
        return replace(self, registered_at=None, waiting_since=waiting, refusal=one_line(text), refused_at=now)

    def told(self, now: float) -> str:
        """Tell people since when the resource is registered, or since when it is not, and the last refusal."""
        if self.registered_at is not None:
            text = f"{self.resource_name} registered for {_seconds(now - self.registered_at)}"
        else:
            text = f"{self.resource_name} not registered for {_seconds(now - self.waiting_since)}"
        if not self.refusal:
            return text
        return f"{text}, last refused {_seconds(now - self.refused_at)} ago: {self.refusal}"

    @property
    def outline(self) -> Registration:
        """The same for the agent. It has no running times, so it changes only with an event."""
        registered = self.registered_at is not None
        since = self.waiting_since if self.registered_at is None else self.registered_at
        return Registration(resource_name=self.resource_name, registered=registered, since=since, refusal=self.refusal)


def summary(standings: Sequence[Standing], now: float) -> str:
    """Return one line about all resources: those that are not registered first, or `ok` in front if all are."""
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


def one_line(text: str) -> str:
    """Return one short printable line of the kubelet's answer, or of another text that may be anything."""
    return text if len(text) <= MOST_REFUSAL and text.isprintable() else clipped(text)

"""How often the controller looks, decides and writes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Seconds between reconciles."""

    quiet: float = 0.3
    """After a wake-up, so that events that come together are handled together."""
    share: float = 1.0
    """Not seconds: a decision that took t seconds is followed by t * share seconds of rest, whatever events come."""
    resync: float = 48.0
    """Without any event, at most: turns end by time."""
    check: float = 1800.0
    """Until what the watches told is compared with lists."""
    retry: float = 1.0
    """After a failed list; the next attempt costs one request."""
    retry_limit: float = 30.0
    rewrite: float = 5.0
    """After failed writes."""
    writing: float = 10.0
    """Until no more writes begin before it is decided anew."""
    taints: float = 5.0
    """While a node that reported well has its start-up taint yet, at first; doubled up to `resync`. No event tells when
    the kubelet offers its pools."""

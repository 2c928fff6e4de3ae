"""One explanation as a value: how something stands, what is known of it, and what stands in its way."""

from dataclasses import dataclass

from virtfn_kubectl.judge.next_steps import next_step
from virtfn_kubectl.judge.verdict import Stand, Verdict

POINTS_LIMIT = 20
"""Points that are explained one by one; the rest is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Something to know, with its label."""

    label: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One thing that is not as it should be, or waits."""

    subject: str
    stand: Stand
    reason: str
    message: str
    waits_for: tuple[str, ...] = ()
    next: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """The answer of `why`."""

    kind: str
    name: str
    verdict: Verdict
    facts: tuple[Fact, ...] = ()
    points: tuple[Point, ...] = ()
    more: int = 0
    """Points that are left out."""


def point(subject: str, verdict: Verdict, *, waits_for: tuple[str, ...] = (), device: str | None = None) -> Point:
    """Return the point of a verdict, with the next step for its reason."""
    return Point(
        subject=subject,
        stand=verdict.stand,
        reason=verdict.reason,
        message=verdict.message if not device or device in verdict.message else f"{device}: {verdict.message}",
        waits_for=waits_for,
        next=next_step(verdict.reason),
    )


def explained(kind: str, name: str, verdict: Verdict, facts: list[Fact], points: list[Point]) -> Explained:
    """Return an explanation with the first points, and the number of those that are left out."""
    return Explained(
        kind=kind,
        name=name,
        verdict=verdict,
        facts=tuple(fact for fact in facts if fact.text),
        points=tuple(points[:POINTS_LIMIT]),
        more=max(0, len(points) - POINTS_LIMIT),
    )


def some(names: tuple[str, ...] | list[str], most: int = 5) -> str:
    """Return the first names of a list, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more

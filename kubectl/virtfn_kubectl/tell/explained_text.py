"""The text of `why`."""

from datetime import datetime

from virtfn_host.cli.paint import PLAIN, Paint
from virtfn_kubectl.judge.explained import Explained, Point
from virtfn_kubectl.judge.verdict import Verdict
from virtfn_kubectl.tell.words import painted, since_text, wrapped

LABEL = 14


def explained_text(found: Explained, now: datetime, paint: Paint = PLAIN) -> str:
    """Return an explanation: how it stands, what is known, then point by point what to do."""
    lines = [", ".join(filter(None, (_head(found, paint), since_text(found.verdict.since, now))))]
    lines += wrapped(found.verdict.message) if found.verdict.message else []
    if found.facts:
        lines.append("")
    for fact in found.facts:
        lines += wrapped(fact.text, " " * (LABEL + 2), f"  {fact.label:<{LABEL}}")
    for point in found.points:
        lines += ["", *point_lines(point, paint)]
    if found.more:
        lines += ["", f"and {found.more} more; --json has the first ones, the SriovNodes all"]
    return "\n".join(lines)


def _head(found: Explained, paint: Paint) -> str:
    return f"{paint.head(f'{found.kind} {found.name}')}: {_stand(found.verdict, paint)}"


def _stand(verdict: Verdict | Point, paint: Paint) -> str:
    same = verdict.reason in ("", "Converged", verdict.stand)
    return painted(verdict.stand, paint) + ("" if same else f", {verdict.reason}")


def point_lines(point: Point, paint: Paint = PLAIN) -> list[str]:
    """Return one point: what is so, what waits for whom, what to do next."""
    lines = [f"{point.subject}: {_stand(point, paint)}"]
    lines += wrapped(point.message) if point.message else []
    for holder in point.waits_for[:5]:
        lines += wrapped(f"waits for {holder}", "    ", "  ")
    if len(point.waits_for) > 5:
        lines.append(f"  waits for {len(point.waits_for) - 5} more")
    lines += wrapped(f"next: {point.next}", "        ", "  ") if point.next else []
    return lines

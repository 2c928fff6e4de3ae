"""What one case of the proof `api-server` showed, and what of it must not be."""

from dataclasses import dataclass

BUSIEST = 30
"""Requests, and lines of the log, in the worst minute."""

RECOVERED = 60.0
"""Seconds after the end of a trouble."""

ENDED = 25.0
"""Seconds from SIGTERM to the end of the process, while the trouble is there once more; a pod has 30."""

STARTS = 3
"""Of one process in one case: it may end and be started anew, as the kubelet does, but not again and again."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one case showed of one process."""

    case: str
    process: str
    requests: int
    """In the worst minute of the trouble."""
    all_requests: int
    """The same with what the recovery took, which is work that succeeds."""
    lines: int
    recovered: float | None
    """Seconds; None: not within twice the time."""
    starts: int
    health: int
    """Status of /healthz when the trouble ended."""
    ended: float
    """Seconds from SIGTERM to the end."""

    @property
    def violations(self) -> tuple[str, ...]:
        """What of it must not be."""
        found = {
            f"{self.requests} requests in a minute": self.requests > BUSIEST,
            f"{self.lines} lines in a minute": self.lines > BUSIEST,
            "not recovered": self.recovered is None or self.recovered > RECOVERED,
            f"started {self.starts} times": self.starts > STARTS,
            f"health {self.health}": self.health != 200,
            f"ended {self.ended:.0f} s after SIGTERM": self.ended > ENDED,
        }
        return tuple(text for text, wrong in found.items() if wrong)

    def __str__(self) -> str:
        over = "never" if self.recovered is None else f"{self.recovered:5.1f} s"
        counts = f"{self.requests:4} ({self.all_requests:2}) requests/min {self.lines:4} lines/min"
        times = f"recovered {over}  {self.starts} starts  ended {self.ended:4.1f} s"
        return f"{self.case:28} {self.process:10} {counts}  {times}  {'; '.join(self.violations) or 'holds'}"

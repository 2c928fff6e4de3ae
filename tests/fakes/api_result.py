"""The result of one case of the proof `api-server`, and the limits that it must keep."""

from dataclasses import dataclass

BUSIEST = 30
"""Limit for requests, and for log lines, in the worst minute."""

RECOVERED = 60.0
"""Limit for recovery, in seconds after the end of a trouble."""

ENDED = 25.0
"""Limit for the time from SIGTERM to the process's end during the same trouble, in seconds; a pod has 30."""

STARTS = 3
"""Limit for starts of one process in one case: it may end and be restarted, but not again and again."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of one case for one process."""

    case: str
    process: str
    requests: int
    """Requests in the worst minute of the trouble."""
    all_requests: int
    """The same including the recovery, whose requests succeed."""
    lines: int
    recovered: float | None
    """Seconds until recovery; None if it took more than twice the limit."""
    starts: int
    health: int
    """Status of /healthz when the trouble ended."""
    ended: float
    """Seconds from SIGTERM to the process's end."""

    @property
    def violations(self) -> tuple[str, ...]:
        """Limits that were exceeded, one text each."""
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

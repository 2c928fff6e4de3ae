"""What became of the steps of a plan: one result a step, in order, each with a short message."""

from dataclasses import dataclass
from enum import StrEnum

from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.steps import Step, describe

MESSAGE = 800
"""Most characters of a message. Every step that is not tried repeats the reason, and a plan may have 65,536 steps: one
long message made a report of 670 MB (measured by hand)."""

REPEATED = 300
"""Most characters of an earlier message that a message repeats. 13,300 steps that repeated 800 characters, not in
ASCII, took 184 MB; the host process has 128 (measured by hand)."""


class Outcome(StrEnum):
    """The outcome of a step."""

    DONE = "done"
    FAILED = "failed"
    NOT_TRIED = "notTried"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """The result of one step of a plan."""

    step: Step
    outcome: Outcome
    seconds: float
    reason: Reason | None
    """Why the step is not `done`; None if it is."""
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The results of a plan's steps, in order."""

    results: tuple[StepResult, ...]


def ended(step: Step, outcome: Outcome, reason: Reason | None, message: str, seconds: float = 0.0) -> StepResult:
    """Return the result of a step; `seconds` are rounded to tenths of a millisecond."""
    short = shortened(message)
    return StepResult(step=step, outcome=outcome, seconds=round(seconds, 4), reason=reason, message=short)


def shortened(message: str, most: int = MESSAGE) -> str:
    """Return the message in ASCII, at most about `most` characters long.

    In ASCII, because one other character can make Python store each character of the text in four bytes. The middle is
    left out, because a message begins with what was wanted and ends with the next step.
    """
    text = message if message.isascii() else message.encode("ascii", "backslashreplace").decode("ascii")
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 2 :]}"


def not_tried(step: Step, reason: Reason | None, text: str) -> StepResult:
    """Return the result of a step that was not tried; `text` says why, after the sentence of the step."""
    return ended(step, Outcome.NOT_TRIED, reason, f"{describe(step)}: {text}")

"""Formats plans and their outcomes for people. Pure: returns text, and the caller prints it."""

from virtfn_host.cli.paint import PLAIN, Paint
from virtfn_host.core.values.report import Outcome, StepResult
from virtfn_host.core.values.steps import PfPlan, Plan, describe

_WORDS = {Outcome.DONE: "done", Outcome.FAILED: "failed", Outcome.NOT_TRIED: "not tried"}
_WIDTH = max(map(len, _WORDS.values()))


def plan_text(made: Plan) -> str:
    """Return the steps in order, with the causes of what is given back, and the functions that they disturb."""
    lines = [line for part in made.pfs for line in (*_cause(part), *map(describe, part.steps))]
    if made.displaces:
        lines.append(f"disturbs {', '.join(map(str, made.displaces))}")
    return "\n".join(lines or ["nothing to do"])


def _cause(part: PfPlan) -> tuple[str, ...]:
    return (f"{part.pf}: is given back, all or in part: {part.cause}",) if part.cause is not None and part.steps else ()


def outcome_line(result: StepResult, paint: Paint = PLAIN, told: str = "") -> str:
    """Return outcome, reason and message of a step: `failed     BindFailed: VF 0 of ...`.

    Args:
        result: what became of the step.
        paint: colours.
        told: `cause` of the line above; the same one is not repeated.
    """
    word = _WORDS[result.outcome].ljust(_WIDTH)
    colour = {Outcome.DONE: paint.good, Outcome.FAILED: paint.bad, Outcome.NOT_TRIED: paint.held}[result.outcome]
    reason = f"{result.reason}: " if result.reason else ""
    return f"{colour(word)}  {reason}{result.message.removesuffix(told)}"


def cause(result: StepResult) -> str:
    """Return the end of the message of a step that was not tried: why. All such steps of a PF have the same one."""
    return result.message.removeprefix(describe(result.step)) if result.outcome is Outcome.NOT_TRIED else ""

"""What `virtfn` prints of plans and what became of them. Pure; streams are the caller's."""

from virtfn_host.cli.paint import PLAIN, Paint
from virtfn_host.core.values.steps import Outcome, Plan, StepResult, describe

_WORDS = {Outcome.DONE: "done", Outcome.FAILED: "failed", Outcome.NOT_TRIED: "not tried"}
_WIDTH = max(map(len, _WORDS.values()))


def plan_text(made: Plan) -> str:
    """The steps in their order, and whom they disturb."""
    lines = [describe(step) for step in made.steps]
    if made.displaces:
        lines.append(f"disturbs {', '.join(map(str, made.displaces))}")
    return "\n".join(lines or ["nothing to do"])


def outcome_line(result: StepResult, paint: Paint = PLAIN) -> str:
    """`failed     BindFailed: VF 0 of ...`: the outcome in a column, the reason's word, the sentence."""
    word = _WORDS[result.outcome].ljust(_WIDTH)
    colour = {Outcome.DONE: paint.good, Outcome.FAILED: paint.bad, Outcome.NOT_TRIED: paint.held}[result.outcome]
    reason = f"{result.reason}: " if result.reason else ""
    return f"{colour(word)}  {reason}{result.message}"

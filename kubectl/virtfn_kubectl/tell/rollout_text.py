"""The text of `rollout status`."""

from virtfn_host.cli.paint import PLAIN, Paint
from virtfn_kubectl.judge.explained import some
from virtfn_kubectl.judge.rollout import PolicyRollout, RolloutNode
from virtfn_kubectl.judge.verdict import WELL, Stand
from virtfn_kubectl.tell.words import painted, table, wrapped


def rollout_text(found: PolicyRollout, paint: Paint = PLAIN) -> str:
    """Return how far a policy is carried out: one line in words, then a table of its nodes."""
    lines = [f"policy {found.policy}: {painted(found.verdict.stand, paint)}, {_done(found)}"]
    if found.with_turn:
        lines.append(f"  may change now: {some(list(found.with_turn))}")
    if found.waiting:
        lines.append(f"  waiting for a turn: {some(list(found.waiting))}")
    if found.paused:
        lines += wrapped(
            f"paused: no further node gets a turn; go on with kubectl virtfn rollout resume {found.policy}"
        )
    if found.stopped_by:
        lines += wrapped(f"stopped: node {found.stopped_by} failed in its turn, so no further node gets one")
    if found.stopped_by_absent and not found.paused:
        lines += wrapped(f"{found.stopped_by} is not there now; to go on without it, pause the rollout, then resume it")
    if found.verdict.stand not in WELL:
        lines += wrapped(found.verdict.message)
    if found.nodes:
        lines += ["", *table([("NODE", "STATE", "REASON", "TURN", "STEPS LEFT"), *map(_row, found.nodes)], paint)]
    return "\n".join(lines)


def _done(found: PolicyRollout) -> str:
    return f"{found.done} of {found.matching} nodes are done" if found.matching else "no node is asked to carry it out"


def _row(node: RolloutNode) -> tuple[str, ...]:
    turn = "has it" if node.turn and node.stand is not Stand.READY else ""
    return node.name, str(node.stand), node.reason, turn, str(node.steps_left or "")


def paused_text(found: PolicyRollout, *, paused: bool, changed: bool) -> str:
    """Return what `rollout pause` or `rollout resume` did, and what follows from it.

    Args:
        found: the rollout, as it was before.
        paused: whether it is paused now.
        changed: whether it was not so before.
    """
    if not changed:
        return f"policy {found.policy} {'is paused already' if paused else 'is not paused'}; nothing was changed"
    lines = [f"policy {found.policy}: {'paused' if paused else 'resumed'}"]
    if paused and found.with_turn:
        lines += wrapped(f"goes on to the end of its change: {some(list(found.with_turn))}")
    if found.waiting:
        lines += wrapped(
            f"{'waits until it is resumed' if paused else 'waiting for a turn'}: {some(list(found.waiting))}"
        )
    if not paused and found.stopped_by_absent:
        lines += wrapped(f"goes on without node {found.stopped_by}, which failed in its turn and is not there now")
    elif not paused and found.stopped_by:
        lines += wrapped(
            f"still stopped: node {found.stopped_by} failed in its turn; kubectl virtfn why node/{found.stopped_by}"
        )
    if paused:
        lines.append(f"  go on with: kubectl virtfn rollout resume {found.policy}")
    return "\n".join(lines)

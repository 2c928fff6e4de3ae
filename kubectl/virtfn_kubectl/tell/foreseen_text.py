"""The text of `plan`."""

from collections.abc import Iterable

from virtfn_host.cli.paint import PLAIN, Paint
from virtfn_kubectl.judge.explained import some
from virtfn_kubectl.judge.foreseen import DELETED, Foreseen, NodeForeseen, PolicyForeseen, TurnForeseen
from virtfn_kubectl.judge.verdict import Stand
from virtfn_kubectl.read.preview import PfSeen
from virtfn_kubectl.tell.words import painted, table, wrapped
from virtfn_operator.api.conditions import MESSAGE_LIMIT
from virtfn_operator.api.foreign import text
from virtfn_operator.controller.rollout import Rollout

POINTS_LIMIT = 20
"""Groups of nodes that are told one by one, and rejections of one policy."""
_HEAD = ("NODE", "STEPS", "DISTURBS", "WAITING", "EVICTS", "TURN")


def foreseen_text(found: Foreseen, paint: Paint = PLAIN) -> str:
    """Return what would happen: the policies, a table of nodes, then what each node would do."""
    lines = [line for policy in found.policies for line in _policy(policy, paint)]
    if found.nodes:
        lines += ["", *table([_HEAD, *map(_row, found.nodes)], paint)]
    if found.others:
        lines += ["", f"nothing changes on {_count(found.others, 'other node' if found.nodes else 'node')}"]
    groups = list(_groups(found.nodes).values())
    for nodes in groups[:POINTS_LIMIT]:
        lines += ["", *_group(nodes, paint)]
    if len(groups) > POINTS_LIMIT:
        lines += ["", f"and {len(groups) - POINTS_LIMIT} more kinds of change; --json has all"]
    if not found.nodes and not found.others:
        lines += ["", "no node runs the agent, so nothing happens"]
    return "\n".join(lines)


def _policy(policy: PolicyForeseen, paint: Paint) -> list[str]:
    head = f"policy {policy.name}: {policy.change}"
    if policy.change == DELETED or policy.verdict is None:
        return [f"{head}; what it has is given back"]
    stand, verdict = policy.verdict.stand, policy.verdict
    nodes = f"{_count(policy.matching, 'node')} match{'es' if policy.matching == 1 else ''}"
    reason = f", {verdict.reason}" if verdict.reason not in ("", "Converged", stand) else ""
    lines = [f"{head}; {nodes}; at first it is {painted(stand, paint)}{reason}"]
    if stand is not Stand.READY and verdict.message:
        lines += wrapped(verdict.message)
    lines += _turns(policy.rollout)
    for line in policy.rejections[:POINTS_LIMIT]:
        lines += wrapped(f"not given: {line}")
    if len(policy.rejections) > POINTS_LIMIT:
        lines.append(f"  not given: {len(policy.rejections) - POINTS_LIMIT} more; --json has all")
    return lines


def _turns(rollout: Rollout) -> list[str]:
    """Return who gets a turn, in which order, and what holds it."""
    order = [*rollout.turns, *rollout.waiting]
    if not order:
        return []
    if rollout.paused:
        return wrapped(f"paused: no turn for {some(list(rollout.waiting)) or 'further nodes'}")
    if rollout.stopped_by:
        return wrapped(
            f"stopped by the failure of node {rollout.stopped_by}: no turn for {some(list(rollout.waiting))}"
        )
    return wrapped(f"turns, in this order: {some(order)}" if len(order) > 1 else f"turn: {order[0]}")


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _row(node: NodeForeseen) -> tuple[str, ...]:
    if node.answer is None:
        return node.name, "unknown", "unknown", "unknown", "unknown", "unknown"
    blocked = sum(len(part.blocked) for part in node.answer.pfs)
    disturbs = _count(len(node.displaced), "function") if node.displaced else ""
    waits = _count(blocked, "change") if blocked else ""
    evicts = _count(len(node.answer.evict), "pod") if node.answer.evict else ""
    turn = "not yet" if blocked and node.turn is None else _turn(node.turn)
    return node.name, str(node.steps), disturbs, waits, evicts, turn


def _turn(turn: TurnForeseen | None) -> str:
    if turn is None:
        return "needs none"
    if turn.has:
        return "at once"
    return f"waits, place {turn.place}" if turn.place is not None else "gets none now"


def _groups(nodes: Iterable[NodeForeseen]) -> dict[object, list[NodeForeseen]]:
    """Return the nodes by what they would do; in large fleets most are alike."""
    found: dict[object, list[NodeForeseen]] = {}
    for node in nodes:
        held = node.turn.held if node.turn else ""
        alike = (
            (node.unknown, held) if node.answer is None else (node.answer.pfs, node.answer.evict, _ready(node), held)
        )
        found.setdefault(alike, []).append(node)
    return found


def _group(nodes: list[NodeForeseen], paint: Paint) -> list[str]:
    first, names = nodes[0], [node.name for node in nodes]
    head = paint.head(f"node{'s' if len(names) > 1 else ''} {some(names)}")
    if first.answer is None:
        text = f"it is not known what happens there: {first.unknown}"
        return [f"{head}: {painted(Stand.UNKNOWN, paint)}", *wrapped(text)]
    lines = [f"{head}: {_summary(first)}"]
    if first.turn and first.turn.held:
        lines += wrapped(f"gets no turn for now: {first.turn.held}")
    if first.answer.hindered:
        lines += wrapped(f"nothing is disturbed there: {first.answer.hindered}")
    if first.answer.evict:
        lines += wrapped(f"evicts in its turn: {some(first.answer.evict)}")
    for part in first.answer.pfs:
        lines += _part(part)
    if not first.answer.pfs and (said := _ready(first)):
        lines += wrapped(said)
    return lines


def _summary(node: NodeForeseen) -> str:
    if not node.steps:
        waits = node.answer is not None and any(part.blocked for part in node.answer.pfs)
        return "no step for now" if waits else "no step"
    kind = f"disturbs {_count(len(node.displaced), 'function')}" if node.displaced else "disturbs nothing"
    return f"{_count(node.steps, 'step')}, {kind}"


def _part(part: PfSeen) -> list[str]:
    when = "at once" if part.calm else "in its turn"
    whose = f" (policy {', '.join(part.policies)})" if part.policies else " (given back)"
    lines = [f"  {part.pf}{whose}{f', {when}' if part.steps else ''}"]
    for step in part.steps:
        lines += wrapped(step, "      ", "    ")
    for wait in part.blocked:
        lines += wrapped(f"waits, {wait.reason}: {wait.message}", "      ", "    ")
    if part.later and part.later != part.steps:
        lines.append("    when what holds it has gone:")
        for step in part.later:
            lines += wrapped(step, "        ", "      ")
    return lines


def _ready(node: NodeForeseen) -> str:
    """Return what the node would say of itself where it has nothing to do."""
    conditions = node.answer.status.get("conditions") if node.answer else None
    for item in conditions if isinstance(conditions, list) else ():
        if isinstance(item, dict) and item.get("type") == "Ready" and item.get("status") != "True":
            return f"{text(item.get('reason'), 253)}: {text(item.get('message'), MESSAGE_LIMIT)}"
    return ""

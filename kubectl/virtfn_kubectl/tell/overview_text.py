"""The text of `status` and `nodes`."""

from collections import Counter
from datetime import datetime

from virtfn_host.cli.paint import PLAIN, Paint
from virtfn_kubectl.judge.overview import NodeRow, Overview, PolicyRow, PoolRow
from virtfn_kubectl.judge.verdict import WORST_FIRST
from virtfn_kubectl.read.members import MemberSeen
from virtfn_kubectl.tell.explained_text import point_lines
from virtfn_kubectl.tell.words import since_text, stand_text, table

NODES_SHOWN = 50
"""Nodes in the table of `status`."""

POLICY_HEAD = ("POLICY", "RESOURCES", "NODES", "READY", "CHANGING", "BLOCKED", "FAILED", "STATE", "SINCE")
NODE_HEAD = ("NODE", "PFS", "VFS", "IN USE", "POOLS", "AGENT", "STATE", "SINCE")


def overview_text(found: Overview, now: datetime, paint: Paint = PLAIN) -> str:
    """Return policies and nodes as tables, then every problem with its next step."""
    parts = [
        table([POLICY_HEAD, *(_policy(row, now) for row in found.policies)], paint)
        if found.policies
        else ["no policy"],
        _nodes(found.nodes, now, paint) if found.nodes else ["no node"],
        *([_problems(found, paint)] if found.problems else []),
        *([_versions(found, paint)] if found.versions else []),
        *([[paint.head("not readable"), *(f"  {line}" for line in found.unread)]] if found.unread else []),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts)


def _nodes(rows: tuple[NodeRow, ...], now: datetime, paint: Paint) -> list[str]:
    """Return the table of nodes; of very many only the worst, because a thousand lines are not read."""
    if len(rows) <= NODES_SHOWN:
        return table([NODE_HEAD, *(_node(row, now) for row in rows)], paint)
    shown = sorted(rows, key=lambda row: WORST_FIRST.index(row.verdict.stand))[:NODES_SHOWN]
    left = Counter(row.verdict.stand for row in rows) - Counter(row.verdict.stand for row in shown)
    counted = ", ".join(f"{left[stand]} {stand}" for stand in WORST_FIRST if left[stand])
    lines = table([NODE_HEAD, *(_node(row, now) for row in shown)], paint)
    return [*lines, f"and {len(rows) - len(shown)} more: {counted}; kubectl virtfn nodes lists all"]


def nodes_text(rows: tuple[NodeRow, ...], members: tuple[MemberSeen, ...], now: datetime, paint: Paint = PLAIN) -> str:
    """Return the nodes as a table, with what their Nodes say where these may be read."""
    beside = {member.name: member for member in members}
    head = (*NODE_HEAD, "KUBELET", "NODE IS") if members else NODE_HEAD
    lines = [(*_node(row, now), *(_member(beside.get(row.name)) if members else ())) for row in rows]
    there = {row.name for row in rows}
    lines += [_bare(member) for member in members if member.name not in there]
    return "\n".join(table([head, *lines], paint))


def _bare(member: MemberSeen) -> tuple[str, ...]:
    """The row of a Node without a SriovNode: no agent runs there."""
    blank = ("",) * (len(NODE_HEAD) - 3)
    return (member.name, *blank, "no agent", "", *_member(member))


def _member(member: MemberSeen | None) -> tuple[str, str]:
    if member is None:
        return "", "gone"
    words = ["Ready" if member.ready else "NotReady", *(["cordoned"] if member.cordoned else [])]
    return member.kubelet, ",".join(words)


def _policy(row: PolicyRow, now: datetime) -> tuple[str, ...]:
    counts = row.counts
    numbers = (counts.matching, counts.ready, counts.changing, counts.blocked, counts.failed)
    return (
        row.name,
        ",".join(row.resources),
        *map(str, numbers),
        stand_text(row.verdict),
        _age(row.verdict.since, now),
    )


def _node(row: NodeRow, now: datetime) -> tuple[str, ...]:
    numbers = (str(row.pfs), str(row.vfs), str(row.in_use))
    pools = " ".join(map(_pool, row.pools))
    return (row.name, *numbers, pools, row.agent_version, stand_text(row.verdict), _age(row.verdict.since, now))


def _pool(row: PoolRow) -> str:
    return f"{row.resource_name}={row.healthy}/{row.capacity}"


def _age(since: str, now: datetime) -> str:
    """Return how long ago; tables have no room for the time itself."""
    text = since_text(since, now)
    return text.rpartition("(")[2].rstrip(")") if text.endswith(")") else ""


def _problems(found: Overview, paint: Paint) -> list[str]:
    lines = [paint.head("problems")]
    for number, point in enumerate(found.problems):
        lines += [*([""] if number else []), *(f"  {line}" for line in point_lines(point, paint))]
    return [*lines, *([f"  and {found.more} more"] if found.more else [])]


def _versions(found: Overview, paint: Paint) -> list[str]:
    step = "an upgrade is on its way; if it stands still: kubectl rollout status -n virtfn-system ds/virtfn-agent"
    return [paint.head("versions are mixed"), *(f"  {line}" for line in found.versions), f"  next: {step}"]

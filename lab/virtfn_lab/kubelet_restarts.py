"""Restart the kubelet of a node under pods that come and go, and count what the device plugin did about it.

A few rounds are a test in tests/cluster, many are a proof in `make prove`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from virtfn_lab.cluster import LabError
from virtfn_lab.containers import PLUGIN
from virtfn_lab.load import Load
from virtfn_lab.node import LEFT, Mark, Node, policy
from virtfn_lab.stand import offered, stand

AWAY = (0.1, 5.0)
"""Seconds for which no kubelet runs, from and to."""

RESOURCES = ("virtfn.dev/left", "virtfn.dev/right")

BACK = 120.0
"""Seconds until an emulated node's kubelet has both lists again."""

RESTART = """
pid=$(pgrep -f '[k]ubelet --config') && starter=$(ps -o ppid= -p $pid) || exit 1
kill -STOP $starter; kill -9 $pid; sleep {away:.3f}; kill -CONT $starter
"""
"""The shell loop that starts the kubelet again stands still meanwhile."""

EARLY = ("no healthy devices present", "unregistered device")
"""Words of the kubelet about pods that it admitted before a plugin could register (docs/decisions/0027)."""

_EVENT = re.compile(r"(?P<at>[\d-]+ [\d:,]+) \w+ \S+ (?P<name>\S+): (?P<what>registered|not registered any more)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarted:
    """The result of one restart of the kubelet."""

    away: float
    """Seconds for which no kubelet ran."""
    without: float
    """Seconds for which the kubelet did not have the list of a resource, the longest."""
    answered: int
    """Requests of pods that the plugin answered."""
    early: int
    """Pods that the kubelet refused because it admitted them before the plugin had registered."""

    def __str__(self) -> str:
        told = f"kubelet away for {self.away:.1f} s, {self.without:.1f} s without the list"
        return f"{told}; {self.answered} Allocates answered, {self.early} pods refused by the kubelet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What the plugin's log says of registrations, by resource: times at which each began and ended, in seconds."""

    began: dict[str, list[float]]
    ended: dict[str, list[float]]

    @property
    def without(self) -> float:
        """The longest time from an end to the next begin."""
        pairs = (pair for name in self.ended for pair in zip(self.ended[name], self.began.get(name, ()), strict=False))
        return max((began - ended for ended, began in pairs), default=0.0)


def said(lines: Sequence[str]) -> Said:
    """Return what these lines of the plugin's log say of registrations."""
    found = Said(began={}, ended={})
    for match in filter(None, map(_EVENT.match, lines)):
        at = datetime.strptime(match["at"], "%Y-%m-%d %H:%M:%S,%f").replace(tzinfo=UTC).timestamp()
        times = found.began if match["what"] == "registered" else found.ended
        times.setdefault(match["name"], []).append(at)
    return found


def restarts_of_kubelet(node: Node, number: int, seed: int) -> Iterator[Restarted]:
    """Restart the kubelet again and again while a pod holds a VF, and others come and go.

    Raises:
        LabError: a registration with a kubelet that ran was ended, an Allocate was lost, a list did not come back, or
            the VF in use was touched.
    """
    chance = random.Random(seed)
    with stand(node) as stood:
        node.apply(policy("left", 7, LEFT))
        stood.carried_out(7)
        began = node.mark(PLUGIN)
        with Load(node, "left", (), RESOURCES[0]):
            for done in range(1, number + 1):
                yield _restart(node, began, done, chance.uniform(*AWAY))
                stood.intact()
        stood.carried_out(7)
        _expect_one_each(said(node.said_since(began)), number)


def _restart(node: Node, began: Mark, number: int, away: float) -> Restarted:
    mark, before = node.mark(PLUGIN), refusals(node)
    node.shell(RESTART.format(away=away))
    node.until("the kubelet has both lists again", lambda: _are_back(node, mark), BACK)
    node.until("the node offers both", lambda: all(offered(node)), BACK)
    # All from the beginning: one that was ended later shows in the next round.
    _expect_one_each(said(node.said_since(began)), number)
    refused = {pod: text for pod, text in refusals(node).items() if pod not in before}
    if lost := {pod: text for pod, text in refused.items() if not any(word in text for word in EARLY)}:
        raise LabError(f"an Allocate was lost: {lost}")
    lines = node.said_since(mark)
    answered = sum(line.endswith(" handed out") for line in lines)
    return Restarted(away=away, without=said(lines).without, answered=answered, early=len(refused))


def _are_back(node: Node, mark: Mark) -> bool:
    return set(said(node.said_since(mark)).began) >= set(RESOURCES)


def _expect_one_each(told: Said, restarts: int) -> None:
    for name in RESOURCES:
        began, ended = len(told.began.get(name, ())), len(told.ended.get(name, ()))
        if (began, ended) != (restarts, restarts):
            raise LabError(f"{name}: {ended} registrations ended and {began} began in {restarts} restarts")


def refusals(node: Node, reason: str = "UnexpectedAdmissionError") -> dict[str, str]:
    """Return what the kubelet says of pods that it did not admit for this reason, by pod."""
    found: Any = node.cluster.get("events", "--field-selector", f"reason={reason}")
    return {event["involvedObject"]["name"]: event.get("message", "") for event in found["items"]}

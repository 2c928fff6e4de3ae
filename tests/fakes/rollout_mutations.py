"""Safeties of turns and evictions, each of which can be dropped: then a law of `rollout_law.py` must break."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from virtfn_operator.api.node_status import State
from virtfn_operator.controller import evict, rollout, seats, turns
from virtfn_operator.controller.evict import evicting


def _replaced(where: Any, name: str, other: Callable[..., Any]) -> Callable[[], AbstractContextManager[None]]:
    @contextmanager
    def dropped() -> Iterator[None]:
        with patch.object(where, name, other):
            yield

    return dropped


def _at_once(named: Any, found: Any, asked: Any, answers: Any, real: Any = evict._evicting) -> Any:
    first = real(named, found, asked, answers)
    return real(named, found, first.ask, answers)


def _unseen(state: Any, facts: Any, real: Any = evicting) -> Any:
    if state.displaced is None:
        return real(state, facts)
    return real(replace(state, displaced=replace(state.displaced, withdrawn=True)), facts)


def _helpful(pod: Any, spared: Any, real: Any = evict._read_pod) -> Any:
    return replace(real(pod, spared), pinned="")


def _excused(excuses: Callable[[Any], bool], real: Any = turns.heard) -> Callable[..., Any]:
    """Let no time pass in the turn of a node that says what excuses it."""

    def heard(note: Any, state: Any, now: Any, **more: Any) -> Any:
        found = real(note, state, now, **more)
        return replace(found, granted=now, heard=now) if state.heard and excuses(state) else found

    return heard


def _stands(state: Any) -> bool:
    return any(outcome.state in (State.FAILED, State.BLOCKED) for outcome in state.policies)


def _waits_for_pods(state: Any) -> bool:
    return state.displaced is not None and bool(state.displaced.withdrawn)


def _forgetful(note: Any, *args: Any, real: Any = turns.ended, **more: Any) -> Any:
    return real(note, *args, **more) if note.over else replace(real(note, *args, **more), failed=frozenset())


def _for_the_whole_node(note: Any, failing: Any, state: Any, asked: Any, real: Any = turns.still_failed) -> Any:
    well = not any(outcome.state in turns._NOT_WELL for outcome in state.policies)
    return real(note, failing, state if well else replace(state, policies=()), asked)


MUTATIONS: Mapping[str, Callable[[], AbstractContextManager[None]]] = {
    "waiting for the answer of a node whose turn ended": _replaced(turns, "is_closing", lambda *_: False),
    "asking once more before an eviction": _replaced(evict, "_evicting", _at_once),
    "seeing the withdrawal": _replaced(seats, "evicting", _unseen),
    "the mark of a failure": _replaced(turns, "with_failure", lambda note, *_: note),
    "stopping after a failure": _replaced(rollout, "stopped", lambda _: {}),
    "leaving DaemonSets alone": _replaced(evict, "_read_pod", _helpful),
    "silence beside a policy that stands": _replaced(turns, "heard", _excused(_stands)),
    "silence in an eviction": _replaced(turns, "heard", _excused(_waits_for_pods)),
    "a change beside a lasting failure": _replaced(seats, "_busy", lambda _: False),
    "the end of a turn beside a failure": _replaced(seats, "_stays", lambda failed, _: bool(failed)),
    "a failure after the turn": _replaced(turns, "ended", _forgetful),
    "each policy well by itself": _replaced(turns, "still_failed", _for_the_whole_node),
    "an edit that would get no turn": _replaced(seats, "_brings", lambda *_: frozenset()),
}

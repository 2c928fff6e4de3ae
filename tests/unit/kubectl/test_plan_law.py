"""A sample of the proof `plan`: what is printed is what then happens; and a plan that guesses is noticed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import plan_law
import pytest
from plan_law import DiffersError, plans

from virtfn_kubectl import planning
from virtfn_kubectl.judge import foreseen
from virtfn_operator.agent import preview, preview_process
from virtfn_operator.controller import decide
from virtfn_operator.controller.evict import NO_FACTS
from virtfn_operator.controller.rollout import Rollout

PORTION = 3


def run(seeds: Iterable[int]) -> Counter[str]:
    counted: Counter[str] = Counter()
    for seed in seeds:
        plans(seed, counted)
    return counted


@pytest.mark.parametrize("portion", range(8))
def test_a_sample_of_the_proof(portion: int) -> None:
    counted = run(range(portion * PORTION, (portion + 1) * PORTION))
    assert counted["histories"] == PORTION
    assert counted["steps"] > 0


def changed(seeds: Iterable[int]) -> None:
    """Run the law; one of the seeds must show that the plan is wrong."""
    with pytest.raises(DiffersError):
        run(seeds)


def test_a_node_that_is_not_asked_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = foreseen.asked

    def all_but_one(*words: Any, **more: Any) -> foreseen.AskedFleet:
        found = real(*words, **more)
        return replace(found, requests=dict(list(found.requests.items())[1:]))

    monkeypatch.setattr(planning, "asked", all_but_one)
    changed(range(3))


def test_a_node_that_does_not_know_of_pods_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nobody:
        async def allocated(self) -> dict[str, tuple[Any, ...]]:
            return {}

    real = preview_process.answered

    async def blind(machine: Any, *words: Any, **more: Any) -> dict[str, object]:
        machine._kubelet = Nobody()
        return await real(machine, *words, **more)

    monkeypatch.setattr(plan_law, "answered", blind)
    changed(range(30))


def test_an_order_of_names_from_behind_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = decide.decide

    def backwards(*words: Any, **more: Any) -> Any:
        found = real(*words, **more)
        turned = {name: Rollout(turns=it.turns, waiting=it.waiting[::-1]) for name, it in found.rollouts.items()}
        return replace(found, rollouts=turned)

    monkeypatch.setattr(foreseen, "decide", backwards)
    changed(range(60))


def test_a_cordon_that_is_not_seen_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "Facts", lambda **_: NO_FACTS)
    changed(range(30))


def test_a_step_that_is_left_out_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = preview._steps
    monkeypatch.setattr(preview, "_steps", lambda part: real(part)[:-1])
    changed(range(3))


def test_a_policy_that_loses_without_a_word_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = foreseen.foreseen

    def of_the_plan(*words: Any) -> foreseen.Foreseen:
        found = real(*words)
        return replace(found, policies=tuple(it for it in found.policies if it.change != foreseen.LOSES))

    monkeypatch.setattr(planning, "foreseen", of_the_plan)
    changed(range(30))

"""An event is one that the API server takes, whatever it tells of; and one object tells only so much of itself."""

import re
from typing import Any

import pytest
from api_server import ApiServer

from virtfn_operator.api import NODE_KIND, POLICY_KIND
from virtfn_operator.api.conditions import Condition, Transition
from virtfn_operator.apiserver.events import Events, event
from virtfn_operator.apiserver.kube import Kube
from virtfn_operator.settings import ApiServer as Where

NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def transition(reason: str = "Drifted", message: str = "m", generation: int = 1) -> Transition:
    new = Condition(type="Ready", status="False", reason=reason, message=message, observed_generation=generation)
    return Transition(old=None, new=new)


@pytest.mark.parametrize("name", ["n1", f"{'a' * 199}.b", f"{'a' * 198}--b", f"{'a' * 199}-b", "a" * 253])
def test_its_name_is_one(name: str) -> None:
    made = event({"metadata": {"name": name}}, NODE_KIND, transition(), instance="i", now="t")
    assert NAME.fullmatch(made["metadata"]["name"])
    assert len(made["metadata"]["name"]) <= 253


@pytest.mark.parametrize("text", ["é", "\N{GRINNING FACE}", "…", "x"])
def test_its_note_and_reason_are_short_enough_in_bytes(text: str) -> None:
    made = event({"metadata": {"name": "n"}}, NODE_KIND, transition(text * 253, text * 2048), instance="i", now="t")
    assert 0 < len(made["note"].encode()) <= 1024
    assert 0 < len(made["reason"].encode()) <= 128


@pytest.mark.parametrize("what", ["reason", "generation"])
async def test_an_object_that_always_tells_something_new_is_not_listened_to_for_ever(what: str) -> None:
    api, now = ApiServer(), 0.0
    await api.start()
    other: dict[str, Any] = {"metadata": {"name": "other", "uid": "u2"}}
    async with Kube(Where(url=f"http://127.0.0.1:{api.port}", token=None, ca=None), connections=1) as kube:
        events = Events(kube, instance="i", clock=lambda: now)
        for n in range(600):
            now = n * 1.0
            change = transition(f"R{n}") if what == "reason" else transition(generation=n)
            await events.post({"metadata": {"name": "n1", "uid": "u"}}, POLICY_KIND, [change], now="t")
        before = len(api.seen)
        await events.post(other, POLICY_KIND, [transition()], now="t")
    await api.stop()
    assert 25 <= before <= 30
    assert len(api.seen) == before + 1

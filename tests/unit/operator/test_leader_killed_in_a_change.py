"""A leader is killed, or loses its lease, in the middle of a change: no node is written twice, none is forgotten."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from api_server import OURS, refusal
from controller_at_work import SPEC, Controller, at_work

from virtfn_operator.apiserver.kube import Kube
from virtfn_operator.settings import ApiServer as Where

NODES = 30
NAMES = tuple(f"n{number}" for number in range(1, NODES + 1))


@pytest.fixture
async def first(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Controller]:
    """The leader, with a fleet that is as asked: one policy everywhere."""
    async with at_work(monkeypatch) as found:
        for name in NAMES[2:]:
            await found.api.put(f"/api/v1/nodes/{name}", {"metadata": {"name": name}})
            await found.api.put(f"{OURS}/sriovnodes/{name}", {"metadata": {"name": name}})
        await found.put("a")
        await found.until(lambda: all(found.asked(name) == ["a"] for name in NAMES))
        yield found


def generations(controller: Controller) -> dict[str, int]:
    return {name: controller.api.objects[f"{OURS}/sriovnodes/{name}"]["metadata"]["generation"] for name in NAMES}


class Writes:
    """Counts the specs that were written, and ends the leader after some of them."""

    def __init__(self, after: int, *, answered: bool) -> None:
        self.after, self.answered = after, answered
        self.reached = asyncio.Event()
        self.written: Counter[str] = Counter()

    async def __call__(self, request: web.Request) -> web.StreamResponse | None:
        if request.method != "PATCH" or not request.path.startswith(f"{OURS}/sriovnodes/"):
            return None
        self.written[request.path.rpartition("/")[2]] += 1
        if sum(self.written.values()) <= self.after or self.reached.is_set():
            return None
        self.reached.set()
        return None if self.answered else refusal(504, "it may have been carried out")


async def follow(first: Controller) -> tuple[Controller, Kube]:
    """The next leader: a process that knows nothing yet."""
    where = Where(url=f"http://127.0.0.1:{first.api.port}", token=None, ca=None)
    clock = iter(range(0, 10**9, 1000))
    kube = Kube(where, connections=16, clock=lambda: float(next(clock)))
    second = Controller(first.api, kube)
    second.start()
    return second, kube


@pytest.mark.parametrize("answered", [True, False])
@pytest.mark.parametrize("after", [0, 1, 7, 16, 17, 29])
async def test_the_next_leader_writes_what_is_left_and_nothing_twice(
    first: Controller, after: int, answered: bool
) -> None:
    before = generations(first)
    writes: Any = Writes(after, answered=answered)
    first.api.fault = writes
    await first.put("b")
    await asyncio.wait_for(writes.reached.wait(), 30)
    await first.end()
    second, kube = await follow(first)
    async with kube:
        await second.until(lambda: all(second.asked(name) == ["a", "b"] for name in NAMES))
        # Time for a write too much: a later change is carried out, so everything before it has been.
        await second.api.put(f"{OURS}/sriovpolicies/a", {"metadata": {"name": "a"}, "spec": SPEC | {"priority": 5}})
        await second.put("c")
        await second.until(lambda: all(second.asked(name) == ["a", "b", "c"] for name in NAMES))
        await second.end()
    grown = {name: generation - before[name] for name, generation in generations(first).items()}
    assert set(grown.values()) <= {2, 3}, "once for b, once or twice for a and c"


@pytest.mark.parametrize("after", [0, 5, 20])
async def test_a_leader_without_the_lease_writes_nothing_beside_the_next_one(first: Controller, after: int) -> None:
    """It still runs and still hears everything, as a process does in its last moments."""
    writes: Any = Writes(after, answered=True)
    first.api.fault = writes
    await first.put("b")
    await asyncio.wait_for(writes.reached.wait(), 30)
    first.reconciler._leads = lambda: False
    under_way = sum(writes.written.values())
    second, kube = await follow(first)
    async with kube:
        await second.until(lambda: all(second.asked(name) == ["a", "b"] for name in NAMES))
        await second.end()
    most = Counter(writes.written.values())
    assert under_way <= after + 16 + 1, "sixteen at once"
    assert max(most) <= 2, "what was under way may be written by both, with the same content"
    assert all(first.asked(name) == ["a", "b"] for name in NAMES)
    specs = [first.api.objects[f"{OURS}/sriovnodes/{name}"]["spec"] for name in NAMES]
    assert all(spec == specs[0] for spec in specs)

"""A node that is at a long change says how far it is, and only while it gets further."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from virtfn_host.core.values.report import Report, StepResult
from virtfn_host.core.values.steps import Plan
from virtfn_operator.agent.ports import Patience
from virtfn_operator.agent.progress import telling

if TYPE_CHECKING:
    from tests.unit.operator.conftest import FakeNode


async def test_it_tells_when_there_is_news_and_ends_with_what_it_is_about() -> None:
    told: list[int] = []
    heard = asyncio.Event()
    carried = 5

    async def tell(number: int) -> None:
        told.append(number)
        heard.set()

    async with telling(tell, lambda: carried, every=0.001):
        await asyncio.sleep(0.02)
        assert told == []  # nothing was carried out since
        carried = 8
        await heard.wait()
        await asyncio.sleep(0.02)
    assert told == [3]
    assert len(asyncio.all_tasks()) == 1


async def test_an_error_of_what_it_is_about_passes_through() -> None:
    async def tell(_: int) -> None:
        raise AssertionError("there was no news")

    try:
        async with telling(tell, lambda: 0, every=3600):
            raise LookupError
    except LookupError:
        assert len(asyncio.all_tasks()) == 1


async def test_the_status_counts_down_while_steps_are_carried_out(fake_node: type[FakeNode]) -> None:
    node = fake_node()
    node.ask(node.config(4))
    plain = node.apply

    async def slowly(plan: Plan, on_result: Callable[[StepResult], None]) -> Report:
        results: list[StepResult] = []
        report = await plain(plan, results.append)
        for result in results:
            reports = len(node.statuses)
            on_result(result)
            async with asyncio.timeout(5):
                while len(node.statuses) == reports and result is not results[-1]:
                    await asyncio.sleep(0)
        return report

    node.apply = slowly  # type: ignore[method-assign]
    await node.agent(replace(Patience(), progress=0.001, reports=1000)).turn()
    left = [status["plan"]["steps"] for status in node.statuses if "plan" in status]
    assert left == sorted(left, reverse=True)
    assert len(set(left)) > 4
    assert node.readies()[-1] == "Converged"

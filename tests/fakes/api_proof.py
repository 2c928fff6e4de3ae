"""The proof `api-server`: every trouble for agent and controller, a minute each, several at once; prints a table."""

import asyncio
import logging
import tempfile
import time
from pathlib import Path

from api_cases import PROCESSES, Result, carry_out, troubles

SIDE_BY_SIDE = 12
"""Processes at once: each mostly waits, but starting one takes a second of a core."""


async def cases(seconds: float, names: list[str] | None = None) -> list[Result | str]:
    """Run all cases; return the result of each, or the error of a case that did not come to its end."""
    slots = asyncio.Semaphore(SIDE_BY_SIDE)

    async def one(name: str, process: str) -> Result | str:
        async with slots:
            with tempfile.TemporaryDirectory(prefix="virtfn-api-") as folder:
                try:
                    result: Result | str = await carry_out(name, process, Path(folder), seconds)
                except Exception as error:  # the other cases go on
                    result = f"{name:28} {process:10} did not come to its end: {error!r}"
        print(result, flush=True)
        return result

    return await asyncio.gather(*(one(name, process) for name in names or troubles() for process in PROCESSES))


def violated(results: list[Result | str]) -> int:
    """Return the number of results with a violation."""
    return sum(isinstance(result, str) or bool(result.violations) for result in results)


def prove(seconds: float) -> tuple[int, int, float]:
    """Run the proof; return cases tried, cases with a violation, and the seconds it took."""
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # clients that give up are expected
    began = time.monotonic()
    results = asyncio.run(cases(seconds))
    return len(results), violated(results), round(time.monotonic() - began, 1)

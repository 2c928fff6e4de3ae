"""Reports the progress of a long change, so that a node does not lose its turn as a silent one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager


@asynccontextmanager
async def telling(
    tell: Callable[[int], Awaitable[None]], carried: Callable[[], int], every: float
) -> AsyncIterator[None]:
    """While the body runs, call `tell` every so many seconds, if the number of steps has changed.

    Args:
        tell: takes the number of steps since the start. It is never cancelled: after half a request the status that the
            API server has would be unknown.
        carried: returns the number of steps carried out so far.
        every: seconds between two calls.
    """
    ended = asyncio.Event()
    began = carried()

    async def watch() -> None:
        told = began
        while True:
            try:
                async with asyncio.timeout(every):
                    await ended.wait()
                return
            except TimeoutError:
                if (now := carried()) != told:
                    told = now
                    await tell(now - began)

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        ended.set()
        await watching

"""Says how far a long change is, so that a node in its turn is not taken for a silent one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager


@asynccontextmanager
async def telling(
    tell: Callable[[int], Awaitable[None]], carried: Callable[[], int], every: float
) -> AsyncIterator[None]:
    """While the body runs, tell every so many seconds how many steps it has carried out, if they are more than before.

    Args:
        tell: gets that number; it is never cut short, because a status half sent is one that nobody knows.
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

"""A kubelet that is killed and started again while pods come and go.

Each process of the kubelet may see only one registration of a resource: if it sees two, the plugin ended the first one
itself. As soon as the devices are healthy, every Allocate must be answered.
"""

import asyncio
import random
import socket
import time
from dataclasses import dataclass

import grpc
from kubelet import FakeKubelet
from plugin_node import FAST, SLOW, Node

POOLS = (FAST, SLOW)


class KilledKubelet(FakeKubelet):
    """Ends like a killed process: its socket's file stays, and no process listens on it."""

    async def kill(self) -> None:
        await self.stop()
        path = self.folder / "kubelet.sock"
        if not path.exists():
            with socket.socket(socket.AF_UNIX) as dead:
                dead.bind(str(path))


@dataclass(frozen=True, kw_only=True)
class Restarts:
    """The outcome of a number of restarts."""

    restarts: int
    torn: int
    """Number of registrations that the plugin ended itself."""
    lost: int
    """Number of Allocate calls that were not answered."""
    answered: int
    longest: float
    """Longest time without the list of devices, from the start of a kubelet, in seconds."""

    @property
    def violations(self) -> int:
        return self.torn + self.lost


async def restarts(
    node: Node, number: int, chance: random.Random, *, away: tuple[float, float], up: tuple[float, float]
) -> Restarts:
    """Kill the kubelet and start it again; it is away and up for random times between two bounds, in seconds."""
    kubelet = node.kubelet
    assert isinstance(kubelet, KilledKubelet)
    node.publish(*(node.pool(name, at) for at, name in enumerate(POOLS)))
    await _healthy(node)
    torn = lost = answered = 0
    longest = 0.0
    for _ in range(number):
        await kubelet.kill()
        before = len(kubelet.sockets)
        await asyncio.sleep(chance.uniform(*away))
        await kubelet.start()
        began = time.monotonic()
        await _healthy(node)
        longest = max(longest, time.monotonic() - began)
        outcomes = await _pods(node, chance, seconds=chance.uniform(*up))
        answered, lost = answered + outcomes.count(True), lost + outcomes.count(False)
        torn += len(kubelet.sockets) - before - len(POOLS)
    return Restarts(restarts=number, torn=torn, lost=lost, answered=answered, longest=longest)


async def _healthy(node: Node) -> None:
    every = [(name, vfs) for name, vfs in zip(POOLS, (node.vfs(0), node.vfs(1)), strict=True)]
    healthy = {name: {str(vf): "Healthy" for vf in vfs} for name, vfs in every}
    await node.kubelet.until(lambda: all(node.kubelet.health(name) == health for name, health in healthy.items()), 60)


async def _pods(node: Node, chance: random.Random, seconds: float) -> list[bool]:
    """Admit and start pods one after the other; return for each whether that succeeded."""
    outcomes: list[bool] = []
    end = time.monotonic() + seconds
    while not outcomes or time.monotonic() < end:
        at = chance.randrange(len(POOLS))
        wanted = [str(vf) for vf in chance.sample(node.vfs(at), k=chance.randint(1, 3))]
        try:
            await node.kubelet.allocate(POOLS[at], *wanted)
            await node.kubelet.pre_start(POOLS[at], *wanted)
        except (grpc.aio.AioRpcError, KeyError):
            outcomes.append(False)
        else:
            outcomes.append(True)
        await asyncio.sleep(0.01)
    return outcomes

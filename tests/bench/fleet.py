"""`make bench-fleet`: the controller beside a bare client, with a real API server and thousands of simulated agents.

The floor is a client that writes the same patches, as many at once, while the same agents answer. Sizes are the
arguments, 500, 1000 and 5000 without any. What a single process takes is read from /proc, what it asks from the API
server's audit log.
"""

import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from figures import RESULTS, Figure, keep, paired, show
from fleet_cluster import MERGE, OURS, Cluster, cluster, environment, send, side_by_side
from fleet_objects import edit, name_of, node, patch_for, policy, state, status

from virtfn_lab.paths import repository
from virtfn_lab.progress import say, step
from virtfn_operator.api.node_status import State

SIZES = (500, 1000, 5000)
ROUNDS, FEWER_FROM = 3, 2000
"""Rounds, and the size from which there is one less: at 5,000 nodes a round takes minutes."""

FITTED = 10_000
"""Size for which the memory peak is fitted to those of the smallest and the largest fleet."""

PEAK = "memory peak"
PARALLEL = 16
"""Writes at once, of the floor as of the controller."""

POLICY = f"{OURS}/sriovpolicies/fast"
SETTLED = 6.0
"""Seconds until the controller has nothing left to do after a change."""

CHANGES, IDLE = 30.0, 60.0
"""Seconds of ten changes each, and seconds of rest."""


@dataclass(kw_only=True)
class Fleet:
    """A cluster with its agents."""

    cluster: Cluster
    client: aiohttp.ClientSession
    number: int
    told: dict[tuple[str, int], asyncio.Future[float]] = field(default_factory=dict)

    def when(self, what: str, generation: int) -> asyncio.Future[float]:
        """Return the time at which all nodes have seen (`specs`) or answered (`answers`) a generation."""
        return self.told.setdefault((what, generation), asyncio.get_running_loop().create_future())

    async def edited(self) -> dict[str, Any]:
        """Edit the policy; return it."""
        answer = await send(self.client, "PATCH", POLICY, edit(random.randrange(-1000, 1000)), MERGE)
        found: dict[str, Any] = json.loads(answer)
        return found


@asynccontextmanager
async def fleet(folder: Path, number: int) -> AsyncIterator[Fleet]:
    """Start a cluster with so many nodes, and their agents."""
    async with cluster(folder) as found, found.client() as client:
        with step(f"{number} Nodes and SriovNodes"):
            await side_by_side(PARALLEL, (_make(client, one) for one in range(number)))
            await send(client, "POST", f"{OURS}/sriovpolicies", policy())
        words = (str(Path(__file__).with_name("fleet_agents.py")), str(folder), str(found.port), str(number))
        agents = await asyncio.create_subprocess_exec(
            sys.executable, *words, stdout=asyncio.subprocess.PIPE, env=os.environ, limit=1 << 20
        )
        made = Fleet(cluster=found, client=client, number=number)
        watching = asyncio.Event()
        hearing = asyncio.create_task(_hear(agents, made, watching))
        try:
            await watching.wait()
            yield made
        finally:
            hearing.cancel()
            agents.kill()
            await agents.wait()


async def _make(client: aiohttp.ClientSession, number: int) -> None:
    made = json.loads(await send(client, "POST", "/api/v1/nodes", node(number)))
    await send(client, "POST", f"{OURS}/sriovnodes", state(number, made["metadata"]["uid"]))
    body = {"status": status(name_of(number), 1, [])}
    await send(client, "PATCH", f"{OURS}/sriovnodes/{name_of(number)}/status", body, MERGE)


async def _hear(agents: asyncio.subprocess.Process, made: Fleet, watching: asyncio.Event) -> None:
    if agents.stdout is None:
        raise RuntimeError("the agents have no output")
    async for line in agents.stdout:
        said = json.loads(line)
        if "watching" in said:
            watching.set()
        for what in ("specs", "answers"):
            if what in said and not (when := made.when(what, said[what])).done():
                when.set_result(said["at"])


# --- the controller --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What the controller has taken so far."""

    seconds: float
    cpu: float
    logged: int

    @classmethod
    def now(cls, pid: int, found: Cluster) -> "Spent":
        """Read it; the CPU time of all threads is in nanoseconds (Documentation/scheduler/sched-stats.rst)."""
        tasks = Path(f"/proc/{pid}/task").iterdir()
        cpu = sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
        return cls(seconds=time.monotonic(), cpu=cpu, logged=found.logged())


def peak(pid: int) -> float:
    """Return the most memory that a process had, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


@asynccontextmanager
async def controller(found: Cluster) -> AsyncIterator[int]:
    """Run the real process; yield its number."""
    with (found.folder / "controller.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "virtfn_operator",
            "controller",
            cwd="/",
            env=environment(found),
            stderr=log,
            stdout=log,
        )
    mine, ended = asyncio.current_task(), asyncio.create_task(process.wait())

    def told(_: object) -> None:
        if mine is not None and not ended.cancelled():
            mine.cancel("the controller ended by itself; is the machine too busy?")

    ended.add_done_callback(told)
    try:
        yield process.pid
    finally:
        ended.cancel()
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _ready(made: Fleet, generation: int) -> float:
    """Wait until the policy says Ready of this generation; return the time."""
    while True:
        async with made.client.get(POLICY) as response:
            body = json.loads(await response.read())
        conditions = (body.get("status") or {}).get("conditions") or []
        ready = [c for c in conditions if c["type"] == "Ready" and c["observedGeneration"] >= generation]
        if ready and ready[0]["status"] == "True":
            return time.monotonic()
        await asyncio.sleep(0.1)


# --- figures ---------------------------------------------------------------------------------------------------------


async def _floor(made: Fleet) -> float:
    """Return the seconds that a bare client takes until all nodes have seen a spec."""
    body = await made.edited()
    generation, patch = body["metadata"]["generation"], patch_for(body)
    began = time.monotonic()
    names = [name_of(number) for number in range(made.number)]
    writes = (send(made.client, "PATCH", f"{OURS}/sriovnodes/{name}", patch, MERGE) for name in names)
    await side_by_side(PARALLEL, writes)
    took = await made.when("specs", generation) - began
    await made.when("answers", generation)
    return took


async def _edit(made: Fleet) -> tuple[float, float]:
    """Return the seconds until all nodes have seen an edit, and from the last answer until the policy is Ready."""
    began = time.monotonic()
    generation = (await made.edited())["metadata"]["generation"]
    ready = asyncio.create_task(_ready(made, generation))
    seen, answered = await made.when("specs", generation), await made.when("answers", generation)
    return seen - began, max(0.0, await ready - answered)


async def _flip(made: Fleet, number: int, wrong: bool) -> None:
    """Change what one node reports."""
    path = f"{OURS}/sriovnodes/{name_of(number)}"
    async with made.client.get(path) as response:
        body = json.loads(await response.read())
    word = State.FAILED if wrong else State.READY
    report = status(name_of(number), body["metadata"]["generation"], body["spec"]["policies"], word)
    await send(made.client, "PATCH", f"{path}/status", {"status": report}, MERGE)


async def _one_change(made: Fleet, pid: int, wrong: bool, idle: Sequence[float]) -> tuple[float, float]:
    """Return requests and milliseconds of CPU for one node's change, without what an idle controller takes."""
    before = Spent.now(pid, made.cluster)
    await _flip(made, 7, wrong)
    await asyncio.sleep(SETTLED)
    after = Spent.now(pid, made.cluster)
    cpu = after.cpu - before.cpu - idle[1] * (after.seconds - before.seconds)
    return float(len(_asked(made, before.logged))), 1000 * max(0.0, cpu)


def _asked(made: Fleet, since: int) -> list[str]:
    """Return the controller's requests that are about objects: not the lease, and not watches that go on."""
    requests = made.cluster.requests(since)
    return [verb for verb, uri in requests if verb != "watch" and "/leases/" not in uri]


async def _many_changes(made: Fleet, pid: int) -> tuple[float, float, float]:
    """Return the share of a core, the lists and the requests a second while ten nodes a second change."""
    before, until, number = Spent.now(pid, made.cluster), time.monotonic() + CHANGES, 0
    while time.monotonic() < until:
        due = before.seconds + number / 10
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        await _flip(made, number * 7 % made.number, number // 50 % 2 == 0)
        number += 1
    after = Spent.now(pid, made.cluster)
    asked = Counter(_asked(made, before.logged))
    seconds = after.seconds - before.seconds
    say(f"{number} changes in {seconds:.1f} s: {dict(asked)}")
    return 100 * (after.cpu - before.cpu) / seconds, float(asked["list"]), sum(asked.values()) / seconds


async def _idle(made: Fleet, pid: int) -> tuple[float, float]:
    """Return requests a second, lease and watches included, and the share of a core at rest."""
    before = Spent.now(pid, made.cluster)
    await asyncio.sleep(IDLE)
    after = Spent.now(pid, made.cluster)
    seconds = after.seconds - before.seconds
    return len(made.cluster.requests(before.logged)) / seconds, (after.cpu - before.cpu) / seconds


def _goal(name: str, ours: Sequence[float], goal: float, unit: str) -> Figure:
    return paired(f"{name}, beside its goal", ours, [goal] * len(ours), unit)


def _allowed(number: int) -> float:
    """Return the goal for the memory peak, in MiB."""
    return 200.0 if number <= 5000 else 256.0


def fitted(peaks: dict[int, float]) -> list[Figure]:
    """Return the memory peak of a larger fleet, on the line through the smallest and the largest one measured."""
    small, large = min(peaks), max(peaks)
    if small == large or FITTED in peaks:
        return []
    most = peaks[large] + (peaks[large] - peaks[small]) / (large - small) * (FITTED - large)
    return [_goal(f"fleet of {FITTED}: {PEAK}, fitted from {small} and {large}", [most], _allowed(FITTED), "MiB")]


async def measure(number: int) -> list[Figure]:
    """Measure with so many nodes."""
    of, rounds = f"fleet of {number}:", ROUNDS - (number >= FEWER_FROM)
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="virtfn-fleet-") as folder:
        async with fleet(Path(folder), number) as made:
            floors = [await _floor(made) for _ in range(rounds)]
            say(f"floor: {floors}")
            began = time.monotonic()
            async with controller(made.cluster) as pid:
                generation = (await made.edited())["metadata"]["generation"]
                await _ready(made, generation)
                say(f"the controller has begun, after {time.monotonic() - began:.1f} s; {peak(pid):.0f} MiB")
                edits = [await _edit(made) for _ in range(rounds)]
                say(f"edits: {edits}; {peak(pid):.0f} MiB")
                await asyncio.sleep(SETTLED)
                idle = await _idle(made, pid)
                say(f"idle: {idle}")
                single = [await _one_change(made, pid, wrong, idle) for wrong in (True, False) * rounds]
                say(f"single changes: {single}")
                many = await _many_changes(made, pid)
                say(f"ten changes a second: {many}")
                most = peak(pid)
            floors.append(await _floor(made))
    floors = floors[1:]  # the first one warms the API server up
    return [
        paired(f"{of} an edit has reached all specs, beside a bare client", [one for one, _ in edits], floors),
        _goal(f"{of} policy Ready after the last answer", [late for _, late in edits], 3.0, "s"),
        _goal(f"{of} one node's change, requests", [one for one, _ in single], 5.0, "requests"),
        _goal(f"{of} one node's change, CPU", [cpu for _, cpu in single], 50.0, "ms"),
        _goal(f"{of} ten changes a second, CPU", [many[0]], 5.0, "% of a core"),
        _goal(f"{of} ten changes a second, lists (goal 0)", [many[1]], 1.0, "lists"),
        _goal(f"{of} idle", [idle[0]], 1.0, "requests/s"),
        _goal(f"{of} {PEAK}", [most], _allowed(number), "MiB"),
    ]


def main(words: Sequence[str]) -> None:
    """Entry point; the arguments are sizes."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the API server ends with us
    figures: list[Figure] = []
    peaks = {}
    for number in [int(word) for word in words] or SIZES:
        say(f"{number} nodes; load of the machine before: {os.getloadavg()[0]:.1f}")
        figures += asyncio.run(measure(number))
        peaks[number] = next(figure.ours for figure in reversed(figures) if PEAK in figure.name)
        keep(figures, instead_of=f"fleet of {number}:")
    figures += fitted(peaks)
    keep(figures, instead_of=f"fleet of {FITTED}:")
    show(figures)
    say(f"written to {RESULTS.resolve().relative_to(repository())}")


if __name__ == "__main__":
    main(sys.argv[1:])

"""A process that answers as all agents do: it watches the SriovNodes and reports on each spec that it sees.

Started by `make bench-fleet`. Reads the address, token and CA from its arguments; writes one JSON line for each thing
that the bench wants to know: every spec seen and every answer given, by the policy's generation.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
from fleet_cluster import MERGE, OURS, Cluster, send
from fleet_objects import status

PARALLEL = 16


class Agents:
    """All agents of the fleet."""

    def __init__(self, client: aiohttp.ClientSession, number: int) -> None:
        self._client = client
        self._number = number
        self._queue: asyncio.Queue[tuple[str, int, list[Any]]] = asyncio.Queue()
        self._seen: dict[str, int] = {}
        self._specs: Counter[int] = Counter()
        self._answers: Counter[int] = Counter()

    async def run(self) -> None:
        """Watch and answer for ever."""
        await asyncio.gather(self._watch(), *(self._answer() for _ in range(PARALLEL)))

    async def _watch(self) -> None:
        version = await self._list()
        print(json.dumps({"watching": self._number}), flush=True)
        while True:
            query = {"watch": "true", "resourceVersion": version, "allowWatchBookmarks": "true"}
            timeout = aiohttp.ClientTimeout(total=None)
            async with self._client.get(f"{OURS}/sriovnodes", params=query, timeout=timeout) as response:
                rest = b""
                async for part in response.content.iter_any():
                    *whole, rest = (rest + part).split(b"\n")
                    for line in whole:
                        event = json.loads(line)
                        version = event["object"]["metadata"]["resourceVersion"]
                        if event["type"] in ("ADDED", "MODIFIED"):
                            self._see(event["object"])

    async def _list(self) -> str:
        query, version = {"limit": "250"}, ""
        while True:
            async with self._client.get(f"{OURS}/sriovnodes", params=query) as response:
                page = json.loads(await response.read())
            for item in page["items"]:
                self._seen[item["metadata"]["name"]] = item["metadata"]["generation"]
            version = str(page["metadata"]["resourceVersion"])
            if not (more := page["metadata"].get("continue")):
                return version
            query = {"limit": "250", "continue": more}

    def _see(self, body: dict[str, Any]) -> None:
        metadata = body["metadata"]
        name, generation = metadata["name"], metadata["generation"]
        if self._seen.get(name) == generation:
            return
        self._seen[name] = generation
        asked = (body.get("spec") or {}).get("policies") or []
        self._queue.put_nowait((name, generation, asked))
        self._count("specs", self._specs, asked)

    async def _answer(self) -> None:
        while True:
            name, generation, asked = await self._queue.get()
            body = {"status": status(name, generation, asked)}
            await send(self._client, "PATCH", f"{OURS}/sriovnodes/{name}/status", body, MERGE)
            self._count("answers", self._answers, asked)

    def _count(self, what: str, counted: Counter[int], asked: list[Any]) -> None:
        """Tell when all nodes have come so far."""
        if asked:
            generation = asked[0]["generation"]
            counted[generation] += 1
            if counted[generation] == self._number:
                print(json.dumps({what: generation, "at": time.monotonic()}), flush=True)


async def _main(folder: str, port: str, number: str) -> None:
    async with Cluster(folder=Path(folder), port=int(port)).client() as client:
        await Agents(client, int(number)).run()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:4]))

"""Asks `kubectl virtfn plan` about a fleet where some policies are carried out already."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fake_cluster import Answer, Ask
from plan_law import CONTROLLER, PODS, POLICIES, PlanCluster, PlanFleet

Body = dict[str, Any]
Planned = Callable[..., Answer]


def policy(name: str, count: int | None = 4, *indexes: str, **spec: Any) -> Body:
    """Return a policy with one pool for each text of indexes, or one pool of all VFs."""
    pools = [{"resourceName": f"{name}-{it}", "indexes": it} for it in indexes] or [{"resourceName": name}]
    functions = {"pools": pools, **({} if count is None else {"count": count})}
    return {
        "metadata": {"name": name},
        "spec": {"devices": [{"vendor": "8086"}], "virtualFunctions": functions, **spec},
    }


def whole(name: str, **spec: Any) -> Body:
    """Return a policy of whole functions."""
    return {
        "metadata": {"name": name},
        "spec": {"devices": [{"vendor": "8086"}], "wholeFunctions": {"resourceName": name}, **spec},
    }


@contextmanager
def fleets_asked(ask: Ask, folder: Path) -> Iterator[Planned]:
    """Return a function that carries out policies on a fleet, and then asks for the plan of one more or of an end.

    `held` is the pool of which a pod has a VF on the first node; `heard` is whether policies have a status.
    """
    made: list[PlanFleet] = []

    def of(
        there: list[Body], given: Body | None, *words: str, nodes: int = 1, held: str = "", heard: bool = True
    ) -> Answer:
        fleet = PlanFleet()
        made.append(fleet)
        fleet.lists[PODS].append(CONTROLLER)
        for number in range(nodes):
            fleet.add(f"n{number}", {"number": str(number)}, pfs=1, total_vfs=7)
        for body in there:
            fleet.put(POLICIES, body)
        asyncio.run(fleet.settle())
        first = fleet.nodes["n0"]
        for pool in first.file.pools if held and first.file else ():
            if pool.resource_name == f"virtfn.dev/{held}":
                first.hold(pool.devices[0].address, "dpdk-0", opened=True)
        for body in fleet.lists[POLICIES] if not heard else ():
            del body["status"]
        path = folder / "plan.yaml"
        path.write_text(json.dumps(given))
        return ask(PlanCluster(fleet, ""), "plan", *(["-f", str(path)] if given else []), *words)

    yield of
    for fleet in made:
        for node in fleet.nodes.values():
            node.close()

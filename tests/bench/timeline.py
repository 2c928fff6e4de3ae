"""Time the stages from `kubectl apply` to allocatable in a real cluster, in seconds after the apply."""

import json
import threading
import time

from virtfn_lab.cluster import Cluster, down, up
from virtfn_lab.node import Node, policy
from virtfn_lab.product import allocatable, functions, install

RUNS = "/run/watch-node.runs"
"""File that watch_node.py makes when it begins to look."""

STAGES = ("VFs bound", "pool file", "kubelet told", "allocatable")


def time_lines(runs: int) -> list[dict[str, float]]:
    """Make that many runs in one new cluster; return for each the seconds after the apply by stage."""
    cluster = up()
    try:
        install(cluster)
        return [_one(cluster, f"bench-{run}") for run in range(runs)]
    finally:
        down()


def _one(cluster: Cluster, name: str) -> dict[str, float]:
    """Make one run, with a pool of its own, because the kubelet remembers the devices of a pool that is gone."""
    node = Node(cluster)
    before = functions(cluster)
    ahead = _clock_ahead(node)
    answer: list[str] = []
    watching = threading.Thread(
        target=lambda: answer.append(node.shell(f"python3 -I /src/tests/bench/watch_node.py virtfn.dev/{name}"))
    )
    watching.start()
    node.until("the watcher runs", lambda: node.cluster.node_exec(1, f"rm {RUNS}").returncode == 0)
    began = time.time()
    node.apply(policy(name))
    node.until("14 are allocatable", lambda: allocatable(cluster, f"virtfn.dev/{name}") == 14)
    ended = time.time()
    watching.join()
    seen = {stage: at - ahead - began for stage, at in json.loads(answer[0]).items()}
    cluster.kubectl("delete", "svp", name)
    node.until("everything is given back", lambda: functions(cluster) == before)
    node.until("the pool is gone", lambda: allocatable(cluster, f"virtfn.dev/{name}") == 0)
    return seen | {"allocatable": ended - began}


def _clock_ahead(node: Node) -> float:
    """Return by how many seconds the node's clock is ahead of ours; the error is half a round trip."""
    asked = time.time()
    theirs = float(node.shell("date +%s.%N"))
    return theirs - (asked + time.time()) / 2

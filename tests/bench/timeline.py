"""From `kubectl apply` to allocatable in a real cluster: when what is seen, in seconds after the apply."""

import json
import threading
import time

from virtfn_lab.cluster import Cluster, down, up
from virtfn_lab.node import Node, policy
from virtfn_lab.product import allocatable, functions, install

RUNS = "/run/watch-node.runs"
"""What watch_node.py leaves when it begins to look."""

STAGES = ("VFs bound", "pool file", "kubelet told", "allocatable")


def time_lines(runs: int) -> list[dict[str, float]]:
    """Every run in a cluster made for it: stage -> seconds after the apply."""
    cluster = up()
    try:
        install(cluster)
        return [_one(cluster, f"bench-{run}") for run in range(runs)]
    finally:
        down()


def _one(cluster: Cluster, name: str) -> dict[str, float]:
    """Every run has a pool of its own, because the kubelet remembers the devices of one that is gone."""
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
    """Seconds by which the node's clock is ahead of ours; half of a question's way is its error."""
    asked = time.time()
    theirs = float(node.shell("date +%s.%N"))
    return theirs - (asked + time.time()) / 2

"""The end of a history of `rollout_law.py`: all becomes quiet, but for one policy on one node.

That policy fails there for ever, or cannot go on because a process holds its function, or the node dies in a turn, also
while it waits for pods to be evicted. What other policies are asked must be carried out on every other node, and, where
it is alive, on that one, too. Only a node with a policy that another node's failure has stopped may wait.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rollout_law import Cluster
    from rollout_nodes import Node

ROUNDS = 150
SECONDS = 300
"""Of each round."""
EDIT, FIRST_END = 3, 6
"""Rounds: of one more edit, and after which it may be seen that no node waits any more."""


def becomes_calm(cluster: Cluster) -> None:
    """Let a quiet time pass.

    Raises:
        AssertionError: a node waits for ever without a reason.
    """
    _clear(cluster)
    rng = cluster.random
    culprit = cluster.nodes[rng.choice(sorted(cluster.nodes))]
    wrong, trouble = (
        rng.choice(cluster.matching(culprit.name)),
        rng.choice(("fails", "fails", "held", "dead", "dead in an eviction")),
    )
    cluster.log.append(f"{wrong} {trouble} on {culprit.name}")
    culprit.parts[wrong].cursed = trouble == "fails"
    culprit.process = wrong if trouble == "held" or (trouble == "dead" and rng.random() < 0.5) else ""
    dies = rng.randrange(EDIT + 3) if trouble.startswith("dead") else ROUNDS
    for number in range(ROUNDS):
        if number == EDIT:
            cluster.edits()
        _round(cluster, dying=culprit if number >= dies else None, while_it_evicts=trouble != "dead")
        if number >= FIRST_END and not waiting(cluster, culprit.name, wrong):
            cluster.seen["calm ends"] += 1
            return
    assert not (left := waiting(cluster, culprit.name, wrong)), f"these wait for ever: {left}"


def _clear(cluster: Cluster) -> None:
    """End everything that may hold up a node, except pods that may be evicted."""
    cluster.finish()
    cluster.calm = True
    cluster.pods = {uid: pod for uid, pod in cluster.pods.items() if not (pod.daemon or pod.budget or pod.hangs)}
    _resume(cluster)
    for node in cluster.nodes.values():
        node.cordoned, node.process, node.dead = False, "", False


def _resume(cluster: Cluster) -> None:
    """Pause and resume every rollout: a failure of a node that has left the policy is believed no more."""
    for policy in cluster.policies.values():
        policy["metadata"]["annotations"] = {"virtfn.dev/paused": "true"}
    while not all(it.get("status", {}).get("rollout", {}).get("paused") for it in cluster.policies.values()):
        cluster.reconcile()
    for policy in cluster.policies.values():
        policy["metadata"].pop("annotations")


def waiting(cluster: Cluster, culprit: str, wrong: str) -> list[tuple[str, str]]:
    """The nodes, each with a policy, that are to carry something out and are not held back by a failure elsewhere."""
    return [
        (name, policy)
        for name, node in cluster.nodes.items()
        if not node.dead and not any(cluster.stopped(it, name) for it in cluster.matching(name))
        for policy in cluster.matching(name)
        if cluster.wants(node, policy) and (name, policy) != (culprit, wrong) and not blocked(cluster, name, policy)
    ]


def blocked(cluster: Cluster, name: str, policy: str) -> bool:
    """Whether pods hold it, and are not to be evicted."""
    return bool(cluster.holders(cluster.nodes[name], policy)) and not cluster.says_evict(policy)


def _round(cluster: Cluster, dying: Node | None, *, while_it_evicts: bool) -> None:
    cluster.now += timedelta(seconds=SECONDS)
    for _ in range(2):
        cluster.reconcile()
        for node in cluster.nodes.values():
            cluster.sees(node)
            cluster.round(node)
    if dying is not None and dying.may and not dying.dead:
        evicts = "evict" in dying.body.get("status", {}).get("plan", {})
        dying.dead = evicts or not while_it_evicts
        cluster.seen["deaths in an eviction"] += evicts
    for node in cluster.nodes.values():
        cluster.ends(node)
        cluster.tries_again(node)
        cluster.round(node)
    cluster.evicted_pod_ends()
    cluster.check_limits()

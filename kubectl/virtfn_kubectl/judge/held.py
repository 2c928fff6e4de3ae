"""Which functions of a node a pod holds, as the node's status names them."""

import re
from collections.abc import Iterator

from virtfn_host.core.values.fields import PolicyError
from virtfn_host.core.values.indexes import read_indexes
from virtfn_kubectl.read.fleet import Fleet, NodeSeen
from virtfn_operator.api.node_status import FunctionStatus

POD = "pod "
"""How a holder that is a pod begins: `pod default/dpdk-0`."""
_BY_POD = re.compile(r"pod |a pod that is being started ")
_BY_NO_POD = re.compile(r"process \d+ \(|\S+ of the same IOMMU group: ")
"""How other holders begin: a program that has the function open, or the use of another function of its group."""


def functions_of(fleet: Fleet, pod: str) -> list[str]:
    """Return what a pod, as `namespace/name`, holds: `VF 0-1 of 0000:3b:00.0 on node-1`."""
    return [f"{text} on {node.name}" for node in fleet.nodes for text in _on(node, f"{POD}{pod}")]


def _on(node: NodeSeen, holder: str) -> Iterator[str]:
    for function in node.functions:
        if holder in function.held_by:
            yield function.address
        for run in function.vfs:
            if holder in run.held_by:
                yield f"VF {run.indexes} of {function.address}"


def holders_of(node: NodeSeen, resource: str) -> tuple[str, ...]:
    """Return who holds functions of a pool on a node, each once."""
    return tuple(dict.fromkeys(holder for function in node.functions for holder in _holders(function, resource)))


def _holders(function: FunctionStatus, resource: str) -> Iterator[str]:
    if function.pool == resource:
        yield from function.held_by
    for run in function.vfs:
        if run.pool == resource:
            yield from run.held_by


def counted(node: NodeSeen, resource: str) -> tuple[int, int]:
    """Return how many functions of a pool pods hold, and how many only something that is no pod, as far as is named."""
    held = [entry for function in node.functions for entry in _held(function, resource)]
    by_pods = sum(number for number, holders in held if any(map(_BY_POD.match, holders)))
    by_others = sum(number for number, holders in held if holders and all(map(_BY_NO_POD.match, holders)))
    return by_pods, by_others


def _held(function: FunctionStatus, resource: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield numbers of functions of a pool, each with their holders."""
    if function.pool == resource:
        yield 1, function.held_by
    for run in function.vfs:
        if run.pool == resource:
            yield _number(run.indexes), run.held_by


def _number(indexes: str) -> int:
    """Return how many VFs a status lists; 0 where its text cannot be read: they may have any holder."""
    try:
        return len(read_indexes(indexes, text_limit=len(indexes), range_limit=len(indexes)))
    except PolicyError:
        return 0


def pods_on(node: NodeSeen) -> tuple[str, ...]:
    """Return the pods that hold functions of a node, as `namespace/name`, each once."""
    runs = [run.held_by for function in node.functions for run in function.vfs]
    every = [holder for held in [*(function.held_by for function in node.functions), *runs] for holder in held]
    return tuple(dict.fromkeys(holder.removeprefix(POD) for holder in every if holder.startswith(POD)))

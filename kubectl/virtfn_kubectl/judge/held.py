"""Which functions of a node a pod holds, as the node's status names them."""

from collections.abc import Iterator

from virtfn_kubectl.read.fleet import Fleet, NodeSeen
from virtfn_operator.api.node_status import FunctionStatus

POD = "pod "
"""How a holder that is a pod begins: `pod default/dpdk-0`."""


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


def pods_on(node: NodeSeen) -> tuple[str, ...]:
    """Return the pods that hold functions of a node, as `namespace/name`, each once."""
    runs = [run.held_by for function in node.functions for run in function.vfs]
    every = [holder for held in [*(function.held_by for function in node.functions), *runs] for holder in held]
    return tuple(dict.fromkeys(holder.removeprefix(POD) for holder in every if holder.startswith(POD)))

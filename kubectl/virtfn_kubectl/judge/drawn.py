"""What a picture of a node shows: its functions by NUMA node, VFs in runs that are alike, pools and holders."""

from collections.abc import Iterable
from dataclasses import dataclass

from virtfn_host.core.values.fields import PolicyError
from virtfn_host.core.values.indexes import read_indexes
from virtfn_kubectl.judge.verdict import Verdict, node_verdict
from virtfn_kubectl.read.fleet import NodeSeen
from virtfn_operator.api.node_status import FunctionStatus, VfRun

FUNCTIONS_LIMIT, RUNS_LIMIT, VFS_LIMIT = 64, 32, 4096
"""Functions of a picture, runs of one function, and VFs of a run, which are counted from the status's own text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnRun:
    """VFs of one PF that are alike."""

    indexes: str
    vfs: tuple[int, ...]
    """Their indexes one by one; empty where the text cannot be read."""
    driver: str
    pool: str
    holders: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnFunction:
    """A PF, or a function that is handed out whole."""

    address: str
    ids: str
    netdev: str
    driver: str
    group: int | None
    made: int
    total: int | None
    """VFs that it can make; None: it has no SR-IOV."""
    pool: str
    """Empty unless it is handed out whole."""
    holders: tuple[str, ...]
    policies: tuple[str, ...]
    runs: tuple[DrawnRun, ...]
    more_runs: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnPlace:
    """The functions of one NUMA node."""

    numa_node: int | None
    functions: tuple[DrawnFunction, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnNode:
    """A node, as its picture shows it."""

    name: str
    verdict: Verdict
    agent_version: str
    kernel: str
    vfs: int
    in_use: int
    places: tuple[DrawnPlace, ...]
    more: int
    """Functions that are left out."""

    @property
    def pools(self) -> tuple[str, ...]:
        """Every pool of the picture, in the order of its first function."""
        functions = [function for place in self.places for function in place.functions]
        named = [name for function in functions for name in (function.pool, *(run.pool for run in function.runs))]
        return tuple(dict.fromkeys(name for name in named if name))


def drawn(node: NodeSeen) -> DrawnNode:
    """Return what a picture of this node shows."""
    shown = node.functions[:FUNCTIONS_LIMIT]
    return DrawnNode(
        name=node.name,
        verdict=node_verdict(node),
        agent_version=node.agent_version,
        kernel=node.kernel,
        vfs=node.vfs,
        in_use=node.in_use,
        places=tuple(_places(shown)),
        more=len(node.functions) - len(shown),
    )


def _places(functions: Iterable[FunctionStatus]) -> Iterable[DrawnPlace]:
    """Return functions by NUMA node; those without one come last."""
    by_numa: dict[int | None, list[DrawnFunction]] = {}
    for function in functions:
        by_numa.setdefault(function.numa_node, []).append(_function(function))
    for number in sorted(by_numa, key=lambda it: (it is None, it or 0)):
        yield DrawnPlace(numa_node=number, functions=tuple(sorted(by_numa[number], key=lambda it: it.address)))


def _function(seen: FunctionStatus) -> DrawnFunction:
    return DrawnFunction(
        address=seen.address,
        ids=f"{seen.vendor}:{seen.device}",
        netdev=seen.netdev or "",
        driver=seen.driver or "no driver",
        group=seen.iommu_group,
        made=seen.num_vfs,
        total=seen.total_vfs,
        pool=seen.pool or "",
        holders=seen.held_by,
        policies=seen.policies,
        runs=tuple(_run(run) for run in seen.vfs[:RUNS_LIMIT]),
        more_runs=max(0, len(seen.vfs) - RUNS_LIMIT),
    )


def _run(seen: VfRun) -> DrawnRun:
    return DrawnRun(
        indexes=seen.indexes,
        vfs=_numbers(seen.indexes),
        driver=seen.driver or "no driver",
        pool=seen.pool or "",
        holders=seen.held_by,
    )


def _numbers(text: str) -> tuple[int, ...]:
    try:
        found = read_indexes(text, "indexes")
    except PolicyError:
        return ()
    return tuple(found) if len(found) <= VFS_LIMIT else ()

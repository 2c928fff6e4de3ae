"""Reads SriovNodes with their statuses: what the controller reads of them, and functions and pools for people."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from virtfn_kubectl.read.fleet import NodeSeen
from virtfn_operator.api.conditions import MESSAGE_LIMIT
from virtfn_operator.api.foreign import mapping, number, optional_text, text
from virtfn_operator.api.node_state import NodeState, read_node
from virtfn_operator.api.node_status import BlockedStatus, FunctionStatus, PoolStatus, VfRun, WithheldStatus

FUNCTIONS_LIMIT, RUNS_LIMIT, POOLS_LIMIT, TEXTS_LIMIT = 1024, 4096, 1024, 256
"""The schema's bounds."""

_Part = TypeVar("_Part")


def read_node_seen(body: Mapping[str, Any]) -> NodeSeen:
    """Read a SriovNode as the API server gives it."""
    state, status, unread = read_node(body), mapping(body.get("status")), list[str]()
    summary, plan = mapping(status.get("summary")), mapping(status.get("plan"))
    return NodeSeen(
        state=state,
        functions=_parts(status.get("functions"), "status.functions", FUNCTIONS_LIMIT, _function, unread),
        pools=_parts(status.get("pools"), "status.pools", POOLS_LIMIT, _pool, unread),
        blocked=_parts(plan.get("blocked"), "status.plan.blocked", TEXTS_LIMIT, _blocked, unread),
        agent_version=text(status.get("agentVersion"), 128),
        kernel=text(status.get("kernel"), 256),
        pfs=number(summary.get("pfs")) or 0,
        vfs=number(summary.get("vfs")) or 0,
        in_use=number(summary.get("inUse")) or 0,
        asked=tuple(_asked(state)),
        unread=tuple(unread),
    )


def _asked(state: NodeState) -> Iterator[str]:
    for item in state.spec.policies if state.spec else ():
        if name := text(mapping(item).get("name"), 253):
            yield name


def _parts(
    value: object, path: str, most: int, read: Callable[[Mapping[str, Any]], _Part | None], unread: list[str]
) -> tuple[_Part, ...]:
    """Read the entries of a list, at most `most`; what cannot be read is added to `unread`."""
    if value is None:
        return ()
    if not isinstance(value, list):
        unread.append(f"{path} is not a list")
        return ()
    if len(value) > most:
        unread.append(f"{path} has {len(value)} entries; the first {most} are shown")
    read_parts = [read(item) if isinstance(item, Mapping) else None for item in value[:most]]
    unread.extend(f"{path}[{n}] cannot be read" for n, part in enumerate(read_parts) if part is None)
    return tuple(part for part in read_parts if part is not None)


def _function(item: Mapping[str, Any]) -> FunctionStatus | None:
    if not (address := text(item.get("address"), 32)):
        return None
    unread: list[str] = []
    return FunctionStatus(
        address=address,
        vendor=text(item.get("vendor"), 16),
        device=text(item.get("device"), 16),
        class_=text(item.get("class"), 16),
        netdev=optional_text(item.get("netdev"), 128),
        driver=optional_text(item.get("driver"), 128),
        numa_node=number(item.get("numaNode")),
        iommu_group=number(item.get("iommuGroup")),
        total_vfs=number(item.get("totalVfs")),
        num_vfs=number(item.get("numVfs")) or 0,
        pool=optional_text(item.get("pool"), 317),
        held_by=_texts(item.get("heldBy")),
        notes=_texts(item.get("notes")),
        policies=_texts(item.get("policies")),
        vfs=_parts(item.get("vfs"), "vfs", RUNS_LIMIT, _run, unread),
    )


def _run(item: Mapping[str, Any]) -> VfRun | None:
    if not (indexes := text(item.get("indexes"), 16384)):
        return None
    return VfRun(
        indexes=indexes,
        driver=optional_text(item.get("driver"), 128),
        pool=optional_text(item.get("pool"), 317),
        held_by=_texts(item.get("heldBy")),
    )


def _pool(item: Mapping[str, Any]) -> PoolStatus | None:
    if not (name := text(item.get("resourceName"), 317)):
        return None
    unread: list[str] = []
    return PoolStatus(
        resource_name=name,
        capacity=number(item.get("capacity")) or 0,
        healthy=number(item.get("healthy")) or 0,
        in_use=number(item.get("inUse")) or 0,
        offered=number(item.get("offered")),
        withheld=_parts(item.get("withheld"), "withheld", TEXTS_LIMIT, _withheld, unread),
    )


def _withheld(item: Mapping[str, Any]) -> WithheldStatus:
    return WithheldStatus(
        devices=_texts(item.get("devices")),
        number=number(item.get("number")) or 0,
        reason=text(item.get("reason"), 253),
        message=text(item.get("message"), MESSAGE_LIMIT),
    )


def _blocked(item: Mapping[str, Any]) -> BlockedStatus:
    return BlockedStatus(
        device=text(item.get("device"), 256),
        reason=text(item.get("reason"), 253),
        message=text(item.get("message"), MESSAGE_LIMIT),
        pods=_texts(item.get("pods")),
    )


def _texts(value: object) -> tuple[str, ...]:
    listed = value[:TEXTS_LIMIT] if isinstance(value, list) else []
    return tuple(item[:4096] for item in listed if isinstance(item, str))

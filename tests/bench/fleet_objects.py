"""The objects of a fleet: Nodes as a cloud labels them, SriovNodes with 64 VFs and a status of 5 KB, one policy."""

from typing import Any

from virtfn_host.core.values.desired import NodeConfig, PolicyConfig
from virtfn_operator.api.conditions import PREFLIGHT, READY, TRUE, Condition
from virtfn_operator.api.node_spec import write_spec
from virtfn_operator.api.node_status import (
    FunctionStatus,
    NodeStatus,
    NodeSummary,
    PolicyOutcome,
    PoolStatus,
    State,
    VfRun,
    wire,
)
from virtfn_operator.api.policy import read_policy

PFS, VFS = 8, 8
POOL = "virtfn.dev/fast"
NOW = "2026-01-01T00:00:00Z"
Body = dict[str, Any]


def name_of(number: int) -> str:
    """Return the name of a node."""
    return f"ip-10-0-{number // 250}-{number % 250}.eu-central-1.compute.internal"


def node(number: int) -> Body:
    """Return a Node with the labels that a cloud's nodes have."""
    name = name_of(number)
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/os": "linux",
        "beta.kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": "m6in.16xlarge",
        "topology.kubernetes.io/region": "eu-central-1",
        "topology.kubernetes.io/zone": f"eu-central-1{'abc'[number % 3]}",
        "node.example.com/rack": f"r{number // 40}",
        "node-role.example.com/dpdk": "",
    }
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}


def state(number: int, uid: str) -> Body:
    """Return a SriovNode as an agent makes it."""
    owner = {"apiVersion": "v1", "kind": "Node", "name": name_of(number), "uid": uid}
    metadata = {"name": name_of(number), "ownerReferences": [owner]}
    return {"apiVersion": "virtfn.dev/v1alpha1", "kind": "SriovNode", "metadata": metadata}


def policy() -> Body:
    """Return the policy, which selects all nodes; all of them may change at once."""
    spec = {
        "nodeSelector": {"matchLabels": {"node-role.example.com/dpdk": ""}},
        "devices": [{"vendor": "8086", "device": "1592"}],
        "virtualFunctions": {"count": VFS, "pools": [{"resourceName": "fast", "driver": "vfio-pci"}]},
        "disruption": {"maxUnavailable": "100%"},
    }
    metadata = {"name": "fast"}
    return {"apiVersion": "virtfn.dev/v1alpha1", "kind": "SriovPolicy", "metadata": metadata, "spec": spec}


def edit(turn: int) -> Body:
    """Return an edit of the policy that makes a new generation and disturbs no function."""
    return {"spec": {"virtualFunctions": {"pools": [{"resourceName": "fast", "driver": "vfio-pci"}]}, "priority": turn}}


def patch_for(body: Body) -> Body:
    """Return what a controller writes to each SriovNode for this policy."""
    config = read_policy(body).config
    if not isinstance(config, PolicyConfig):
        raise TypeError(config.message)
    return {"spec": write_spec(NodeConfig(policies=(config,)), may_change=False)}


def status(name: str, generation: int, asked: list[Body], state: State = State.READY) -> Body:
    """Return the status of a node that has carried out all that it is asked."""
    message = "" if state is State.READY else "0000:17:00.0: refused by the kernel"
    reason = "Converged" if state is State.READY else "WriteRefused"
    outcomes = tuple(
        PolicyOutcome(
            name=p["name"], uid=p["uid"], generation=p["generation"], state=state, reason=reason, message=message
        )
        for p in asked
    )
    conditions = tuple(
        Condition(
            type=kind,
            status=TRUE,
            reason="Converged",
            message="",
            observed_generation=generation,
            last_transition_time=NOW,
        )
        for kind in (READY, PREFLIGHT)
    )
    found: Body = wire(
        NodeStatus(
            observed_generation=generation,
            boot_id=f"{hash(name) & 0xFFFFFFFF:08x}-0000-4000-8000-000000000000",
            agent_version="0.1.0",
            kernel="6.1.0-56-amd64",
            functions=tuple(_function(number) for number in range(PFS)),
            pools=(
                PoolStatus(resource_name=POOL, capacity=PFS * VFS, healthy=PFS * VFS, in_use=24, offered=PFS * VFS),
            ),
            plan=None,
            policies=outcomes,
            rejected=(),
            summary=NodeSummary(pfs=PFS, vfs=PFS * VFS, in_use=24, pools=f"{POOL}=64/64"),
            conditions=conditions,
        )
    )
    return found


def _function(number: int) -> FunctionStatus:
    held = [f"pod default/dpdk-{number}-{index}" for index in range(3)]
    runs = (
        *(VfRun(indexes=str(i), driver="vfio-pci", pool=POOL, held_by=(pod,)) for i, pod in enumerate(held)),
        VfRun(indexes=f"3-{VFS - 1}", driver="vfio-pci", pool=POOL, held_by=()),
    )
    return FunctionStatus(
        address=f"0000:{16 + number:02x}:00.0",
        vendor="8086",
        device="1592",
        class_="020000",
        netdev=f"ens{number}f0np0",
        driver="ice",
        numa_node=number % 2,
        iommu_group=number,
        total_vfs=64,
        num_vfs=VFS,
        pool=None,
        held_by=(),
        policies=("fast",),
        vfs=runs,
    )

"""The pods that a plan waits for and that its policies ask to evict, and what to withdraw before they go. Pure.

A change that is held is blocked in the plan. It is to be evicted for where these hold:

- every policy whose change it is says `whenInUse: Evict`: of a VF or whole function its own policy, of a PF's number of
  VFs all policies of the PF. What is given back after a policy ended waits: that policy asks for nothing any more;
- every function that is in the way is held by a pod. If one of them is held by a process of no pod, or its use is
  unknown, it would not help to evict the pods of the others, so none is evicted (`VfsInUse` names the process).

The kubelet lists no init containers. If one has its function open, the cgroup of its process tells the pod's uid.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import Desired, DesiredPf, NodeConfig, WhenInUse
from virtfn_host.core.values.holders import Cause, Holder
from virtfn_host.core.values.model import Inventory, Vf
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.steps import Blocked, Plan

PODS_LIMIT = 256
"""Pods that a status names; when they have gone, the next ones are named."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class HoldingPod:
    """A pod that a change waits for: known by name from the kubelet, by uid from the cgroup of its process."""

    device: PciAddress
    """The function, or the PF, whose change waits for it."""
    namespace: str = ""
    name: str = ""
    uid: str = ""

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.name else f"with uid {self.uid}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Displacement:
    """The pods to evict for a plan, and what no new pod may get meanwhile."""

    pods: tuple[HoldingPod, ...] = ()
    """By device. None of a change while one of its pods is just being started and not known by name yet."""
    functions: frozenset[PciAddress] = frozenset()
    """Functions that the changes touch, and those that are in their way: withdraw them before the first eviction."""
    devices: frozenset[PciAddress] = frozenset()
    """The devices of the blocked changes."""

    def __bool__(self) -> bool:
        return bool(self.functions)

    @property
    def names(self) -> tuple[str, ...]:
        """The pods, each once."""
        return tuple(dict.fromkeys(map(str, self.pods)))


def evicting(config: NodeConfig) -> set[str]:
    """Return the names of the policies that ask to evict."""
    return {policy.name for policy in config.policies if policy.when_in_use is WhenInUse.EVICT}


def leaving(config: NodeConfig, inventory: Inventory, desired: Desired, plan: Plan) -> Displacement:
    """Return the pods to evict for a plan."""
    asking = evicting(config)
    blocked = [
        blocked
        for part in (plan.pfs if asking else ())
        if (wanted := desired.pf(part.pf)) is not None
        for blocked in part.blocked
        if _asked_for(blocked, wanted, inventory, asking) and all(_by_pods(blocked).values())
    ]
    pods = sorted({pod for one in blocked for pod in _pods(one)})
    return Displacement(
        pods=tuple(pods[:PODS_LIMIT]),
        functions=frozenset(a for one in blocked for a in (one.device, *one.displaces, *map(_held, one.holders))),
        devices=frozenset(one.device for one in blocked),
    )


def _asked_for(blocked: Blocked, wanted: DesiredPf, inventory: Inventory, evicting: set[str]) -> bool:
    """Whether every policy whose change this is asks to evict."""
    if blocked.reason is not Reason.VFS_IN_USE:
        return False
    asking: Iterable[str | None] = wanted.policies
    if isinstance(function := inventory.find(blocked.device), Vf):
        vf = wanted.vf(function.index)
        asking = [vf.policy if vf else None]
    return bool(asking) and all(policy in evicting for policy in asking)


def _by_pods(blocked: Blocked) -> dict[PciAddress, bool]:
    """Whether each function that is in the way is held by a pod."""
    found = {_held(holder): False for holder in blocked.holders}
    for holder in blocked.holders:
        found[_held(holder)] |= holder.cause is Cause.LEDGER or _pod(holder, blocked.device) is not None
    return found


def _pods(blocked: Blocked) -> set[HoldingPod]:
    """The pods that hold what is in the way; none while one of them is not known yet."""
    found = {(_held(holder), pod) for holder in blocked.holders if (pod := _pod(holder, blocked.device)) is not None}
    known = {address for address, _ in found} == {_held(holder) for holder in blocked.holders}
    return {pod for _, pod in found} if known else set()


def _pod(holder: Holder, device: PciAddress) -> HoldingPod | None:
    if holder.pod is not None:
        return HoldingPod(device=device, namespace=holder.pod.namespace, name=holder.pod.name)
    if holder.process is not None and holder.process.pod_uid:
        return HoldingPod(device=device, uid=holder.process.pod_uid)
    return None


def _held(holder: Holder) -> PciAddress:
    """The function that is held: another one of the IOMMU group, where that is in the way."""
    return holder.member or holder.address

"""Defines a fault: how to provoke it, what `virtfn` and the node's report must say, and where it can be provoked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from virtfn_host.core.values.reasons import Reason

if TYPE_CHECKING:
    from faulty_node import FaultyNode

Policy = Mapping[str, Any]
"""A SriovPolicy as a user writes it."""

Asked = Callable[["FaultyNode"], Sequence[Policy]]


def policy(name: str, device: Mapping[str, Any], *, count: int | None = None, **pool: Any) -> Policy:
    """Return a policy with one pool; without a pool if the count is 0 and no field of a pool is given."""
    pools = [{"resourceName": name, **pool}] if pool or count != 0 else []
    counted = {} if count is None else {"count": count}
    spec = {"devices": [dict(device)], "virtualFunctions": {**counted, "pools": pools}}
    return {"apiVersion": "virtfn.dev/v1alpha1", "kind": "SriovPolicy", "metadata": {"name": name}, "spec": spec}


def whole(name: str, device: Mapping[str, Any]) -> Policy:
    """Return a policy that hands out whole functions."""
    spec = {"devices": [dict(device)], "wholeFunctions": {"resourceName": name}}
    return {"apiVersion": "virtfn.dev/v1alpha1", "kind": "SriovPolicy", "metadata": {"name": name}, "spec": spec}


def fast(node: FaultyNode, **wanted: Any) -> Policy:
    """Return a policy for the first PF: two VFs on vfio-pci, unless `wanted` says otherwise."""
    return policy("fast", {"address": str(node.pf)}, **{"count": 2, "driver": "vfio-pci", **wanted})


def the_same(node: FaultyNode) -> Sequence[Policy]:
    """Return the policies of a fault that names no others."""
    return (fast(node),)


def on_kernel(node: FaultyNode) -> Sequence[Policy]:
    """Return a policy with both VFs on the driver that the kernel picks."""
    return (fast(node, driver="kernel"),)


def and_other(**wanted: Any) -> Asked:
    """Return the same policies and a second one, for the second PF or for `device`."""

    def asked(node: FaultyNode) -> Sequence[Policy]:
        device = {key: _filled(value, node) for key, value in wanted.get("device", {"address": "{other}"}).items()}
        return (fast(node), policy("other", device, **{k: v for k, v in wanted.items() if k != "device"}))

    return asked


def _filled(value: Any, node: FaultyNode) -> Any:
    return node.named(value) if isinstance(value, str) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault. In messages, `{pf}`, `{other}` (the second PF), `{vf}` and `{group}` stand for those of the node."""

    name: str
    section: str
    """Section of the list of faults measured on real kernels (docs/faults.md)."""
    provoke: Callable[[FaultyNode], AbstractContextManager[None]]
    """A context: entering it provokes the fault, leaving it repairs what virtfn cannot repair itself."""
    reason: Reason
    message: str
    """Regular expression; must name the device, or the file or process if no device is concerned."""
    words: Sequence[str] = ("plan",)
    """Words after `virtfn`; the policy file is added if the verb takes one. Empty: `virtfn` cannot see the fault."""
    status: int = 1
    """Exit status of the command."""
    before: Asked = the_same
    """Policies on which the node converges first."""
    asked: Asked = the_same
    """Policies while the fault lasts."""
    after: Asked | None = None
    """Policies after the repair; None: `asked`."""
    told: tuple[Reason, str] | None = None
    """Reason and message of the report, if they differ from those of the command."""
    fake_only: str = ""
    """Why a real kernel cannot show it; empty: both kernels show it."""
    within: float = 10.0
    """Seconds until it must show. A difference at the kubelet must last before it is a fault."""
    hardware: str = "igb2"
    """The machine that it needs: `igb2`, `no-iommu` or `no-acs`."""

    @property
    def real(self) -> bool:
        """Return whether a real kernel shows it too."""
        return not self.fake_only

"""What a fault is: how it is provoked, what `virtfn` and the node's report must say of it, and where it can be had."""

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
    """A policy with one pool, or with none where nothing of one is given."""
    pools = [{"resourceName": name, **pool}] if pool or count != 0 else []
    counted = {} if count is None else {"count": count}
    spec = {"devices": [dict(device)], "virtualFunctions": {**counted, "pools": pools}}
    return {"apiVersion": "virtfn.dev/v1alpha1", "kind": "SriovPolicy", "metadata": {"name": name}, "spec": spec}


def whole(name: str, device: Mapping[str, Any]) -> Policy:
    """A policy that hands out functions themselves."""
    spec = {"devices": [dict(device)], "wholeFunctions": {"resourceName": name}}
    return {"apiVersion": "virtfn.dev/v1alpha1", "kind": "SriovPolicy", "metadata": {"name": name}, "spec": spec}


def fast(node: FaultyNode, **wanted: Any) -> Policy:
    """Of the first PF: two VFs on vfio-pci, unless told otherwise."""
    return policy("fast", {"address": str(node.pf)}, **{"count": 2, "driver": "vfio-pci", **wanted})


def the_same(node: FaultyNode) -> Sequence[Policy]:
    """What every fault begins with unless it says otherwise."""
    return (fast(node),)


def on_kernel(node: FaultyNode) -> Sequence[Policy]:
    """Both VFs on the driver that the kernel picks."""
    return (fast(node, driver="kernel"),)


def and_other(**wanted: Any) -> Asked:
    """The same, and a second policy for the second PF, or for `device`."""

    def asked(node: FaultyNode) -> Sequence[Policy]:
        device = {key: _filled(value, node) for key, value in wanted.get("device", {"address": "{other}"}).items()}
        return (fast(node), policy("other", device, **{k: v for k, v in wanted.items() if k != "device"}))

    return asked


def _filled(value: Any, node: FaultyNode) -> Any:
    return node.named(value) if isinstance(value, str) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault. `{pf}`, `{other}` (the second PF), `{vf}` and `{group}` in a message stand for what the node has."""

    name: str
    section: str
    """Of the measured list of faults (docs/faults.md)."""
    provoke: Callable[[FaultyNode], AbstractContextManager[None]]
    """Entered it provokes the fault, left it repairs what the product cannot repair by itself."""
    reason: Reason
    message: str
    """Regular expression; it must name the device, or the file or process where there is no device."""
    words: Sequence[str] = ("plan",)
    """Of the command; the policy file is added where the verb takes one. Empty: `virtfn` cannot know of it."""
    status: int = 1
    """Exit status of the command."""
    before: Asked = the_same
    """Policies to converge on first."""
    asked: Asked = the_same
    """Policies while the fault is there."""
    after: Asked | None = None
    """Policies from the repair on; None: those that were asked."""
    told: tuple[Reason, str] | None = None
    """Reason and message of the report, where they are not those of the command."""
    fake_only: str = ""
    """Why no real kernel: empty means that it is provoked on both."""
    hardware: str = "igb2"
    """What the machine must be: `igb2`, `no-iommu` or `no-acs`."""

    @property
    def real(self) -> bool:
        """Whether a real kernel shows it too."""
        return not self.fake_only

"""Whether a function has the RDMA devices that `grant.rdma` of its pool promises. Pure."""

from collections.abc import Iterator

from virtfn_host.core.checks.usable import Hindrance
from virtfn_host.core.values.model import Function, Inventory
from virtfn_host.core.values.reasons import Reason

ASKED = "which grant.rdma asks for"
_FIND = "is its RDMA module loaded (mlx5_ib, irdma, bnxt_re, ...)? `rdma dev` lists the devices that are there"
_AWAY = "`rdma system` says exclusive: if a pod has it, it comes back when that pod ends; else load its RDMA module"


def missing_rdma(function: Function, inventory: Inventory) -> Iterator[Hindrance]:
    """Yield a reason where a function has no RDMA device, or one that programs cannot use."""
    if not function.rdma:
        yield _without("has no RDMA device", _AWAY if inventory.rdma_exclusive else _FIND)
    for device in function.rdma:
        if not device.verbs:
            text = f"has RDMA device {device.name} without a uverbs node"
            yield _without(text, "`modprobe ib_uverbs` makes it; is /dev of the host whole?")


def _without(text: str, remedy: str) -> Hindrance:
    return Hindrance(reason=Reason.NOT_USABLE, message=f"{text}, {ASKED}", remedy=remedy)

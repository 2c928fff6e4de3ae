"""What a person at the node asks of one function -> Desired, so that hand steps are planned like everything else.

`virtfn bind` wants one VF on a driver; `virtfn restore` wants a PF, or one VF, as the journal says it was.
"""

from virtfn_host.core.address import PciAddress
from virtfn_host.core.model import (
    KERNEL_DRIVER,
    Desired,
    DesiredPf,
    DesiredVf,
    Inventory,
    NodeConfig,
    Original,
    PhysicalFunction,
    Rejected,
)
from virtfn_host.core.reasons import Reason
from virtfn_host.core.resolve import Resolution, given_back_vf, resolve

BIND, RESTORE = "virtfn bind", "virtfn restore"
"""Who asks, where a policy would be named."""


def bound(inventory: Inventory, address: PciAddress, driver: str) -> Resolution:
    """One VF on a driver, everything else as it is."""
    found = _vf(inventory, address)
    if found is None:
        return _refused(BIND, address, Reason.NO_MATCHING_DEVICE, _no_vf(inventory, address))
    pf, index = found
    override = None if driver == KERNEL_DRIVER else driver
    vf = DesiredVf(index=index, driver=driver, driver_override=override, resource_name=None, policy=BIND)
    return _only(pf, vf, BIND)


def restored(inventory: Inventory, originals: tuple[Original, ...], address: PciAddress | None) -> Resolution:
    """A PF with all its VFs, or one VF, as before the first touch; without an address, all that was ever touched."""
    everything = resolve(NodeConfig(policies=()), inventory, originals)
    if address is None:
        return everything
    if (whole := everything.desired.pf(address)) is not None:
        return Resolution(desired=Desired(pfs=(whole,)), rejected=())
    found = _vf(inventory, address)
    if found is None:
        text = "was never touched by virtfn, or is not there any more; `virtfn list` shows what is there"
        return _refused(RESTORE, address, Reason.NO_MATCHING_DEVICE, text)
    pf, index = found
    if everything.desired.pf(pf.address) is None:
        text = f"was never touched by virtfn, and neither was its PF {pf.address}"
        return _refused(RESTORE, address, Reason.NO_MATCHING_DEVICE, text)
    original = next(entry for entry in originals if entry.address == pf.address)
    return _only(pf, given_back_vf(index, original), RESTORE)


def _vf(inventory: Inventory, address: PciAddress) -> tuple[PhysicalFunction, int] | None:
    return next(((pf, vf.index) for pf in inventory.pfs for vf in pf.vfs if vf.address == address), None)


def _no_vf(inventory: Inventory, address: PciAddress) -> str:
    if inventory.pf(address) is not None:
        return "is a PF; this version binds VFs only. `virtfn apply -f POLICY.yaml` makes them"
    return "is not a VF of this machine; `virtfn list` shows those that are there"


def _only(pf: PhysicalFunction, vf: DesiredVf, who: str) -> Resolution:
    wanted = DesiredPf(address=pf.address, num_vfs=None, autoprobe=None, vfs=(vf,), policies=(who,))
    return Resolution(desired=Desired(pfs=(wanted,)), rejected=())


def _refused(who: str, address: PciAddress, reason: Reason, text: str) -> Resolution:
    refusal = Rejected(policy=who, device=str(address), reason=reason, message=f"{address}: {text}")
    return Resolution(desired=Desired(pfs=()), rejected=(refusal,))

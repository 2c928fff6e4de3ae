"""What a person at the node asks of one function -> Desired, so that hand steps are planned like everything else.

`virtfn bind` wants one function on a driver; `virtfn restore` wants a PF, or one VF, as the journal says it was.
"""

from virtfn_host.core.checks.whole import RefusalError, check_whole, whole_pf
from virtfn_host.core.turn.resolve import Resolution, given_back_vf, resolve
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import KERNEL_DRIVER, Desired, DesiredPf, DesiredVf, NodeConfig, Rejected
from virtfn_host.core.values.model import Inventory, Original, PhysicalFunction
from virtfn_host.core.values.reasons import Reason

BIND, RESTORE = "virtfn bind", "virtfn restore"
"""Who asks, where a policy would be named."""


def bound(inventory: Inventory, originals: tuple[Original, ...], address: PciAddress, driver: str) -> Resolution:
    """One function on a driver, everything else as it is."""
    found = _vf(inventory, address)
    if found is None:
        return _bound_whole(inventory, originals, address, driver)
    pf, index = found
    override = None if driver == KERNEL_DRIVER else driver
    vf = DesiredVf(index=index, driver=driver, driver_override=override, resource_name=None, policy=BIND)
    return _only(pf, vf, BIND)


def _bound_whole(inventory: Inventory, originals: tuple[Original, ...], address: PciAddress, driver: str) -> Resolution:
    pf = inventory.pf(address)
    if pf is None:
        text = "is no function that can be handed out; `virtfn list --all` shows those that are there"
        return _refused(BIND, address, Reason.NO_MATCHING_DEVICE, text)
    try:
        check_whole(pf, driver, next((entry for entry in originals if entry.address == address), None))
    except RefusalError as refusal:
        return _refused(BIND, address, refusal.reason, str(refusal))
    # The VFs of a PF are not ended by the way: who wants that says so, with a policy or `restore`.
    if pf.vfs:
        return _refused(BIND, address, Reason.FUNCTION_TAKEN, f"has {pf.num_vfs} VFs; `virtfn restore {address}` first")
    return Resolution(desired=Desired(pfs=(whole_pf(pf, driver, None, BIND),)), rejected=())


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


def _only(pf: PhysicalFunction, vf: DesiredVf, who: str) -> Resolution:
    wanted = DesiredPf(address=pf.address, num_vfs=None, autoprobe=None, vfs=(vf,), policies=(who,))
    return Resolution(desired=Desired(pfs=(wanted,)), rejected=())


def _refused(who: str, address: PciAddress, reason: Reason, text: str) -> Resolution:
    refusal = Rejected(policy=who, device=str(address), reason=reason, message=f"{address}: {text}")
    return Resolution(desired=Desired(pfs=()), rejected=(refusal,))

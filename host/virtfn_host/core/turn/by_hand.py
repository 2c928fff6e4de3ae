"""The desired state for `virtfn bind` and `virtfn restore`, so that both are planned like policies.

`virtfn bind` binds one function to a driver. `virtfn restore` returns a PF or one VF to its state in the journal.
"""

from dataclasses import replace

from virtfn_host.core.checks.usable import first, has_vfs, needed, no_iommu, out_of_sight, vf_token
from virtfn_host.core.checks.whole import whole_pf
from virtfn_host.core.turn.resolve import Resolution, resolve
from virtfn_host.core.turn.verify import verify
from virtfn_host.core.turn.wanted import given_back_vf
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import KERNEL_DRIVER, Desired, DesiredPf, DesiredVf, NodeConfig, Rejected
from virtfn_host.core.values.identity import Claim
from virtfn_host.core.values.model import Inventory, Original, Vf
from virtfn_host.core.values.reasons import Reason

BIND, RESTORE = "virtfn bind", "virtfn restore"
"""Names of the commands, used in place of a policy's name."""

ASKED = f"`{RESTORE}` asks for it"


def bound(inventory: Inventory, address: PciAddress, driver: str) -> Resolution:
    """Return the desired state with one function on a driver and everything else unchanged."""
    function = inventory.find(address)
    if function is None:
        text = "is not a function that can be handed out; `virtfn list --all` shows those that can"
        return _not_there(inventory, address, BIND, text)
    hindrance = None if driver == KERNEL_DRIVER else no_iommu(function.iommu_group, inventory)
    if isinstance(function, Vf):
        override = None if driver == KERNEL_DRIVER else driver
        hindrance = hindrance or (None if driver == KERNEL_DRIVER else vf_token(function, inventory))
        wanted = DesiredVf(
            index=function.index, driver=driver, driver_override=override, resource_name=None, policy=BIND
        )
        made = _only(function.pf, wanted, BIND)
    else:
        # A bind never removes a PF's VFs: the user must ask for that with a policy or `restore`.
        hindrance = first(needed(function.needed_for), has_vfs(function.num_vfs), hindrance)
        made = Resolution(desired=Desired(pfs=(whole_pf(function, driver, None, BIND),)), rejected=())
    return made if hindrance is None else _refused(BIND, address, hindrance.reason, hindrance.text)


def _not_there(inventory: Inventory, address: PciAddress, who: str, text: str) -> Resolution:
    """Return the refusal of an address that the inventory lacks. The VFs of a PF that cannot be read are not known."""
    unread = out_of_sight(inventory)
    if (found := unread.get(address)) is not None:
        return _refused(who, address, found.reason, found.message)
    for pf, found in unread.items():
        text = f"is not known here; it may be a VF of {pf}, of which {found.message}"
        return _refused(who, address, found.reason, text)
    return _refused(who, address, Reason.NO_MATCHING_DEVICE, text)


def restored(
    inventory: Inventory, originals: tuple[Original, ...], address: PciAddress | None, claims: tuple[Claim, ...] = ()
) -> Resolution:
    """Return the original state of a PF with all its VFs, or of one VF; without address, of all that was touched.

    The claims on what is given back end with it: otherwise the next `virtfn apply` would take it again.
    """
    found = resolve(NodeConfig(policies=()), inventory, originals, claims).desired
    everything = replace(found, pfs=tuple(replace(pf, cause=ASKED) for pf in found.pfs))
    if address is None:
        return Resolution(desired=everything, rejected=())
    if (whole := everything.pf(address)) is not None:
        notes = tuple(note for note in everything.notes if note.address == address)
        return Resolution(desired=Desired(pfs=(whole,), notes=notes), rejected=())
    vf = inventory.find(address)
    text = "was never touched by virtfn, or is gone; `virtfn list` shows the functions of this machine"
    if vf is None:
        return _not_there(inventory, address, RESTORE, text)
    if not isinstance(vf, Vf):
        return _refused(RESTORE, address, Reason.NO_MATCHING_DEVICE, text)
    if (whole := everything.pf(vf.pf)) is None:
        text = f"was never touched by virtfn, and neither was its PF {vf.pf}"
        return _refused(RESTORE, address, Reason.NO_MATCHING_DEVICE, text)
    original = next(entry for entry in originals if entry.address == vf.pf)
    return _with_the_rest(whole, given_back_vf(vf.index, original), inventory)


def _with_the_rest(whole: DesiredPf, vf: DesiredVf, inventory: Inventory) -> Resolution:
    """Return the original state of one VF, and of its PF if that has all the rest of it: the journal then forgets it.
    Otherwise the entry would outlive what it is for, and a later command undo what the administrator does next."""
    rest = replace(whole, vfs=tuple(other for other in whole.vfs if other.index != vf.index))
    if verify(Desired(pfs=(rest,)), inventory):
        return _only(whole.address, vf, RESTORE)
    every = tuple(sorted((*rest.vfs, vf), key=lambda one: one.index))
    return Resolution(desired=Desired(pfs=(replace(rest, vfs=every),)), rejected=())


def _only(pf: PciAddress, vf: DesiredVf, who: str) -> Resolution:
    wanted = DesiredPf(address=pf, num_vfs=None, autoprobe=None, vfs=(vf,), policies=(who,))
    return Resolution(desired=Desired(pfs=(wanted,)), rejected=())


def _refused(who: str, address: PciAddress, reason: Reason, text: str) -> Resolution:
    refusal = Rejected(policy=who, device=str(address), reason=reason, message=f"{address}: {text}")
    return Resolution(desired=Desired(pfs=()), rejected=(refusal,))

"""verify(desired, inventory) -> every difference. A status reports success only if there is none."""

from collections.abc import Iterator

from virtfn_host.core.checks.usable import on_vfio, unreadable
from virtfn_host.core.turn.plan import in_place
from virtfn_host.core.values.desired import KERNEL_DRIVER, Desired, DesiredFunction, DesiredPf, DesiredVf, Mismatch
from virtfn_host.core.values.link import differing, link_text, mentioned
from virtfn_host.core.values.model import Function, Inventory, Pf, Vf
from virtfn_host.core.values.reasons import Reason


def verify(desired: Desired, inventory: Inventory) -> tuple[Mismatch, ...]:
    """Return the differences between the desired state and a fresh inventory; empty means converged."""
    return tuple(mismatch for wanted in desired.pfs for mismatch in _pf(wanted, inventory))


def _pf(wanted: DesiredPf, inventory: Inventory) -> Iterator[Mismatch]:
    pf = inventory.find(wanted.address)
    if pf is None:
        yield Mismatch(device=str(wanted.address), reason=Reason.DEVICE_GONE, message=f"{wanted.address}: is not there")
        return
    for lost, hindrance in unreadable(inventory, pf):
        text = f"{lost.device}: {hindrance.message}"
        yield Mismatch(device=str(lost.device), reason=hindrance.reason, message=text)
    if wanted.num_vfs not in (None, pf.num_vfs):
        yield _differs(pf, f"has {pf.num_vfs} VFs, wanted {wanted.num_vfs}")
        return
    if isinstance(pf, Pf) and wanted.autoprobe not in (None, pf.autoprobe):
        yield _differs(pf, f"sriov_drivers_autoprobe is {pf.autoprobe:d}, wanted {wanted.autoprobe:d}")
    if wanted.own is not None:
        yield from _function(wanted.own, pf, inventory)
    for vf in wanted.vfs:
        there = pf.vf(vf.index) if isinstance(pf, Pf) else None
        if there is not None:
            yield from _function(vf, there, inventory)
            yield from _link(vf, there)


def _function(wanted: DesiredFunction, function: Function, inventory: Inventory) -> Iterator[Mismatch]:
    if not in_place(wanted, function):
        half = function.driver is None and function.driver_override == wanted.driver_override is not None
        why = ""
        if half and wanted.driver not in inventory.drivers:
            why = "; that driver is not loaded any more"
        elif half:
            why = "; driver_override names it already, so a bind was interrupted or it was unbound by hand"
        yield _differs(function, f"is on {function.driver or 'no driver'}, wanted {wanted.driver or 'no driver'}{why}")
    elif function.driver_override != wanted.driver_override:
        now, then = function.driver_override or "empty", wanted.driver_override or "empty"
        yield _differs(function, f"driver_override is {now}, wanted {then}")
    elif wanted.policy is None or wanted.driver == KERNEL_DRIVER:
        return
    elif (hindrance := on_vfio(function, inventory)) is not None:
        address = str(function.address)
        yield Mismatch(device=address, reason=hindrance.reason, message=f"{address}: {hindrance.text}")


def _link(wanted: DesiredVf, vf: Vf) -> Iterator[Mismatch]:
    if wanted.link is None:
        return
    if vf.link is None:
        yield _differs(vf, f"its PF shows no link settings of it, wanted {link_text(wanted.link)}")
        return
    if groups := differing(wanted.link, vf.link):
        now = ", ".join(link_text(mentioned(vf.link, group)) for group in groups)
        yield _differs(vf, f"link shows {now}, wanted {', '.join(map(link_text, groups))}")


def _differs(function: Function, text: str) -> Mismatch:
    address = str(function.address)
    return Mismatch(device=address, reason=Reason.DRIFTED, message=f"{address}: {text}")

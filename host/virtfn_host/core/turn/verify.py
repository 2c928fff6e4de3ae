"""verify(desired, inventory) -> every difference. A status reports success only if there is none."""

from collections.abc import Iterator, Set

from virtfn_host.core.checks.healthy import in_place, nvme_hint, usable
from virtfn_host.core.checks.mtu import pf_fits, vf_fits
from virtfn_host.core.checks.usable import netdev_unread, out_of_sight, unreadable
from virtfn_host.core.values.desired import Desired, DesiredFunction, DesiredPf, DesiredVf, Mismatch
from virtfn_host.core.values.link import differing, link_text, mentioned
from virtfn_host.core.values.model import Function, Inventory, Pf, Vf
from virtfn_host.core.values.reasons import Reason


def verify(desired: Desired, inventory: Inventory) -> tuple[Mismatch, ...]:
    """Return the differences between the desired state and a fresh inventory; empty means converged."""
    return tuple(mismatch for wanted in desired.pfs for mismatch in _pf(wanted, inventory))


def _pf(wanted: DesiredPf, inventory: Inventory) -> Iterator[Mismatch]:
    pf = inventory.find(wanted.address)
    if pf is None:
        found = out_of_sight(inventory).get(wanted.address)
        reason, text = (found.reason, found.message) if found else (Reason.DEVICE_GONE, "is not there")
        yield Mismatch(device=str(wanted.address), reason=reason, message=f"{wanted.address}: {text}")
        return
    told = set()
    for lost, hindrance in unreadable(inventory, pf):
        told.add(hindrance.message)
        text = f"{lost.device}: {hindrance.message}"
        yield Mismatch(device=str(lost.device), reason=hindrance.reason, message=text)
    if wanted.num_vfs not in (None, pf.num_vfs):
        yield _differs(pf, f"has {pf.num_vfs} VFs, wanted {wanted.num_vfs}")
        return
    if isinstance(pf, Pf) and wanted.autoprobe not in (None, pf.autoprobe):
        yield _differs(pf, f"sriov_drivers_autoprobe is {pf.autoprobe:d}, wanted {wanted.autoprobe:d}")
    if not pf_fits(wanted, pf):
        least = "" if wanted.given_back else "at least "
        yield _differs(pf, f"has {_mtu(pf)}, wanted {least}{wanted.mtu}")
    if wanted.own is not None:
        yield from _function(wanted.own, pf, inventory, told)
    for vf in wanted.vfs:
        there = pf.vf(vf.index) if isinstance(pf, Pf) else None
        if there is not None:
            yield from _function(vf, there, inventory, told)
            yield from _link(vf, there, inventory)
            if not vf_fits(vf, there):
                yield _differs(there, f"has {_mtu(there)}, wanted {vf.mtu}")


def _function(wanted: DesiredFunction, function: Function, inventory: Inventory, told: Set[str]) -> Iterator[Mismatch]:
    if not in_place(wanted, function):
        half = function.driver is None and function.driver_override == wanted.driver_override is not None
        why = ""
        if half and wanted.driver not in inventory.drivers:
            why = "; that driver is not loaded any more"
        elif half:
            why = "; driver_override names it already, so a bind was interrupted or it was unbound by hand"
        why += nvme_hint(wanted, function)
        yield _differs(function, f"is on {function.driver or 'no driver'}, wanted {wanted.driver or 'no driver'}{why}")
    elif function.driver_override != wanted.driver_override:
        now, then = function.driver_override or "empty", wanted.driver_override or "empty"
        yield _differs(function, f"driver_override is {now}, wanted {then}")
    elif wanted.policy is not None:
        address = str(function.address)
        for hindrance in usable(wanted, function, inventory):
            if hindrance.message not in told:
                yield Mismatch(device=address, reason=hindrance.reason, message=f"{address}: {hindrance.text}")


def _link(wanted: DesiredVf, vf: Vf, inventory: Inventory) -> Iterator[Mismatch]:
    if wanted.link is None:
        return
    if vf.link is None:
        lost = netdev_unread(inventory, vf)
        if lost is None:
            yield _differs(vf, f"its PF shows no link settings of it, wanted {link_text(wanted.link)}")
        elif wanted.policy is None:  # of the others `usable` tells it
            yield Mismatch(device=str(vf.address), reason=lost.reason, message=f"{vf.address}: {lost.text}")
        return
    if groups := differing(wanted.link, vf.link):
        now = ", ".join(link_text(mentioned(vf.link, group)) for group in groups)
        yield _differs(vf, f"link shows {now}, wanted {', '.join(map(link_text, groups))}")


def _mtu(function: Function) -> str:
    return "no netdev that shows an MTU" if function.mtu is None else f"mtu {function.mtu}"


def _differs(function: Function, text: str) -> Mismatch:
    address = str(function.address)
    return Mismatch(device=address, reason=Reason.DRIFTED, message=f"{address}: {text}")

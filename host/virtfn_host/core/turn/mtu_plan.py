"""The steps of a plan that set MTUs. Pure.

The PF's is raised first, because some VFs take no more than their PF has, and given back last. A VF in use is left
alone, as with link settings, and so is a PF that this machine needs.
"""

from collections.abc import Sequence
from typing import Protocol

from virtfn_host.core.checks.mtu import pf_fits, vf_fits
from virtfn_host.core.checks.usable import names_of
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import DesiredPf, DesiredVf
from virtfn_host.core.values.holders import Holder
from virtfn_host.core.values.model import Function, InUse, Pf, Vf
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.steps import Bind, FunctionRef, Probe, SetMtu, Step


class Draft(Protocol):
    """The plan of one PF while it is made (`plan.py`)."""

    wanted: DesiredPf
    in_use: InUse
    binds: list[Step]
    raised: list[Step]
    mtus: list[Step]
    lowered: list[Step]

    def block_link(self, device: PciAddress, reason: Reason, text: str, holders: Sequence[Holder] = ()) -> None:
        """Record a setting that must wait, and for which nothing else of the PF waits."""


def add_mtu_steps(draft: Draft, pf: Function) -> None:
    """Add the steps that set MTUs of a PF and its VFs."""
    if not pf_fits(draft.wanted, pf):
        _pf(draft, pf, draft.wanted.mtu or 0)
    if isinstance(pf, Pf):
        kept = draft.wanted.num_vfs in (None, pf.num_vfs)
        bound = {step.function.index: step for step in draft.binds if isinstance(step, Probe | Bind)}
        for wanted in draft.wanted.vfs:
            _vf(draft, wanted, pf.vf(wanted.index) if kept else None, bound.get(wanted.index))


def _pf(draft: Draft, pf: Function, value: int) -> None:
    if pf.mtu is None:
        text = f"cannot set mtu {value}: the PF has no netdev in the host's network namespace"
        draft.block_link(pf.address, Reason.LINK_SETTING_REFUSED, text)
    elif pf.needed_for is not None:
        text = f"cannot set mtu {value}: this machine needs the PF: {pf.needed_for}"
        remedy = "set it where the host's own network is configured, or leave mtu out"
        draft.block_link(pf.address, Reason.NEEDED_BY_MACHINE, f"{text}; {remedy}")
    else:
        ref = FunctionRef(pf=pf.address, index=None, address=pf.address)
        (draft.raised if value > pf.mtu else draft.lowered).append(SetMtu(function=ref, value=value, expects=pf.mtu))


def _vf(draft: Draft, wanted: DesiredVf, vf: Vf | None, bound: Probe | Bind | None) -> None:
    """Add the step for a VF that has a netdev, or gets one by this plan."""
    if wanted.mtu is None:
        return
    if bound is not None and _makes_netdev(bound):
        draft.mtus.append(SetMtu(function=bound.function, value=wanted.mtu, expects=None))
    elif bound is None and vf is not None and not vf_fits(wanted, vf):
        _existing(draft, vf, wanted.mtu)


def _makes_netdev(bound: Probe | Bind) -> bool:
    """Whether a VF gets a netdev with its driver: it does but from a vfio driver. A driver is known by its name here;
    where the name misleads, the step that sets the MTU fails and stops nothing."""
    return isinstance(bound, Probe) or "vfio" not in bound.driver


def _existing(draft: Draft, vf: Vf, value: int) -> None:
    if holders := list(draft.in_use.of(vf.address)):
        draft.block_link(vf.address, Reason.VFS_IN_USE, f"cannot set mtu {value} while {names_of(holders)}", holders)
        return
    ref = FunctionRef(pf=vf.pf, index=vf.index, address=vf.address)
    draft.mtus.append(SetMtu(function=ref, value=value, expects=vf.mtu))

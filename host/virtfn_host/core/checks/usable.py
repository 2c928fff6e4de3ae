"""Checks of whether a function can be passed through. Each check has one sentence, and every caller uses it.

A check takes facts and returns None or a Hindrance: the reason, the problem and the remedy. Its sentence has no
subject; the caller puts the name of the function in front. A check knows nothing of policies and plans.

The checks and their callers, in the order of the remedies (first the problems that remain when a holder has ended):

    the function itself  needed, has_vfs                                 resolve, by_hand, explain
    its VFs              offers_no_vfs, no_pf_driver, behind_port        resolve, explain
    vfio as such         no_iommu, vf_token                              all, also the preflight of a node
    reading the machine  unreadable                                      plan, verify, explain
                         netdev_unread                                   plan, verify
                         out_of_sight                                    resolve, plan, verify, by_hand
    the kernel           drivers.driver_trouble                          plan, explain, preflight of a node
    its group            shared_group                                    plan, verify, pools, explain
    its holders          held                                            plan, explain
                         open_outside                                    pools
    once it is bound     healthy.usable, which asks some of these again  verify, pools, explain

A property test (tests/unit/core/test_usable.py) holds the law: `explain` says "works" exactly where `bind` plans it,
and its first reason is the one with which `bind` refuses.
"""

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass

from virtfn_host.core.checks.groups import HARMLESS_DRIVERS, spoilers
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.holders import Cause, Holder, holder_text
from virtfn_host.core.values.model import Function, Inventory, IommuGroup, Unreadable, Vf
from virtfn_host.core.values.parts import Part
from virtfn_host.core.values.reasons import Reason

SWITCH_ON = "switch the IOMMU on in the firmware, and on the kernel command line if it needs it"
UNSAFE = "; or accept vfio without an IOMMU, which protects nothing: allowUnsafeNoIommu: true in the policy"
APART = "VFIO hands out a group as a whole: unbind those from their drivers, or move the card to a slot with ACS"
TOGETHER = (
    "VFIO hands out a group as a whole: bind those of the same card to a vfio driver too, by a policy"
    " (where no agent runs: `virtfn bind`)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hindrance:
    """A problem that keeps a function from being passed through."""

    reason: Reason
    message: str
    """The problem, without a subject: `has no IOMMU group`."""
    remedy: str
    """The way to remove the problem."""

    @property
    def text(self) -> str:
        """The whole sentence: problem and remedy."""
        return f"{self.message}; {self.remedy}"


def first(*found: Hindrance | None) -> Hindrance | None:
    """Return the first that is not None, or None."""
    return next(filter(None, found), None)


# --- the function itself ---------------------------------------------------------------------------------------------


def needed(needed_for: str | None) -> Hindrance | None:
    """Check that the machine itself does not need the function."""
    if needed_for is None:
        return None
    text = f"is never handed out, because this machine needs it: {needed_for}"
    return Hindrance(reason=Reason.NEEDED_BY_MACHINE, message=text, remedy="move that elsewhere first")


def has_vfs(num_vfs: int) -> Hindrance | None:
    """Check that the function has no VFs.

    They would disappear with its driver, and a PF on vfio-pci with VFs opens only with a VF token (measured by hand).
    """
    if not num_vfs:
        return None
    text = f"has {num_vfs} VFs, which would disappear with its driver"
    remedy = (
        "remove them first: if virtfn made them, by the policy (where no agent runs: `virtfn restore`), else write 0 to"
        " its sriov_numvfs"
    )
    return Hindrance(reason=Reason.FUNCTION_TAKEN, message=text, remedy=remedy)


# --- its VFs ---------------------------------------------------------------------------------------------------------


def offers_no_vfs(total_vfs: int) -> Hindrance | None:
    """Check that firmware and driver of the PF offer VFs."""
    if total_vfs:
        return None
    text = "its driver or firmware offers no VFs (sriov_totalvfs is 0)"
    remedy = "switch SR-IOV on in its firmware (BIOS, mlxconfig, nvme set-feature, ...)"
    return Hindrance(reason=Reason.SRIOV_UNSUPPORTED, message=text, remedy=remedy)


def no_pf_driver(driver: str | None, *, vfio_bound: bool) -> Hindrance | None:
    """Check that the PF is on its own driver: only that driver makes VFs."""
    if driver is not None and not vfio_bound:
        return None
    text, remedy = "has no driver, so it can make no VFs", "load the driver of the PF"
    if vfio_bound:
        text, remedy = f"is on {driver}, which makes no VFs", "bind the driver of the PF"
    return Hindrance(reason=Reason.PF_DRIVER_MISSING, message=text, remedy=remedy)


def behind_port(address: PciAddress, group: IommuGroup | None) -> Hindrance | None:
    """Check that the PF does not share its group with a port.

    Behind a switch without ACS, the port, the PF and all its VFs are one group, and VFIO refuses the group while the PF
    is on its driver (measured by hand).
    """
    members = group.members if group is not None else ()
    port = next((m for m in members if m.address != address and m.driver in HARMLESS_DRIVERS), None)
    if group is None or port is None:
        return None
    text = f"shares IOMMU group {group.number} with port {port.address} (no ACS), so its VFs would too"
    return Hindrance(reason=Reason.GROUP_NOT_VIABLE, message=text, remedy="move the card to a slot with ACS")


# --- vfio ------------------------------------------------------------------------------------------------------------


def no_iommu(iommu_group: int | None, inventory: Inventory, *, allowed: bool = False) -> Hindrance | None:
    """Check that the function has an IOMMU group: without one, a bind to vfio gives EINVAL (measured by hand).

    Where vfio is told to do without an IOMMU it makes a group at the bind, which protects nothing. Such a function is
    handed out only where its policy says so.

    Args:
        iommu_group: of the function; None: it has none.
        inventory: tells what vfio is told, and which groups protect nothing.
        allowed: whether the policy accepts that (`allowUnsafeNoIommu`).
    """
    if iommu_group in inventory.noiommu_groups:
        text = "is on vfio without an IOMMU, which is unsafe: its user can read and write all memory of this machine"
        return None if allowed else Hindrance(reason=Reason.NO_IOMMU, message=text, remedy=f"take it off vfio{UNSAFE}")
    if iommu_group is not None or (allowed and inventory.noiommu):
        return None
    text, remedy = "has no IOMMU group", f"{SWITCH_ON}{UNSAFE}"
    if allowed:
        text, remedy = f"{text}, and vfio is not told to do without an IOMMU", _tell_vfio(inventory.noiommu)
    return Hindrance(reason=Reason.NO_IOMMU, message=text, remedy=remedy)


def _tell_vfio(told: bool | None) -> str:
    """Return what the administrator has to do before vfio does without an IOMMU; virtfn never does it."""
    now = "load it so: `modprobe vfio enable_unsafe_noiommu_mode=1`; if that is refused, this kernel cannot"
    if told is not None:
        now = "the administrator may: `echo Y > /sys/module/vfio/parameters/enable_unsafe_noiommu_mode`"
    return f"{now}; for the next boot: `options vfio enable_unsafe_noiommu_mode=1` in /etc/modprobe.d"


def no_iommu_at_all(inventory: Inventory) -> Hindrance | None:
    """Check that some function of the machine has an IOMMU group that protects something."""
    if not inventory.functions or any(group.number not in inventory.noiommu_groups for group in inventory.groups):
        return None
    return Hindrance(reason=Reason.NO_IOMMU, message="no function has an IOMMU group", remedy=SWITCH_ON)


def shared_group(
    address: PciAddress, group: IommuGroup | None, exempt: Set[PciAddress] = frozenset(), *, is_vf: bool
) -> Hindrance | None:
    """Check that no other member keeps VFIO from using the group; members in `exempt` will be on a vfio driver."""
    others = spoilers(group, exempt | {address})
    if group is None or not others:
        return None
    named = ", ".join(f"{member.address} ({member.driver})" for member in others)
    slots = {(a.domain, a.bus, a.device) for a in (address, *(member.address for member in others))}
    remedy = TOGETHER if len(slots) == 1 and not is_vf else APART
    text = f"shares IOMMU group {group.number} with {named}"
    return Hindrance(reason=Reason.GROUP_NOT_VIABLE, message=text, remedy=remedy)


def vf_token(function: Function, inventory: Inventory) -> Hindrance | None:
    """Check that vfio opens the function without a VF token.

    While a PF is on a vfio driver and has VFs, each of them opens only with the token that the PF's user has set
    (EACCES, "VF token required"; measured by hand). Only that user knows it, and no field of a policy can name it.
    """
    pf = inventory.pf(function.pf) if isinstance(function, Vf) else function
    if pf is None or not pf.vfio_bound or not pf.num_vfs:
        return None
    text = f"is on {pf.driver} and has VFs, so that it and they open only with a VF token"
    if isinstance(function, Vf):
        text = f"opens only with a VF token, because its PF {pf.address} is on {pf.driver}"
    remedy = "bind the PF to its own driver and have its VFs made anew; virtfn hands no VF token to pods"
    return Hindrance(reason=Reason.NOT_USABLE, message=text, remedy=remedy)


# --- reading the machine ---------------------------------------------------------------------------------------------


def unreadable(inventory: Inventory, function: Function) -> Iterator[tuple[Unreadable, Hindrance]]:
    """Yield every file of a PF or its VFs that could not be read: the PF is left alone then.

    Files that tell only of a part that a container needs change no plan; `healthy.py` has them.
    """
    family = {member.address for member in function.family}
    for lost in inventory.unreadable:
        if lost.device in family and lost.part is None:
            yield lost, _unread(lost)


def netdev_unread(inventory: Inventory, vf: Vf) -> Hindrance | None:
    """Check that the netdev of a VF could be read: its link settings are not known otherwise."""
    lost = next((it for it in inventory.unreadable if it.device == vf.address and it.part is Part.NETDEV), None)
    return None if lost is None else _unread(lost)


def out_of_sight(inventory: Inventory) -> dict[PciAddress, Hindrance]:
    """Return the functions that the inventory lacks because something of them could not be read: they are not gone."""
    seen = {function.address for function in inventory.every}
    return {lost.device: _unread(lost) for lost in reversed(inventory.unreadable) if lost.device not in seen}


def _unread(lost: Unreadable) -> Hindrance:
    text = f"{lost.path} could not be read: {lost.error}"
    return Hindrance(reason=Reason.UNREADABLE, message=text, remedy="left alone until it can be read")


# --- its holders -----------------------------------------------------------------------------------------------------


def held(holders: Sequence[Holder], driver: str | None, wanted: str | None) -> Hindrance | None:
    """Check that no pod or process holds the function, and that its use is known."""
    if not holders:
        return None
    text = f"cannot go from {driver or 'no driver'} to {wanted or 'no driver'} while {names_of(holders)}"
    unknown = all(holder.unknown for holder in holders)
    remedy = "unknown use counts as in use" if unknown else "end that use first"
    return Hindrance(reason=Reason.VFS_IN_USE, message=text, remedy=remedy)


def open_outside(holders: Sequence[Holder]) -> Hindrance | None:
    """Check that no process outside of pods has the function open: vfio lets in one program, so a pod would be refused.

    Allocate asks the kernel and refuses it, too (device plugin). But the kubelet would offer it to the next pod again.
    """
    outside = next(filter(is_outside, holders), None)
    if outside is None or any(holder.by_pod for holder in holders):
        return None
    text = f"is in use, by no pod: {holder_text(outside)}"
    return Hindrance(reason=Reason.NOT_USABLE, message=text, remedy="end that process, or leave the function to it")


def is_outside(holder: Holder) -> bool:
    """Whether a holder is a process of no pod that has the function itself open through vfio."""
    through_vfio = holder.cause in (Cause.GROUP_OPEN, Cause.CDEV_OPEN) and holder.member is None
    return through_vfio and holder.process is not None and holder.process.pod_uid is None


def names_of(holders: Iterable[Holder]) -> str:
    """Return `pod a/b holds 0000:01:10.0` for at most three holders, so that a message stays one line."""
    texts = list(dict.fromkeys(map(_held, holders)))
    more = f" and {len(texts) - 3} more" if len(texts) > 3 else ""
    return ", ".join(texts[:3]) + more


def _held(holder: Holder) -> str:
    if holder.by_pod:
        return f"{holder_text(holder)} holds {holder.address}"
    return f"{holder.address} is in use ({holder_text(holder)})"

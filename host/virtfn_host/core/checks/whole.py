"""A function handed out itself: when that must not be, what it should then look like, and how it was before.

What of a PF is claimed by whom is `resolve.py`.
"""

from virtfn_host.core.values.desired import KERNEL_DRIVER, DesiredFunction, DesiredPf
from virtfn_host.core.values.model import Original, PhysicalFunction
from virtfn_host.core.values.reasons import Reason


class RefusalError(Exception):
    """A claim on one PF cannot stand. Raised and caught inside the core."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def check_whole(pf: PhysicalFunction, driver: str, original: Original | None) -> None:
    """Raise RefusalError when the function itself must not or cannot be handed out."""
    if pf.needed_for is not None:
        text = f"is never handed out, because this machine needs it: {pf.needed_for}"
        raise RefusalError(Reason.NEEDED_BY_MACHINE, text)
    if pf.vfs and (original is None or original.num_vfs):
        text = f"has {pf.num_vfs} VFs that somebody else made; write 0 to its sriov_numvfs first"
        raise RefusalError(Reason.FUNCTION_TAKEN, text)
    if driver != KERNEL_DRIVER:
        check_group(pf)


def check_group(pf: PhysicalFunction) -> None:
    """Raise RefusalError when no vfio driver can have it: it is behind no IOMMU."""
    if pf.iommu_group is None:
        text = "has no IOMMU group; switch the IOMMU on in the firmware, and on the kernel command line if it needs it"
        raise RefusalError(Reason.NO_IOMMU, text)


def whole_pf(pf: PhysicalFunction, driver: str, resource_name: str | None, policy: str) -> DesiredPf:
    """A function handed out itself: without VFs, on one driver."""
    override = None if driver == KERNEL_DRIVER else driver
    return DesiredPf(
        address=pf.address,
        num_vfs=None if pf.total_vfs is None else 0,
        autoprobe=None,
        vfs=(),
        policies=(policy,),
        own=DesiredFunction(driver=driver, driver_override=override, resource_name=resource_name, policy=policy),
    )


def given_back_own(original: Original) -> DesiredFunction | None:
    """The function as it was before it was handed out; None where it never was."""
    if original.own is None:
        return None
    override = original.own.driver_override
    return DesiredFunction(driver=original.own.driver, driver_override=override, resource_name=None, policy=None)

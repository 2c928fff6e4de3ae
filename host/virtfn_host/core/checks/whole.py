"""The desired state of a whole function: while it is handed out, and when it is given back.

`usable.py` checks whether a function may be handed out; `resolve.py` decides which policy gets it.
"""

from dataclasses import replace

from virtfn_host.core.values.desired import KERNEL_DRIVER, DesiredFunction, DesiredPf
from virtfn_host.core.values.model import Function, Original, Pf


def whole_pf(function: Function, driver: str, resource_name: str | None, policy: str) -> DesiredPf:
    """Return the desired state of a function that is handed out whole: without VFs, on one driver."""
    override = None if driver == KERNEL_DRIVER else driver
    return DesiredPf(
        address=function.address,
        num_vfs=0 if isinstance(function, Pf) else None,
        autoprobe=None,
        vfs=(),
        policies=(policy,),
        own=DesiredFunction(driver=driver, driver_override=override, resource_name=resource_name, policy=policy),
    )


def with_terms(made: DesiredPf, *, unsafe_no_iommu: bool, require_link: bool) -> DesiredPf:
    """Return the desired state of a whole function with the terms of its policy."""
    if made.own is None:
        return made
    return replace(made, own=replace(made.own, unsafe_no_iommu=unsafe_no_iommu, require_link=require_link))


def given_back_own(original: Original) -> DesiredFunction | None:
    """Return the function's state before it was handed out; None if it never was."""
    if original.own is None:
        return None
    override = original.own.driver_override
    return DesiredFunction(driver=original.own.driver, driver_override=override, resource_name=None, policy=None)

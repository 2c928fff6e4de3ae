"""A function handed out itself: what it should then look like, and how it was before.

When that must not be is `usable.py`; what of a PF is claimed by whom is `resolve.py`.
"""

from virtfn_host.core.values.desired import KERNEL_DRIVER, DesiredFunction, DesiredPf
from virtfn_host.core.values.model import Function, Original, Pf


def whole_pf(function: Function, driver: str, resource_name: str | None, policy: str) -> DesiredPf:
    """A function handed out itself: without VFs, on one driver."""
    override = None if driver == KERNEL_DRIVER else driver
    return DesiredPf(
        address=function.address,
        num_vfs=0 if isinstance(function, Pf) else None,
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

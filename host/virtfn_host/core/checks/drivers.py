"""Checks, before any change, that this kernel has a driver or can load it. Pure.

`usable.py` has the checks of a single function.
"""

from virtfn_host.core.checks.usable import Hindrance
from virtfn_host.core.values.desired import KERNEL_DRIVER, DesiredPf
from virtfn_host.core.values.model import Inventory
from virtfn_host.core.values.reasons import Reason


def driver_trouble(inventory: Inventory, driver: str) -> Hindrance | None:
    """Return why no function of this machine can be bound to a driver; None if one can, or if that is unknown."""
    if driver in inventory.drivers or inventory.loadable is None or driver in inventory.loadable:
        return None
    if "vfio" in driver:
        text = f"the running kernel ({inventory.kernel}) has no module for {driver}"
        remedy = f"install the package that has it, or name one of these drivers: {_known(inventory)}"
        return Hindrance(reason=Reason.MODULE_MISSING, message=text, remedy=remedy)
    # Its module may be on the disk all the same, and name no function of this machine.
    text = f"no driver {driver} is loaded, and no module for vfio or for a device of this machine has this name"
    where = "where it is installed, or the module that brings it, whose name may be another one"
    remedy = f"modprobe {driver} {where}; or name one of {_known(inventory)}"
    return Hindrance(reason=Reason.DRIVER_MISSING, message=text, remedy=remedy)


def wanted_driver_trouble(inventory: Inventory, wanted: DesiredPf) -> Hindrance | None:
    """Return the first trouble with a driver that a policy asks for. Functions that are given back are not checked."""
    asked = [vf.driver for vf in (*wanted.vfs, *((wanted.own,) if wanted.own else ())) if vf.policy is not None]
    for driver in dict.fromkeys(asked):
        if driver is not None and driver != KERNEL_DRIVER and (found := driver_trouble(inventory, driver)) is not None:
            return found
    return None


def _known(inventory: Inventory) -> str:
    registered = [name for name in inventory.drivers if "vfio" in name]
    return ", ".join(sorted({*registered, *(inventory.loadable or ())})) or "none"

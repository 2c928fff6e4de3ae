"""What hinders before anything is changed: drivers that this kernel has not and cannot load. Pure.

The IOMMU and the groups are checked where claims meet devices (`resolve.py`) and VFs are bound (`plan.py`).
"""

from virtfn_host.core.values.desired import KERNEL_DRIVER, DesiredPf
from virtfn_host.core.values.model import Inventory
from virtfn_host.core.values.reasons import Reason


def driver_trouble(inventory: Inventory, driver: str) -> tuple[Reason, str] | None:
    """Why no function of this machine can be bound to a driver; None where it can, or where nobody can tell."""
    if driver in inventory.drivers or inventory.loadable is None or driver in inventory.loadable:
        return None
    if "vfio" in driver:
        text = f"the running kernel ({inventory.kernel}) has no module for {driver}; install the package that has it"
        return Reason.MODULE_MISSING, f"{text}, or name another of {_known(inventory)}"
    return Reason.DRIVER_MISSING, f"no driver is called {driver}; vfio drivers of this kernel: {_known(inventory)}"


def wanted_driver_trouble(inventory: Inventory, wanted: DesiredPf) -> tuple[Reason, str] | None:
    """The first trouble with a driver that somebody asks for; what is given back goes to whatever it had."""
    asked = [vf.driver for vf in (*wanted.vfs, *((wanted.own,) if wanted.own else ())) if vf.policy is not None]
    for driver in dict.fromkeys(asked):
        if driver is not None and driver != KERNEL_DRIVER and (found := driver_trouble(inventory, driver)) is not None:
            return found
    return None


def _known(inventory: Inventory) -> str:
    registered = [name for name in inventory.drivers if "vfio" in name]
    return ", ".join(sorted({*registered, *(inventory.loadable or ())})) or "none"

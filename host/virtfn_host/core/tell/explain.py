"""explain(function, ...) -> what a function is, and whether it can be passed through; if not, why and what would help.

Pure: `linux/look/surroundings.py` reads what is asked here. Nothing is ever changed: no boot command line, no reboot.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from virtfn_host.core.checks.aliases import VFIO_PCI, driver_of, modules_for, vfio_drivers
from virtfn_host.core.checks.drivers import driver_trouble
from virtfn_host.core.checks.iommu_off import why_no_group
from virtfn_host.core.checks.usable import (
    Hindrance,
    behind_port,
    has_vfs,
    held,
    needed,
    no_iommu,
    no_pf_driver,
    offers_no_vfs,
    shared_group,
    unreadable,
)
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.holders import Cause, Holder
from virtfn_host.core.values.model import Function, Inventory, IommuGroup, Pf, Vf
from virtfn_host.core.values.reasons import Reason

BRIDGE = Hindrance(
    reason=Reason.NO_MATCHING_DEVICE,
    message="is a bridge",
    remedy="the machine reaches other functions through it, so it is never handed out",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A PCI function of any kind, a bridge too, with what `explain` tells of it."""

    function: Function
    modalias: str
    group: IommuGroup | None
    num_vfs: int
    """Of one that is in no inventory, `function` lacks its VFs."""
    bridge: bool = False
    """A PCI bridge: it leads to other functions and is never handed out."""
    lock_trouble: str | None = None
    """It is on a vfio driver and its `/dev/vfio` node cannot be used from here, so nobody can tell who uses it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the machine offers for passthrough."""

    iommus: tuple[str, ...]
    """`/sys/class/iommu`: IOMMUs that are at work."""
    firmware_tables: tuple[str, ...] | None
    """`DMAR` (Intel), `IVRS` (AMD), `IORT` (Arm) of the firmware; None: not to be seen."""
    command_line: str
    """`/proc/cmdline`."""
    modules: tuple[str, ...]
    """Names of all modules of the running kernel, built in ones included; empty: not to be seen."""
    aliases: str
    """`modules.alias` of the running kernel; empty: not to be seen."""
    drivers: tuple[str, ...]
    """PCI drivers that are registered now."""
    virtual_machine: bool = False
    """This machine is a guest, so its IOMMU is its hypervisor's to give."""
    package: str | None = None
    """What a person installs here to get a module that is missing, where that is known."""

    @property
    def module_package(self) -> str:
        """The package, or words for it."""
        return f"the package {self.package}" if self.package else "the package with the modules of the running kernel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What there is to say of one function."""

    described: Described
    holders: tuple[Holder, ...]
    could_drive: tuple[str, ...]
    """Drivers it could be on: its own, then vfio drivers, the most specific first."""
    variants: tuple[str, ...]
    """Those of them that are vfio drivers made for devices like this one."""
    modules_seen: bool
    """False: the running kernel's modules are not to be seen from here, so `could_drive` may lack some."""
    hindrances: tuple[Hindrance, ...]
    """What is in the way of passing the function itself through; empty: it can be."""
    vf_hindrances: tuple[Hindrance, ...] | None
    """What is in the way of making VFs of it and passing those through; None: it has no SR-IOV."""

    @property
    def possible(self) -> bool:
        """It, or VFs of it, can be passed through."""
        return not self.hindrances or self.vf_hindrances == ()


def described(inventory: Inventory, address: PciAddress) -> Described | None:
    """A function as a look at the machine shows it; None where it is not among those that can be handed out."""
    function = inventory.find(address)
    if function is None:
        return None
    number = function.iommu_group
    # A group that did not read is told as such, and is a group all the same.
    group = None if number is None else inventory.group(number) or IommuGroup(number=number, members=())
    return Described(function=function, modalias="", group=group, num_vfs=function.num_vfs)


def explain(
    described: Described, inventory: Inventory, surroundings: Surroundings, holders: tuple[Holder, ...]
) -> Explanation:
    """All that hinders, the most basic first: the first of it is what `virtfn bind` would say."""
    vfio = _vfio_here(described, surroundings)
    own = [driver_of(module) for module in modules_for(surroundings.aliases, described.modalias)]
    whole = [BRIDGE] if described.bridge else _whole(described, inventory, surroundings, holders)
    pf = described.function if isinstance(described.function, Pf) and not described.bridge else None
    return Explanation(
        described=described,
        holders=holders,
        could_drive=tuple(dict.fromkeys((*own, *vfio))),
        variants=tuple(name for name in vfio if name != VFIO_PCI),
        modules_seen=bool(surroundings.modules or surroundings.aliases),
        hindrances=_found(whole),
        vf_hindrances=None if pf is None else _found(_vfs(pf, described, inventory, surroundings, own)),
    )


def _found(checked: Sequence[Hindrance | None]) -> tuple[Hindrance, ...]:
    return tuple(hindrance for hindrance in checked if hindrance is not None)


def _whole(
    described: Described, inventory: Inventory, around: Surroundings, holders: tuple[Holder, ...]
) -> list[Hindrance | None]:
    """What is in the way of passing the function itself through."""
    function = described.function
    wanted = (function.driver if function.vfio_bound else None) or VFIO_PCI
    # Said already: what the machine needs is told a second time, as a holder.
    users = [h for h in holders if function.needed_for is None or h.cause is not Cause.NEEDED]
    return [
        needed(function.needed_for),
        has_vfs(described.num_vfs),
        _no_iommu(described, around),
        _unread(function, inventory),
        _no_vfio(inventory, around, wanted),
        shared_group(function.address, described.group, is_vf=isinstance(function, Vf)),
        # On a vfio driver already: it is passed through, to whoever holds it.
        None if function.vfio_bound else held(users, function.driver, wanted),
    ]


def _vfs(
    pf: Pf, described: Described, inventory: Inventory, around: Surroundings, own: list[str]
) -> list[Hindrance | None]:
    """What is in the way of making VFs of it and passing those through."""
    return [
        offers_no_vfs(pf.total_vfs),
        _no_pf_driver(pf, around, own),
        _no_iommu(described, around),
        behind_port(pf.address, described.group),
        _unread(pf, inventory),
        _no_vfio(inventory, around, VFIO_PCI),
    ]


# --- remedies that explain knows better: it reads the firmware's tables, the command line, the list of modules -------


def _no_iommu(described: Described, around: Surroundings) -> Hindrance | None:
    found = no_iommu(None if described.group is None else described.group.number)
    if found is None:
        return None
    remedy = why_no_group(
        iommus=around.iommus,
        tables=around.firmware_tables,
        command_line=around.command_line,
        virtual_machine=around.virtual_machine,
    )
    return replace(found, remedy=remedy)


def _no_vfio(inventory: Inventory, around: Surroundings, driver: str) -> Hindrance | None:
    found = driver_trouble(inventory, driver)
    if found is None or driver != VFIO_PCI:
        return found
    return replace(found, remedy=f"install {around.module_package}, then try `modprobe vfio-pci`")


def _no_pf_driver(function: Function, around: Surroundings, own: list[str]) -> Hindrance | None:
    found = no_pf_driver(function.driver, vfio_bound=function.vfio_bound)
    if found is None or function.driver is not None:
        return found
    if own:
        remedy = f"`modprobe {own[0]}`" + (", then bind it" if any(name in around.drivers for name in own) else "")
    elif around.aliases:
        remedy = f"no module of the running kernel knows it; install its driver, or {around.module_package}"
    else:
        remedy = "load its driver; the modules of the running kernel are not to be seen from here"
    return replace(found, remedy=remedy)


def _unread(function: Function, inventory: Inventory) -> Hindrance | None:
    card = inventory.find(function.pf if isinstance(function, Vf) else function.address)
    return None if card is None else next((hindrance for _, hindrance in unreadable(inventory, card)), None)


def _vfio_here(described: Described, around: Surroundings) -> tuple[str, ...]:
    """vfio drivers that this kernel has for it: by their aliases, and vfio-pci also built in or already loaded."""
    found = vfio_drivers(around.aliases, described.modalias)
    known = {driver_of(name) for name in (*around.modules, *around.drivers)}
    return tuple(dict.fromkeys((*found, *([VFIO_PCI] if VFIO_PCI in known else []))))

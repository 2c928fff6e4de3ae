"""explain(function, ...) -> a description of a function, and whether it can be passed through; if not, why, and the
remedy.

Pure: `linux/look/surroundings.py` reads the facts. Nothing is changed: no boot command line, no reboot.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from virtfn_host.core.checks.aliases import VFIO_PCI, driver_of, modules_for, vfio_drivers
from virtfn_host.core.checks.drivers import driver_trouble
from virtfn_host.core.checks.healthy import lacking
from virtfn_host.core.checks.iommu_off import why_no_group
from virtfn_host.core.checks.usable import (
    UNSAFE,
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
    vf_token,
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
    """A PCI function of any kind, bridges included, with the facts for `explain`."""

    function: Function
    modalias: str
    group: IommuGroup | None
    num_vfs: int
    """The number of its VFs. A function that is in no inventory has no VFs in `function`."""
    bridge: bool = False
    """Whether it is a PCI bridge: it leads to other functions and is never handed out."""
    lock_trouble: str | None = None
    """Why its `/dev/vfio` node cannot be used here, so that its holders are unknown; only on a vfio driver."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Facts about the machine and its kernel that matter for passthrough."""

    iommus: tuple[str, ...]
    """IOMMUs that are on: names in `/sys/class/iommu`."""
    firmware_tables: tuple[str, ...] | None
    """The firmware's `DMAR` (Intel), `IVRS` (AMD), `IORT` (Arm); None: they cannot be seen here."""
    command_line: str
    """`/proc/cmdline`."""
    modules: tuple[str, ...]
    """Names of all modules of the running kernel, also of those built in; empty: they cannot be seen here."""
    aliases: str
    """`modules.alias` of the running kernel; empty: it cannot be seen here."""
    drivers: tuple[str, ...]
    """PCI drivers that are registered now."""
    virtual_machine: bool = False
    """Whether this machine is a guest, whose hypervisor must give it an IOMMU."""
    package: str | None = None
    """The package that has the kernel's modules here; None: not known."""

    @property
    def module_package(self) -> str:
        """The package's name, or a description of it."""
        return f"the package {self.package}" if self.package else "the package with the modules of the running kernel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The explanation of one function."""

    described: Described
    holders: tuple[Holder, ...]
    could_drive: tuple[str, ...]
    """Drivers that support it: its own, then vfio drivers, the most specific first."""
    variants: tuple[str, ...]
    """The vfio drivers among them that are made for this device."""
    modules_seen: bool
    """False: the running kernel's modules cannot be seen here, so `could_drive` may lack some."""
    hindrances: tuple[Hindrance, ...]
    """Problems that keep the function itself from being passed through; empty: it can be."""
    vf_hindrances: tuple[Hindrance, ...] | None
    """Problems that keep VFs of it from being made and passed through; None: it has no SR-IOV."""

    @property
    def possible(self) -> bool:
        """Whether the function, or VFs of it, can be passed through."""
        return not self.hindrances or self.vf_hindrances == ()


def described(inventory: Inventory, address: PciAddress) -> Described | None:
    """Return a function of the inventory with its facts; None if it is not one that can be handed out."""
    function = inventory.find(address)
    if function is None:
        return None
    number = function.iommu_group
    # A group that could not be read is reported as unreadable, and still counts as a group.
    group = None if number is None else inventory.group(number) or IommuGroup(number=number, members=())
    return Described(function=function, modalias="", group=group, num_vfs=function.num_vfs)


def explain(
    described: Described, inventory: Inventory, surroundings: Surroundings, holders: tuple[Holder, ...]
) -> Explanation:
    """Return all problems of a function, the most basic first; `virtfn bind` would report the first."""
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
    """Check the function itself."""
    function = described.function
    wanted = (function.driver if function.vfio_bound else None) or VFIO_PCI
    # `needed` reports this already, and a holder repeats it.
    users = [h for h in holders if function.needed_for is None or h.cause is not Cause.NEEDED]
    return [
        needed(function.needed_for),
        has_vfs(described.num_vfs),
        _no_iommu(described, inventory, around),
        vf_token(function, inventory) if isinstance(function, Vf) else None,
        _unread(function, inventory),
        _no_vfio(inventory, around, wanted),
        shared_group(function.address, described.group, is_vf=isinstance(function, Vf)),
        # On a vfio driver it is passed through already, to its holder.
        None if function.vfio_bound else held(users, function.driver, wanted),
        *(lacking(function, inventory) if function.vfio_bound else ()),
    ]


def _vfs(
    pf: Pf, described: Described, inventory: Inventory, around: Surroundings, own: list[str]
) -> list[Hindrance | None]:
    """Check the VFs that it could make."""
    return [
        offers_no_vfs(pf.total_vfs),
        _no_pf_driver(pf, around, own),
        _no_iommu(described, inventory, around),
        behind_port(pf.address, described.group),
        _unread(pf, inventory),
        _no_vfio(inventory, around, VFIO_PCI),
    ]


# --- better remedies, from the firmware's tables, the command line and the list of modules ---------------------------


def _no_iommu(described: Described, inventory: Inventory, around: Surroundings) -> Hindrance | None:
    found = no_iommu(None if described.group is None else described.group.number, inventory)
    if found is None or described.group is not None:
        return found
    remedy = why_no_group(
        iommus=around.iommus,
        tables=around.firmware_tables,
        command_line=around.command_line,
        virtual_machine=around.virtual_machine,
    )
    return replace(found, remedy=f"{remedy}{UNSAFE}")


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
        remedy = f"no module of the running kernel supports it; install its driver, or {around.module_package}"
    else:
        remedy = "load its driver; virtfn cannot see the modules of the running kernel here"
    return replace(found, remedy=remedy)


def _unread(function: Function, inventory: Inventory) -> Hindrance | None:
    card = inventory.find(function.pf if isinstance(function, Vf) else function.address)
    return None if card is None else next((hindrance for _, hindrance in unreadable(inventory, card)), None)


def _vfio_here(described: Described, around: Surroundings) -> tuple[str, ...]:
    """Return this kernel's vfio drivers for a function, by their aliases; vfio-pci may also be built in or loaded."""
    found = vfio_drivers(around.aliases, described.modalias)
    known = {driver_of(name) for name in (*around.modules, *around.drivers)}
    return tuple(dict.fromkeys((*found, *([VFIO_PCI] if VFIO_PCI in known else []))))

"""explain(function, ...) -> what a function is, and whether it can be passed through; if not, why and what would help.

Pure: `linux/look/surroundings.py` reads what is asked here. Nothing is ever changed: no boot command line, no reboot.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from virtfn_host.core.checks.aliases import VFIO_PCI, driver_of, modules_for, vfio_drivers
from virtfn_host.core.checks.groups import HARMLESS_DRIVERS, spoilers
from virtfn_host.core.checks.iommu_off import why_no_group
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.holders import Cause, Holder, holder_text
from virtfn_host.core.values.model import IommuGroup
from virtfn_host.core.values.reasons import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One PCI function of any kind, as sysfs shows it."""

    address: PciAddress
    vendor: str
    device: str
    class_code: str
    driver: str | None
    driver_override: str | None
    modalias: str
    numa_node: int | None
    group: IommuGroup | None
    vfio_bound: bool
    pf: PciAddress | None
    """Its PF, when it is a VF."""
    index: int | None
    """Its VF index."""
    total_vfs: int | None
    """How many VFs it can make; None: it has no SR-IOV."""
    num_vfs: int
    netdevs: tuple[str, ...]
    bridge: bool = False
    """A PCI bridge: it leads to other functions and is never handed out."""
    needed_for: str | None = None
    """What this machine cannot do without it."""
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
class Hindrance:
    """One thing in the way, and what would remove it."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What there is to say of one function."""

    function: Function
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


def explain(function: Function, surroundings: Surroundings, holders: tuple[Holder, ...]) -> Explanation:
    """All that hinders, the most basic first."""
    vfio = _vfio_here(function, surroundings)
    own = [driver_of(module) for module in modules_for(surroundings.aliases, function.modalias)]
    basic = [*_no_iommu(function, surroundings), *_vfio_missing(vfio, surroundings)]
    whole = [
        *_bridge(function),
        *basic,
        *_group(function),
        *_needed(function),
        *_has_vfs(function),
        *_in_use(function, holders),
        *_lock(function),
    ]
    vfs = [*_no_vfs(function, surroundings, own), *basic, *_group_of_vfs(function)]
    return Explanation(
        function=function,
        holders=holders,
        could_drive=tuple(dict.fromkeys((*own, *vfio))),
        variants=tuple(name for name in vfio if name != VFIO_PCI),
        modules_seen=bool(surroundings.modules or surroundings.aliases),
        hindrances=tuple(whole if not function.bridge else whole[:1]),
        vf_hindrances=None if function.total_vfs is None or function.bridge else tuple(vfs),
    )


def _vfio_here(function: Function, around: Surroundings) -> tuple[str, ...]:
    """vfio drivers that this kernel has for it: by their aliases, and vfio-pci also built in or already loaded."""
    found = vfio_drivers(around.aliases, function.modalias)
    known = {driver_of(name) for name in (*around.modules, *around.drivers)}
    return tuple(dict.fromkeys((*found, *([VFIO_PCI] if VFIO_PCI in known else []))))


def _bridge(function: Function) -> Iterator[Hindrance]:
    if function.bridge:
        text = "it is a bridge: the machine reaches other functions through it, so it is never handed out"
        yield Hindrance(reason=Reason.NO_MATCHING_DEVICE, message=text)


def _no_iommu(function: Function, around: Surroundings) -> Iterator[Hindrance]:
    if function.group is None:
        text = why_no_group(
            iommus=around.iommus,
            tables=around.firmware_tables,
            command_line=around.command_line,
            virtual_machine=around.virtual_machine,
        )
        yield Hindrance(reason=Reason.NO_IOMMU, message=text)


def _vfio_missing(vfio: tuple[str, ...], around: Surroundings) -> Iterator[Hindrance]:
    # What cannot be seen is not missing: a container without /lib/modules, a kernel with all of it built in.
    if not vfio and around.modules:
        text = f"the running kernel has no vfio-pci, loaded or as a module; install {around.module_package}"
        yield Hindrance(reason=Reason.MODULE_MISSING, message=f"{text}, then try `modprobe vfio-pci`")


def _group(function: Function) -> Iterator[Hindrance]:
    others = spoilers(function.group, {function.address})
    if function.group is None or not others:
        return
    named = ", ".join(f"{member.address} ({member.driver})" for member in others)
    text = f"it shares IOMMU group {function.group.number} with {named}; a group is handed out as one"
    card = {(a.domain, a.bus, a.device) for a in (function.address, *(member.address for member in others))}
    if len(card) == 1 and function.pf is None:
        hint = "they are functions of one card: give those to a vfio driver too (`virtfn bind`)"
    else:
        hint = "put the card into a slot with ACS (switch ACS on in the firmware, if it is there), or free those too"
    yield Hindrance(reason=Reason.GROUP_NOT_VIABLE, message=f"{text}; {hint}")


def _needed(function: Function) -> Iterator[Hindrance]:
    if function.needed_for is not None:
        text = f"this machine needs it: {function.needed_for}; move that elsewhere first"
        yield Hindrance(reason=Reason.NEEDED_BY_MACHINE, message=text)


def _has_vfs(function: Function) -> Iterator[Hindrance]:
    if function.num_vfs and not function.vfio_bound:
        text = f"it has {function.num_vfs} VFs, which would go with its driver; end them first"
        hint = "`virtfn restore` if virtfn made them, or a policy with count: 0"
        yield Hindrance(reason=Reason.FUNCTION_TAKEN, message=f"{text} ({hint})")


def _in_use(function: Function, holders: tuple[Holder, ...]) -> Iterator[Hindrance]:
    if function.vfio_bound:
        return  # on a vfio driver already: it is passed through, to whoever holds it
    for holder in holders:
        if function.needed_for is not None and holder.cause is Cause.NEEDED:
            continue  # said already
        end = "so it counts as in use" if holder.unknown else "end that use first"
        yield Hindrance(reason=Reason.VFS_IN_USE, message=f"{holder_text(holder)}; {end}")


def _lock(function: Function) -> Iterator[Hindrance]:
    if function.lock_trouble is not None:
        text = f"the in-use lock cannot be taken from here: {function.lock_trouble}"
        yield Hindrance(reason=Reason.VFS_IN_USE, message=f"{text}; so virtfn would leave it as it is")


def _no_vfs(function: Function, around: Surroundings, own: list[str]) -> Iterator[Hindrance]:
    if function.total_vfs == 0:
        text = "it offers no VFs (sriov_totalvfs is 0): its firmware or its driver has SR-IOV switched off"
        hint = "switch it on in the machine's or the card's firmware settings (BIOS, mlxconfig, nvme set-feature, ...)"
        yield Hindrance(reason=Reason.SRIOV_UNSUPPORTED, message=f"{text}; {hint}")
    if function.driver is not None:
        return
    if own:
        hint = f"`modprobe {own[0]}`"
        hint += ", then bind it" if any(name in around.drivers for name in own) else ""
    elif around.aliases:
        hint = f"no module of the running kernel knows it; install its driver, or {around.module_package}"
    else:
        hint = "load its driver; the modules of the running kernel are not to be seen from here"
    text = "it has no driver, and only its driver makes VFs"
    yield Hindrance(reason=Reason.PF_DRIVER_MISSING, message=f"{text}; {hint}")


def _group_of_vfs(function: Function) -> Iterator[Hindrance]:
    """Behind a switch without ACS the port, the PF and all its VFs are one group (measured)."""
    if function.group is None:
        return
    others = [m for m in function.group.members if m.address != function.address]
    port = next((m for m in others if m.driver in HARMLESS_DRIVERS), None)
    if port is not None:
        text = f"it shares IOMMU group {function.group.number} with port {port.address}, so its VFs would too"
        hint = "put the card into a slot with ACS"
        yield Hindrance(reason=Reason.GROUP_NOT_VIABLE, message=f"{text}, and a VF cannot leave it alone; {hint}")

"""explain(function, ...) -> what a function is, and whether it can be passed through; if not, why and what would help.

Pure: `linux/surroundings.py` reads what is asked here. Nothing is ever changed: no boot command line, no reboot.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from virtfn_host.core.address import PciAddress
from virtfn_host.core.groups import spoilers
from virtfn_host.core.model import Holder, IommuGroup
from virtfn_host.core.reasons import Reason


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
    """How many VFs it can make; None: it cannot."""
    num_vfs: int
    netdevs: tuple[str, ...]


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
    """`modules.alias` of the running kernel."""
    drivers: tuple[str, ...]
    """PCI drivers that are registered now."""


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
    """Modules that could drive it: its own, then vfio drivers, the most special first."""
    hindrances: tuple[Hindrance, ...]
    """Empty: it can be passed through."""


def explain(function: Function, surroundings: Surroundings, holders: tuple[Holder, ...]) -> Explanation:
    """All that hinders, the most basic first."""
    vfio = vfio_drivers(surroundings.aliases, function.modalias)
    own = tuple(dict.fromkeys(_matching(surroundings.aliases, "pci:", function.modalias)))
    hindrances = [
        *_no_iommu(function, surroundings),
        *_module_missing(vfio, surroundings),
        *_group(function),
        *_in_use(function, holders),
    ]
    return Explanation(
        function=function,
        holders=holders,
        could_drive=tuple(dict.fromkeys((*own, *vfio))),
        hindrances=tuple(hindrances),
    )


def vfio_drivers(aliases: str, modalias: str) -> tuple[str, ...]:
    """vfio drivers for a device by what the running kernel's modules say of themselves, variants before vfio-pci.

    Variant drivers have aliases `vfio_pci:v000015B3d...` since Linux 5.15 (Documentation/driver-api/vfio-pci-device-
    specific-driver-acceptance.rst), so that no table of devices is needed; vfio-pci itself matches every device.
    """
    found = _matching(aliases, "vfio_pci:", modalias)
    variants = [module for module in dict.fromkeys(found) if module != "vfio-pci"]
    return (*variants, "vfio-pci")


def _matching(aliases: str, prefix: str, modalias: str) -> list[str]:
    """Modules with an alias under this prefix that fits; `alias PATTERN MODULE` lines, `_` and `-` are one."""
    wanted = prefix + modalias.partition(":")[2]
    found = []
    for line in aliases.splitlines():
        match = re.fullmatch(r"alias (\S+) (\S+)", line)
        if match and match[1].startswith(prefix) and fnmatchcase(wanted, match[1]):
            found.append(match[2].replace("_", "-") if prefix == "vfio_pci:" else match[2])
    return found


def _no_iommu(function: Function, around: Surroundings) -> list[Hindrance]:
    if function.group is not None:
        return []
    if around.iommus:
        text = "it is behind no IOMMU, though this machine has one; firmware left it out, or its slot is not covered"
    elif around.firmware_tables == ():
        text = "the firmware shows no IOMMU; switch VT-d, AMD-Vi or SMMU on in the firmware's settings"
    else:
        seen = " and ".join(around.firmware_tables or ()) or "not to be seen here"
        text = f"the IOMMU is off (firmware tables: {seen}); {_command_line(around.command_line)}"
    return [Hindrance(reason=Reason.NO_IOMMU, message=text)]


def _command_line(text: str) -> str:
    words = text.split()
    for word in words:
        if word in ("intel_iommu=off", "amd_iommu=off", "iommu=off"):
            return f"the kernel was started with {word}: remove it and reboot"
    return "start the kernel with intel_iommu=on (Intel), or without amd_iommu=off (AMD), and reboot"


def _module_missing(vfio: Sequence[str], around: Surroundings) -> list[Hindrance]:
    known = {name.replace("_", "-") for name in (*around.modules, *around.drivers)}
    if not around.modules or "vfio-pci" in known or any(name in known for name in vfio):
        return []
    text = "the running kernel has no vfio-pci; install the package with its modules (Debian: linux-image-*)"
    return [Hindrance(reason=Reason.MODULE_MISSING, message=text)]


def _group(function: Function) -> list[Hindrance]:
    others = spoilers(function.group, {function.address})
    if function.group is None or not others:
        return []
    named = ", ".join(f"{member.address} ({member.driver})" for member in others)
    text = f"it shares IOMMU group {function.group.number} with {named}; a group is handed out as one: put the card"
    return [Hindrance(reason=Reason.GROUP_NOT_VIABLE, message=f"{text} into a slot with ACS, or free those too")]


def _in_use(function: Function, holders: tuple[Holder, ...]) -> list[Hindrance]:
    if function.vfio_bound or not holders:
        return []  # on a vfio driver already: it is passed through, to whoever holds it
    return [Hindrance(reason=Reason.VFS_IN_USE, message=f"{holder.text}; end that use first") for holder in holders]

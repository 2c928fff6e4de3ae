"""Drivers on the disk that are the functions' own: those whose modules name a function of this machine, or its VFs.

Such a module need not be loaded yet: a policy that asks for its driver by name has it loaded.
"""

from collections.abc import Iterable
from functools import lru_cache

from virtfn_host.core.checks.aliases import driver_of, modules_for
from virtfn_host.core.values.address import PciAddress
from virtfn_host.linux.errors import SysfsReadError
from virtfn_host.linux.look.preflight import ALIAS_TABLES, alias_lines, stamp
from virtfn_host.linux.read.sysfs import Sysfs


def own_drivers(sysfs: Sysfs, pfs: Iterable[PciAddress]) -> frozenset[str]:
    """Return the drivers that the running kernel's modules have for functions and their VFs; empty where unknown."""
    try:
        folder = str(sysfs.modules_folder())
        aliases = _aliases(folder, tuple(stamp(f"{folder}/{name}") for name in ALIAS_TABLES))
        texts = {text for pf in pfs for text in (_modalias(sysfs, pf), vf_modalias(sysfs, pf)) if text}
        return frozenset(driver_of(module) for text in texts for module in modules_for(aliases, text))
    except SysfsReadError:
        return frozenset()


def vf_modalias(sysfs: Sysfs, pf: PciAddress) -> str | None:
    """Return the modalias of a PF's VFs, which need not be there yet: without subsystem, which a VF has of its own.

    Raises:
        SysfsReadError: it cannot be read.
    """
    device = sysfs.read(sysfs.device(pf, "sriov_vf_device"))
    if not device:
        return None
    vendor, code = sysfs.hex_digits(pf, "vendor").upper(), sysfs.hex_digits(pf, "class").upper().rjust(6, "0")
    ids = f"v{vendor:0>8}d{device.removeprefix('0x').upper():0>8}sv00000000sd00000000"
    return f"pci:{ids}bc{code[:2]}sc{code[2:4]}i{code[4:]}"


def _modalias(sysfs: Sysfs, pf: PciAddress) -> str | None:
    return sysfs.read(sysfs.device(pf, "modalias"))


@lru_cache(maxsize=2)
def _aliases(folder: str, stamps: tuple[int | None, ...]) -> str:  # noqa: ARG001
    """Read the tables; cached until a file changes, as in `preflight.py`."""
    return alias_lines(Sysfs(), folder)

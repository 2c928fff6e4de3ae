"""Find the modules and vfio drivers for a device in the text of modules.alias, as `modprobe -R` does.

Pure: text in, names out. Variant drivers list their devices as `vfio_pci:` aliases (since Linux 5.16), so this module
needs no table of devices.
"""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

VFIO_PCI = "vfio-pci"
_OWN, _VFIO = "pci:", "vfio_pci:"
_MODULE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,62}")
_LONGEST_LINE = 512
"""Characters; the alias of a PCI device has about 80."""


@dataclass(frozen=True, slots=True)
class _Alias:
    pattern: str
    module: str

    @property
    def wildcards(self) -> int:
        return self.pattern.count("*") + self.pattern.count("?")


def modules_for(aliases: str, modalias: str) -> tuple[str, ...]:
    """Return the modules with a native driver for a device, the most specific alias first: lspci's "kernel modules".

    Args:
        aliases: the text of `modules.alias` of the running kernel.
        modalias: the function's `modalias`, like `pci:v00008086d000010CAsv...`.
    """
    return tuple(dict.fromkeys(alias.module for alias in _matching(aliases, _OWN, modalias)))


def vfio_drivers(aliases: str, modalias: str) -> tuple[str, ...]:
    """Return the vfio drivers for a device, the most specific first; an alias of vfio-pci matches every device.

    Sorted by the number of wildcards, as in libvirt (Documentation/PCI/pci.rst leaves the order to user space).
    """
    return tuple(dict.fromkeys(driver_of(alias.module) for alias in _matching(aliases, _VFIO, modalias)))


def driver_of(module: str) -> str:
    """Return the name of the PCI driver that a module registers, derived from the module's name.

    Variant drivers register under the module's name (`mlx5_vfio_pci`, with underscores); only `vfio_pci` does not.
    """
    return VFIO_PCI if module.replace("-", "_") == "vfio_pci" else module


@lru_cache(maxsize=1024)
def _matching(aliases: str, prefix: str, modalias: str) -> tuple[_Alias, ...]:
    wanted = modalias.partition(":")[2]
    if not wanted:
        return ()
    vendors = _by_vendor(aliases, prefix)
    near = (*vendors.get(wanted[:9].upper(), ()), *vendors.get("", ()))
    return tuple(sorted((a for a in near if fnmatchcase(wanted, a.pattern)), key=lambda alias: alias.wildcards))


@lru_cache(maxsize=8)
def _by_vendor(aliases: str, prefix: str) -> dict[str, list[_Alias]]:
    """Return the aliases with one prefix by `v0000XXXX`, those for any vendor under "": a file has 20,000 lines."""
    found: dict[str, list[_Alias]] = {}
    start = f"alias {prefix}"
    for line in aliases.splitlines():
        if line.startswith(start):
            pattern, _, module = line[len(start) : _LONGEST_LINE].partition(" ")
            if not _MODULE.fullmatch(module.strip()):
                continue  # a bad line must not hide the others
            vendor = "" if pattern.startswith("v*") else pattern[:9].upper()
            found.setdefault(vendor, []).append(_Alias(pattern, module.strip()))
    return found

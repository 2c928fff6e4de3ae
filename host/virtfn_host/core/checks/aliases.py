"""modules.alias -> modules and vfio drivers that could drive a device, as `modprobe -R` would find them.

Pure: text in, names out. Variant drivers say what they drive by `vfio_pci:` aliases (since Linux 5.16), so no table of
devices is kept here.
"""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

VFIO_PCI = "vfio-pci"
_OWN, _VFIO = "pci:", "vfio_pci:"
_MODULE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,62}")
_LONGEST_LINE = 512
"""Characters; one of a PCI device has about 80."""


@dataclass(frozen=True, slots=True)
class _Alias:
    pattern: str
    module: str

    @property
    def wildcards(self) -> int:
        return self.pattern.count("*") + self.pattern.count("?")


def modules_for(aliases: str, modalias: str) -> tuple[str, ...]:
    """Modules with a driver of their own for it, the most specific alias first; what `lspci -k` calls kernel modules.

    Args:
        aliases: the text of `modules.alias` of the running kernel.
        modalias: the function's own `modalias`, like `pci:v00008086d000010CAsv...`.
    """
    return tuple(dict.fromkeys(alias.module for alias in _matching(aliases, _OWN, modalias)))


def vfio_drivers(aliases: str, modalias: str) -> tuple[str, ...]:
    """Drivers for passing it through, the most specific first; vfio-pci has an alias that fits every device.

    Sorted by wildcards, as libvirt does it (Documentation/PCI/pci.rst leaves the order to user space).
    """
    return tuple(dict.fromkeys(driver_of(alias.module) for alias in _matching(aliases, _VFIO, modalias)))


def driver_of(module: str) -> str:
    """The PCI driver that a module registers, as far as its name tells.

    Variant drivers register under the module's own name (`mlx5_vfio_pci`, with underscores); `vfio_pci` alone does not.
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
    """Entries of one prefix by `v0000XXXX`; under "" those for any vendor. A file has twenty thousand lines."""
    found: dict[str, list[_Alias]] = {}
    start = f"alias {prefix}"
    for line in aliases.splitlines():
        if line.startswith(start):
            pattern, _, module = line[len(start) : _LONGEST_LINE].partition(" ")
            if not _MODULE.fullmatch(module.strip()):
                continue  # one bad line costs itself alone
            vendor = "" if pattern.startswith("v*") else pattern[:9].upper()
            found.setdefault(vendor, []).append(_Alias(pattern, module.strip()))
    return found

"""What has to be so before anything may be changed: is the in-use lock usable here, which vfio drivers could be loaded.

A group's own node is never opened for this: a pod that starts at that moment would find it busy.
"""

import os
import re
from functools import lru_cache

from virtfn_host.core.values.model import Preflight
from virtfn_host.linux.errors import SysfsReadError
from virtfn_host.linux.read.sysfs import Sysfs

MODULE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,62}")
"""The name of a module; a line of a table that names something else names none."""

_ALIAS = "vfio_pci:"
"""What a vfio driver calls the devices it takes in modules.alias, vfio-pci itself too (Linux 5.16)."""

ALIAS_TABLES = ("modules.alias", "modules.builtin.modinfo")
"""Which devices modules take: of those on the disk, and of those that are part of the kernel image."""


def read_preflight(sysfs: Sysfs) -> Preflight:
    """What this process may and may not do here."""
    return Preflight(lock_error=lock_error(sysfs))


def lock_error(sysfs: Sysfs) -> str | None:
    """Why no group can be opened from here, or None; the container's device cgroup mostly.

    Tried on `/dev/vfio/vfio`, which any number may have open; the rule that lets us is the same.
    """
    if sysfs.names(sysfs.sys / "class/misc/vfio") is None:
        return None  # vfio is not loaded, or has iommufd alone: there is nothing to try it on, and no group to lock.
    node = sysfs.dev / "vfio/vfio"
    try:
        os.close(os.open(node, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        return f"there is no {node}, so nobody can tell what is in use; mount /dev of the host here"
    except OSError as error:
        text = f"opening {node}: {error.strerror}, so nobody can tell what is in use"
        return f"{text}; run this as root, in a privileged container or in none"
    return None


def loadable_drivers(sysfs: Sysfs) -> tuple[str, ...] | None:
    """vfio drivers, by the names that `driver_override` wants, that the running kernel's modules bring.

    None where its modules are not to be seen (no `modules.dep`, or one of its tables does not read), which is not the
    same as there being none.
    """
    folder = sysfs.modules_folder()
    names = ("modules.dep", "modules.builtin", *ALIAS_TABLES)
    stamps = tuple(_stamp(f"{folder}/{name}") for name in names)
    try:
        return None if stamps[0] is None else _drivers(str(folder), stamps)
    except SysfsReadError:
        return None


@lru_cache(maxsize=2)
def _drivers(folder: str, stamps: tuple[int | None, ...]) -> tuple[str, ...]:  # noqa: ARG001
    """Kept until a file changes: modules.alias has a megabyte or two, and a look comes every few seconds."""
    sysfs = Sysfs()  # not the one of this look, which is another each time, and would be kept with the answer
    listed = "\n".join(sysfs.read(f"{folder}/{name}") or "" for name in ("modules.dep", "modules.builtin"))
    modules = {module_name(line) for line in listed.splitlines()}
    # Drivers are mlx5_vfio_pci and the like, vfio_iommu_type1 and the like are parts of vfio itself.
    found = {
        name for name in modules if "vfio" in name and (not name.startswith("vfio") or _driver(name) == "vfio-pci")
    }
    found |= vfio_modules(alias_lines(sysfs, folder))
    return tuple(sorted({_driver(name) for name in found if MODULE.fullmatch(name)}))


def alias_lines(sysfs: Sysfs, folder: str) -> str:
    """`modules.alias` in a folder of modules, and the aliases of what is built in; empty: neither is there.

    Raises:
        SysfsReadError: one of the two does not read.
    """
    listed, built_in = (sysfs.read(f"{folder}/{name}") or "" for name in ALIAS_TABLES)
    # `vfio_pci.alias=vfio_pci:v*d*...`: modules.alias has only what is no part of the kernel image itself.
    pairs = [line.partition(".alias=") for line in built_in.split("\0") if ".alias=" in line]
    return "\n".join([listed, *(f"alias {pattern} {module}" for module, _, pattern in pairs)]).strip()


def vfio_modules(aliases: str) -> frozenset[str]:
    """The modules that say of themselves, by a `vfio_pci:` alias, that they bring a vfio driver."""
    lines = (line.split() for line in aliases.splitlines())
    return frozenset(words[2] for words in lines if len(words) == 3 and words[1].startswith(_ALIAS))


def module_name(line: str) -> str:
    """A line of modules.dep or modules.builtin: `kernel/drivers/vfio/pci/vfio-pci.ko.xz: other.ko` is `vfio-pci`."""
    return line.partition(":")[0].rpartition("/")[2].partition(".")[0]


def _driver(module: str) -> str:
    """A module's name has `_` for `-` in places; of the drivers only vfio-pci itself is written with `-`."""
    name = module.replace("-", "_")
    return "vfio-pci" if name == "vfio_pci" else name


def _stamp(path: str) -> int | None:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return None

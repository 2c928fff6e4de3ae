"""Preconditions of any change: whether the in-use lock works here, and which vfio drivers could be loaded.

No group's own node is opened for this, because a pod that starts at that moment would find it busy.
"""

import os
import re
from functools import lru_cache

from virtfn_host.core.values.model import Preflight
from virtfn_host.linux.errors import SysfsReadError
from virtfn_host.linux.read.sysfs import Sysfs

MODULE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,62}")
"""The name of a module. Lines of a table with other names are ignored."""

_ALIAS = "vfio_pci:"
"""Prefix of the aliases of vfio drivers in modules.alias, vfio-pci itself included (from Linux 5.16 on)."""

ALIAS_TABLES = ("modules.alias", "modules.builtin.modinfo")
"""Tables of the devices that modules take: modules on the disk, and modules built into the kernel image."""


def read_preflight(sysfs: Sysfs) -> Preflight:
    """Read what this process may do here."""
    return Preflight(lock_error=lock_error(sysfs))


def lock_error(sysfs: Sysfs) -> str | None:
    """Return why no group can be opened from here, or None. The usual cause is the container's device cgroup.

    The test opens `/dev/vfio/vfio`, which any number of processes may have open and which the same rule allows.
    """
    if sysfs.names(sysfs.sys / "class/misc/vfio") is None:
        return None  # vfio is not loaded, or has iommufd only: there is no node to test and no group to lock.
    node = sysfs.dev / "vfio/vfio"
    try:
        os.close(os.open(node, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        return f"there is no {node}, so virtfn cannot tell what is in use; mount /dev of the host here"
    except OSError as error:
        text = f"opening {node}: {error.strerror}, so virtfn cannot tell what is in use"
        return f"{text}; run this as root, in a privileged container or in none"
    return None


def loadable_drivers(sysfs: Sysfs) -> tuple[str, ...] | None:
    """Return the vfio drivers that the running kernel's modules bring, by the names that `driver_override` takes.

    None where its modules cannot be seen (no `modules.dep`, or a table cannot be read); an empty tuple where there are
    none.
    """
    folder = sysfs.modules_folder()
    names = ("modules.dep", "modules.builtin", *ALIAS_TABLES)
    stamps = tuple(stamp(f"{folder}/{name}") for name in names)
    try:
        return None if stamps[0] is None else _drivers(str(folder), stamps)
    except SysfsReadError:
        return None


@lru_cache(maxsize=2)
def _drivers(folder: str, stamps: tuple[int | None, ...]) -> tuple[str, ...]:  # noqa: ARG001
    """Parse the tables; cached until a file changes, because modules.alias has a megabyte or two."""
    sysfs = Sysfs()  # not that of the present look: the cache would keep each of them
    listed = "\n".join(sysfs.read(f"{folder}/{name}") or "" for name in ("modules.dep", "modules.builtin"))
    modules = {module_name(line) for line in listed.splitlines()}
    # mlx5_vfio_pci and the like are drivers; vfio_iommu_type1 and the like are parts of vfio itself.
    found = {
        name for name in modules if "vfio" in name and (not name.startswith("vfio") or _driver(name) == "vfio-pci")
    }
    found |= vfio_modules(alias_lines(sysfs, folder))
    return tuple(sorted({_driver(name) for name in found if MODULE.fullmatch(name)}))


def alias_lines(sysfs: Sysfs, folder: str) -> str:
    """Return `modules.alias` of a folder of modules and the aliases of built-in modules; empty where neither exists.

    Raises:
        SysfsReadError: one of the two cannot be read.
    """
    listed, built_in = (sysfs.read(f"{folder}/{name}") or "" for name in ALIAS_TABLES)
    # `vfio_pci.alias=vfio_pci:v*d*...`: modules.alias does not have the modules that are built into the kernel image.
    pairs = [line.partition(".alias=") for line in built_in.split("\0") if ".alias=" in line]
    return "\n".join([listed, *(f"alias {pattern} {module}" for module, _, pattern in pairs)]).strip()


def vfio_modules(aliases: str) -> frozenset[str]:
    """Return the modules with a `vfio_pci:` alias, which means that they bring a vfio driver."""
    lines = (line.split() for line in aliases.splitlines())
    return frozenset(words[2] for words in lines if len(words) == 3 and words[1].startswith(_ALIAS))


def module_name(line: str) -> str:
    """Return the module of a line of modules.dep or modules.builtin: `vfio-pci` of `.../vfio-pci.ko.xz: other.ko`."""
    return line.partition(":")[0].rpartition("/")[2].partition(".")[0]


def _driver(module: str) -> str:
    """The driver of a module. A module's name may have `-` for `_`; of the drivers only vfio-pci has a `-`."""
    name = module.replace("-", "_")
    return "vfio-pci" if name == "vfio_pci" else name


def stamp(path: str) -> int | None:
    """Return when a file last changed, or None where there is none."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return None

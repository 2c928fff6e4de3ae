"""What this machine cannot do without: functions that carry a mounted file system, swap, the default route, a console.

Such a function is never handed out. The host's view counts, not that of a container: mounts, routes and consoles are
those of process 1 under the given /proc.
"""

import os
from collections.abc import Iterator, Mapping

from virtfn_host.core.address import PciAddress
from virtfn_host.linux.errors import SysfsReadError
from virtfn_host.linux.onelook import OneLook
from virtfn_host.linux.sysfs import Sysfs

_HEX_ZERO_4, _HEX_ZERO_6 = "0" * 8, "0" * 32
_RTF_REJECT = 0x0200
"""Flag of a route that leads nowhere (linux/route.h); the kernel lists one of these where IPv6 has no default."""


def needed_for(look: OneLook, address: PciAddress) -> str | None:
    """What one function is needed for, in words; None: for nothing that can be seen.

    Raises:
        SysfsReadError: see `needed`.
    """
    if (text := look.once(needed).get(address)) is not None:
        return text
    # Asked of the one function and not in `needed`: to ask every VF of the machine cost more than all the rest of it.
    return "the firmware's display is on it" if look.read(look.device(address, "boot_vga")) == "1" else None


def needed(sysfs: Sysfs) -> Mapping[PciAddress, str]:
    """Functions below what this machine lives on, and in words what that is; not yet the firmware's display.

    Raises:
        SysfsReadError: the mounts or routes of the machine cannot be read, so nobody can tell.
    """
    found: dict[PciAddress, str] = {}
    for device, text in (*_file_systems(sysfs), *_swap(sysfs)):
        for address in _block_functions(sysfs, device):
            found.setdefault(address, text)
    for netdev, text in _default_routes(sysfs):
        for address in _net_functions(sysfs, netdev):
            found.setdefault(address, text)
    for path, text in _consoles(sysfs):
        for address in _ancestors(path):
            found.setdefault(address, text)
    return found


def _file_systems(sysfs: Sysfs) -> Iterator[tuple[str, str]]:
    """Block device names of mounted file systems. /proc/PID/mountinfo: proc(5)."""
    for line in (_of_init(sysfs, "mountinfo") or "").splitlines():
        left, _, right = line.partition(" - ")
        words, source = left.split(), right.split()[1] if len(right.split()) > 1 else ""
        if len(words) < 5:
            continue
        text = f"the file system on {words[4]} is on it"
        # Some file systems (btrfs) have a number of their own; then the source names the device.
        # Major 0 is no block device (most mounts: proc, cgroups), so there is nothing to look for.
        name = None if words[2].startswith("0:") else sysfs.link(f"{sysfs.sys}/dev/block/{words[2]}")
        if name is None and source.startswith("/dev/"):
            name = os.path.basename(os.path.realpath(sysfs.dev / source.removeprefix("/dev/")))
        if name is not None:
            yield name, text


def _swap(sysfs: Sysfs) -> Iterator[tuple[str, str]]:
    for line in (sysfs.read(sysfs.proc / "swaps") or "").splitlines()[1:]:
        source = line.split()[0]
        if source.startswith("/dev/"):
            name = os.path.basename(os.path.realpath(sysfs.dev / source.removeprefix("/dev/")))
            yield name, f"the swap space {source} is on it"


def _default_routes(sysfs: Sysfs) -> Iterator[tuple[str, str]]:
    for line in (_of_init(sysfs, "net/route") or "").splitlines()[1:]:
        words = line.split()
        if len(words) > 7 and words[1] == _HEX_ZERO_4 and words[7] == _HEX_ZERO_4:
            yield words[0], f"the default route goes through {words[0]}"
    for line in (_of_init(sysfs, "net/ipv6_route") or "").splitlines():
        words = line.split()
        if len(words) > 9 and words[:2] == [_HEX_ZERO_6, "00"] and not int(words[8], 16) & _RTF_REJECT:
            yield words[9], f"the IPv6 default route goes through {words[9]}"


def _consoles(sysfs: Sysfs) -> Iterator[tuple[str, str]]:
    for name in (sysfs.read(sysfs.sys / "class/tty/console/active") or "").split():
        yield _real(sysfs, "class/tty", name), f"the console {name} is on it"
    for name in sysfs.names(sysfs.sys / "class/graphics") or ():
        if name.startswith("fb") and name[2:].isdigit():
            yield _real(sysfs, "class/graphics", name), f"the console's frame buffer {name} is on it"


def _block_functions(sysfs: Sysfs, name: str) -> Iterator[PciAddress]:
    """Functions below a block device, through partitions, device mapper and RAID."""
    folder = _real(sysfs, "class/block", name)
    yield from _ancestors(folder)
    for part in (folder, os.path.dirname(folder)):
        for lower in sysfs.names(os.path.join(part, "slaves")) or ():
            yield from _block_functions(sysfs, lower)


def _net_functions(sysfs: Sysfs, name: str) -> Iterator[PciAddress]:
    """Functions below a netdev, through bridges, bonds and VLANs (`lower_NAME`)."""
    folder = _real(sysfs, "class/net", name)
    yield from _ancestors(folder)
    for entry in sysfs.names(folder) or ():
        if entry.startswith("lower_"):
            yield from _net_functions(sysfs, entry.removeprefix("lower_"))


def _real(sysfs: Sysfs, folder: str, name: str) -> str:
    """The folder that a link of sysfs leads to: one step, so `realpath`, which asks for every part, is not needed."""
    link = f"{sysfs.sys}/{folder}/{name}"
    try:
        return os.path.normpath(os.path.join(os.path.dirname(link), os.readlink(link)))
    except OSError:  # No such thing, or no link: whoever looks into it will see.
        return link


def _ancestors(path: str) -> Iterator[PciAddress]:
    """PCI functions on the way to a device: `/sys/devices/pci0000:00/0000:00:1d.0/0000:02:00.0/nvme/...`."""
    for part in path.split("/"):
        try:
            yield PciAddress.parse(part)
        except ValueError:
            continue


def _of_init(sysfs: Sysfs, name: str) -> str | None:
    """A file of process 1; an ordinary user may not read its mounts, and sees those of his own process instead."""
    try:
        return sysfs.read(sysfs.proc / "1" / name)
    except SysfsReadError as error:
        if not isinstance(error.__cause__, PermissionError):
            raise
        return sysfs.read(sysfs.proc / "self" / name)

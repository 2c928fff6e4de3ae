"""What this machine needs: functions that carry a mounted file system, swap, the default route, a console.

These functions are never handed out. The host's view counts, not a container's: mounts, routes and consoles are those
of process 1 under the given /proc. If one of these tables cannot be read, every function counts as needed. If it cannot
be told which disks a file system or swap space is on, every function with a disk does.
"""

import contextlib
import errno
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from virtfn_host.core.values.address import PciAddress
from virtfn_host.linux.errors import SysfsReadError
from virtfn_host.linux.read.onelook import OneLook
from virtfn_host.linux.read.sysfs import Sysfs

_HEX_ZERO_4, _HEX_ZERO_6 = "0" * 8, "0" * 32
_BLOCK_NUMBER = re.compile(r"(?!0:)[0-9]{1,10}:[0-9]{1,10}")
_WORD = re.compile(r"[^ \t]+")
_FRAME_BUFFER = re.compile(r"fb[0-9]{1,5}")
_ZFS_VOLUME = re.compile(r"zd[0-9]+(?:p[0-9]+)?")
_XFS_DEVICE = re.compile(r"(?:logdev|rtdev)=([^,]+)")
_NVME_DISK = re.compile(r"(.*/nvme-subsystem/nvme-subsys[0-9]+)/(nvme[0-9]+)(n[0-9]+)(?:/|$)")
_NVME_CONTROLLER = re.compile(r"nvme[0-9]+")
_NO_TEXT = "\ufffd"
"""The character that replaces bytes that are not UTF-8 (sysfs.py)."""
_RTF_REJECT = 0x0200
"""Flag of a route that leads nowhere (linux/route.h). The kernel lists one where IPv6 has no default route."""


NOBODY_CAN_TELL = "cannot tell what this machine needs"


def needed_for(look: OneLook, address: PciAddress) -> str | None:
    """Say what this machine needs one function for; None: for nothing that can be seen.

    Raises:
        SysfsReadError: an attribute of the function itself cannot be read.
    """
    needs = look.once(_needs)
    if (text := needs.known.get(address) or needs.trouble) is not None:
        return text
    # Read of this function only, not in `needed`: to read it of every VF took longer than all the rest of the look.
    return "the firmware's display is on it" if look.read(look.device(address, "boot_vga")) == "1" else None


def needed(sysfs: Sysfs) -> Mapping[PciAddress, str]:
    """Return the functions that this machine needs, and what for; the firmware's display is not among them."""
    return _needs(sysfs).known


def share(found: OneLook, look: OneLook) -> None:
    """Hand the needs that one look has found to a new look, so that it need not search again."""
    look.told(_needs, found.once(_needs))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Needs:
    known: Mapping[PciAddress, str]
    trouble: str | None
    """Why `known` may be incomplete; then every function counts as needed."""


class _UntoldError(Exception):
    """It cannot be told which disks something is on."""


def _needs(sysfs: Sysfs) -> _Needs:
    known: dict[PciAddress, str] = {}
    trouble: str | None = None
    for source in (_file_systems, _swap, _default_routes, _consoles):
        try:
            for address, text in source(sysfs):
                known.setdefault(address, text)
        except (SysfsReadError, ValueError) as error:  # ValueError: a NUL in what should be a name
            trouble = trouble or f"{NOBODY_CAN_TELL}: {error}"
    return _Needs(known=known, trouble=trouble)


def _file_systems(sysfs: Sysfs) -> Iterator[tuple[PciAddress, str]]:
    """Functions below mounted file systems. /proc/PID/mountinfo: proc(5)."""
    # Nine words and not ten, because a source without a name shows as nothing at all.
    mounts = _of_init(sysfs, "mountinfo", words=9)
    return _carriers(sysfs, ((f"the file system on {words[4]} is on it", _mounted(sysfs, words)) for words in mounts))


def _mounted(sysfs: Sysfs, words: list[str]) -> Iterator[str]:
    """The kernel's names of the block devices that one line of mountinfo names."""
    # Type, source and options follow a dash, which comes later where there are optional fields.
    kind, source = words[words.index("-", 6) + 1 :][:2] if "-" in words[6:-2] else ("", "")
    if kind == "zfs":
        raise _UntoldError(f"ZFS does not show which disks {words[4]} is on")
    # Some file systems (btrfs) have a device number of their own; then the source names the device.
    # Major 0 is not a block device (most mounts: proc, cgroups), so there is nothing to look for.
    number = _BLOCK_NUMBER.fullmatch(words[2])
    if (own := sysfs.link(f"{sysfs.sys}/dev/block/{words[2]}") if number else None) is not None:
        yield own
    sources = _sources(kind, source, words[-1])
    for path in sources or ([source] if own is None else []):
        if (name := _block_device(sysfs, path)) is not None:
            yield name
        elif sources:  # Not a network file system or tmpfs, whose source may be any word.
            raise _UntoldError(f"{path}, which {words[4]} is on, is not a block device that can be found")


def _sources(kind: str, source: str, options: str) -> list[str]:
    """Devices that only the source or the options name; other file systems have the device number of their only one."""
    match kind:
        case "btrfs":
            return [source]
        case "bcachefs":
            return source.split(":")
        case "xfs":
            return _XFS_DEVICE.findall(options)
    return []


def _swap(sysfs: Sysfs) -> Iterator[tuple[PciAddress, str]]:
    spaces = _lines(sysfs, f"{sysfs.proc}/swaps", words=5, head="Filename")
    return _carriers(sysfs, ((f"the swap space {words[0]} is on it", _swapped(sysfs, *words[:2])) for words in spaces))


def _swapped(sysfs: Sysfs, source: str, kind: str) -> Iterator[str]:
    if (name := _block_device(sysfs, source)) is not None:
        yield name
    elif kind == "partition":  # A file is on a mounted file system.
        raise _UntoldError(f"the swap space {source} is not a block device that can be found")


def _block_device(sysfs: Sysfs, source: str) -> str | None:
    """The kernel's name of a device like `/dev/mapper/root`; None for a source that is not a block device."""
    if not source.startswith("/dev/"):
        return None
    path = os.path.realpath(f"{sysfs.dev}/{source.removeprefix('/dev/')}")
    # No name in sysfs has a slash: /dev/cciss/c0d0 is cciss!c0d0 there.
    name = path.removeprefix(f"{os.path.realpath(sysfs.dev)}/").replace("/", "!")
    return sysfs.link(f"{sysfs.sys}/class/block/{name}")


def _carriers(sysfs: Sysfs, users: Iterable[tuple[str, Iterator[str]]]) -> Iterator[tuple[PciAddress, str]]:
    """Functions below the block devices of each user, with its text; of one that cannot be told, all with a disk."""
    untold = ""
    for text, names in users:
        try:
            for name in names:
                for address in _block_functions(sysfs, name):
                    yield address, text
        except _UntoldError as error:
            untold = untold or f"{NOBODY_CAN_TELL}: {error}"
    for name in sysfs.names(f"{sysfs.sys}/class/block") or () if untold else ():
        with contextlib.suppress(_UntoldError):  # A disk that leads to it adds its own functions.
            for address in _block_functions(sysfs, name):
                yield address, untold


def _default_routes(sysfs: Sysfs) -> Iterator[tuple[PciAddress, str]]:
    for words in _of_init(sysfs, "net/route", words=8, head="Iface"):
        if words[1] == _HEX_ZERO_4 and words[7] == _HEX_ZERO_4:
            for address in _net_functions(sysfs, words[0]):
                yield address, f"the default route goes through {words[0]}"
    for words in _of_init(sysfs, "net/ipv6_route", words=10):
        if words[:2] == [_HEX_ZERO_6, "00"] and not _leads_nowhere(words[8]):
            for address in _net_functions(sysfs, words[9]):
                yield address, f"the IPv6 default route goes through {words[9]}"


def _leads_nowhere(flags: str) -> bool:
    try:
        return bool(int(flags, 16) & _RTF_REJECT)
    except ValueError:
        return False


def _consoles(sysfs: Sysfs) -> Iterator[tuple[PciAddress, str]]:
    for name in (sysfs.read(f"{sysfs.sys}/class/tty/console/active") or "").split():
        for address in _ancestors(_real(f"{sysfs.sys}/class/tty/{name}")):
            yield address, f"the console {name} is on it"
    for name in sysfs.names(f"{sysfs.sys}/class/graphics") or ():
        if _FRAME_BUFFER.fullmatch(name):
            for address in _ancestors(_real(f"{sysfs.sys}/class/graphics/{name}")):
                yield address, f"the console's frame buffer {name} is on it"


def _block_functions(sysfs: Sysfs, name: str) -> Iterator[PciAddress]:
    """Functions below a block device, through partitions, device mapper, RAID, btrfs and NVMe's multipath."""
    yield from _functions_below(sysfs, f"{sysfs.sys}/class/block/{name}", _under_disk)


def _net_functions(sysfs: Sysfs, name: str) -> Iterator[PciAddress]:
    """Functions below a netdev, through bridges, bonds and VLANs.

    Raises:
        SysfsReadError: the name is not UTF-8 text, so the netdev cannot be found by it.
    """
    if _NO_TEXT in name:
        path = f"{sysfs.sys}/class/net"
        raise SysfsReadError(path, OSError(errno.EILSEQ, f"the name of the netdev {name!a} is not text"))
    yield from _functions_below(sysfs, f"{sysfs.sys}/class/net/{name}", _lowers)


def _functions_below(sysfs: Sysfs, link: str, lower: Callable[[Sysfs, str], Iterable[str]]) -> Iterator[PciAddress]:
    """Functions of a device and of all devices below it; each device is visited once. `lower` yields links, too."""
    waiting, seen = [link], {link}
    while waiting:
        folder = _real(waiting.pop())
        yield from _ancestors(folder)
        below = [link for link in lower(sysfs, folder) if link not in seen]
        seen.update(below)
        waiting += reversed(below)


def _under_disk(sysfs: Sysfs, folder: str) -> Iterator[str]:
    """Links to what a block device is on.

    Raises:
        _UntoldError: this cannot be told.
    """
    name = os.path.basename(folder)
    if _ZFS_VOLUME.fullmatch(name):
        raise _UntoldError(f"ZFS does not show which disks its volume {name} is on")
    yield from _nvme_controllers(sysfs, folder)
    names = {slave for part in (folder, os.path.dirname(folder)) for slave in sysfs.names(f"{part}/slaves") or ()}
    # mountinfo names one device of a btrfs; all of them carry it.
    for found in sysfs.names(f"{sysfs.sys}/fs/btrfs") or ():
        devices = sysfs.names(f"{sysfs.sys}/fs/btrfs/{found}/devices") or ()
        names.update(devices if name in devices else ())
    for name in sorted(names):
        yield f"{sysfs.sys}/class/block/{name}"


def _nvme_controllers(sysfs: Sysfs, folder: str) -> Iterable[str]:
    """Links to the controllers of a disk that several may reach; such a disk is below its subsystem, not below them.

    That is so by default (nvme_core.multipath) for each controller that may have others beside it, as with SR-IOV.
    Each controller has a folder `nvme0c1n1` for its path to `nvme0n1` (drivers/nvme/host/multipath.c in the kernel).

    Raises:
        _UntoldError: no controller can be found, or not all.
    """
    if (disk := _NVME_DISK.match(folder)) is None:
        return ()
    subsystem, before, after = disk.groups()
    links = [f"{subsystem}/{name}" for name in sysfs.names(subsystem) or () if _NVME_CONTROLLER.fullmatch(name)]
    inside = {link: sysfs.names(_real(link)) for link in links}
    if not links or None in inside.values():
        raise _UntoldError(f"the kernel does not show all controllers of the disk {before}{after}")
    path = re.compile(f"{before}c[0-9]+{after}")
    # Others of the subsystem (VFs) may have other disks only. If no path is shown, each may have this one.
    return [link for link, names in inside.items() if any(map(path.fullmatch, names or ()))] or links


def _lowers(sysfs: Sysfs, folder: str) -> Iterator[str]:
    for entry in sysfs.names(folder) or ():
        if entry.startswith("lower_"):
            yield f"{sysfs.sys}/class/net/{entry.removeprefix('lower_')}"


def _real(link: str) -> str:
    """The folder that a link of sysfs leads to. Links of sysfs are one step, so `realpath` is not needed."""
    try:
        return os.path.normpath(os.path.join(os.path.dirname(link), os.readlink(link)))
    except OSError:  # There is no such link; later reads below it find nothing, or raise.
        return link


def _ancestors(path: str) -> Iterator[PciAddress]:
    """PCI functions in the path of a device: `/sys/devices/pci0000:00/0000:00:1d.0/0000:02:00.0/nvme/...`."""
    for part in path.split("/"):
        try:
            yield PciAddress.parse(part)
        except ValueError:
            continue


def _of_init(sysfs: Sysfs, name: str, *, words: int, head: str = "") -> list[list[str]]:
    """Read a table of process 1. A user without root may not read its mounts; then this process's own table counts."""
    try:
        return _lines(sysfs, f"{sysfs.proc}/1/{name}", words=words, head=head)
    except SysfsReadError as error:
        if not isinstance(error.__cause__, PermissionError):
            raise
        return _lines(sysfs, f"{sysfs.proc}/self/{name}", words=words, head=head)


def _lines(sysfs: Sysfs, path: str, *, words: int, head: str = "") -> list[list[str]]:
    """Split each line of a table in /proc into words; a first line that begins with `head` is left out.

    Raises:
        SysfsReadError: the table cannot be read, or a line has fewer than `words` words, so that it may hide a need.
    """
    # Not splitlines(): it knows more ends of lines than the kernel escapes in the name of a mount point.
    # Not split(): it knows more blanks than the kernel refuses in the name of a netdev.
    found = [_WORD.findall(line) for line in (sysfs.read(path) or "").split("\n") if line]
    if head and found and found[0][:1] == [head]:
        del found[0]
    for line in found:
        if len(line) < words:
            text = f"{' '.join(line)[:80]!a} is not what a kernel writes there"
            raise SysfsReadError(str(path), OSError(errno.EINVAL, text))
    return found

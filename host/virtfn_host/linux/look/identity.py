"""Reads what a card is known by when its address or a name moves: subsystem, serial number, permanent MAC, slot.

Each is read where it is there; one that cannot be read is absent, because nothing but a comparison depends on it.
"""

import os
from collections.abc import Callable, Mapping

from virtfn_host.core.checks.ports import Port, lasting_port
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.identity import Identity
from virtfn_host.core.values.model import Card
from virtfn_host.core.values.names import mac_address, serial_number, slot_name, subsystem_ids
from virtfn_host.linux.errors import SysfsReadError
from virtfn_host.linux.read.onelook import OneLook
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.linux.touch.ports import ports_of
from virtfn_host.linux.touch.reader import Reader

EXTENDED, SERIAL = 0x100, 0x0003
"""Offset of the first extended capability; the ID of Device Serial Number (PCIe 6.0, 7.6.3 and 7.9.3)."""

MOST_CAPABILITIES = 96
"""Extended capabilities that fit into 4 KiB are no more; a damaged list may be a circle."""

PERMANENT = "0"
"""NET_ADDR_PERM in `addr_assign_type` (<linux/netdevice.h>): the present address is the permanent one."""

NO_SERIALS = frozenset({"00-00-00-00-00-00-00-00", "ff-ff-ff-ff-ff-ff-ff-ff"})
"""What cards without a number of their own show."""


class _UnknownError(Exception):
    """The configuration space is all ones or cut off: the card is in a reset, or its firmware is being updated. Such a
    card keeps its inode and time, so this must not be remembered. Raised and caught in this module."""


_serials: dict[tuple[str, int, int], str | None] = {}
"""Serial numbers by path, inode and time of the config file. Reading it wakes a card that sleeps, so it is read once; a
card that comes has a new inode. None: it has none."""


def identity_of(sysfs: OneLook, address: PciAddress, ports: tuple[Port, ...]) -> Identity:
    """Return what the card of a function is known by.

    Args:
        sysfs: the machine.
        address: of the function.
        ports: its own netdevs, the first port first.
    """
    serial = _serial(sysfs.device(address, "config"))
    port = lasting_port(ports, address.function, serial=serial is not None)
    return Identity(
        subsystem=_subsystem(sysfs, address),
        serial=serial,
        mac=None if port is None else _permanent_mac(sysfs, address, port),
        slot=sysfs.once(_slots).get(str(address).rpartition(".")[0]),
    )


def card_of(sysfs: Sysfs, address: PciAddress, reader: Reader | None) -> Card:
    """Return the card at an address, as the journal knows it.

    Args:
        sysfs: the machine.
        address: of a function of the card.
        reader: takes the reads that may hang. No default: a call without it would hang with them.

    Raises:
        SysfsReadError: its ids cannot be read.
    """
    look = OneLook.of(sysfs)
    try:
        ports = ports_of(look, address, reader)
    except SysfsReadError:
        ports = ()
    return Card(
        address=address,
        vendor=look.hex_digits(address, "vendor"),
        device=look.hex_digits(address, "device"),
        identity=identity_of(look, address, ports),
    )


def _text(sysfs: Sysfs, path: str) -> str:
    try:
        return sysfs.read(path) or ""
    except SysfsReadError:
        return ""


def _checked(parse: Callable[[str], str], text: str) -> str | None:
    try:
        return parse(text)
    except ValueError:
        return None


def _subsystem(sysfs: Sysfs, address: PciAddress) -> str | None:
    ids = (_text(sysfs, sysfs.device(address, f"subsystem_{name}")).removeprefix("0x") for name in ("vendor", "device"))
    return _checked(subsystem_ids, ":".join(ids))


def _permanent_mac(sysfs: Sysfs, address: PciAddress, port: Port) -> str | None:
    """Return the MAC of a netdev that has its permanent one, as most have outside of a bond."""
    if _text(sysfs, f"{sysfs.net_folder(address)}/{port.netdev}/addr_assign_type") != PERMANENT:
        return None
    return _checked(mac_address, port.mac.lower())


def _slots(sysfs: Sysfs) -> Mapping[str, str]:
    """Return the names of slots by domain, bus and device."""
    folder = f"{sysfs.sys}/bus/pci/slots"
    try:
        names = sysfs.names(folder) or ()
    except SysfsReadError:
        return {}
    return {_text(sysfs, f"{folder}/{name}/address"): name for name in names if _checked(slot_name, name)}


def _serial(path: str) -> str | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        stat = os.fstat(fd)
        key = path, stat.st_ino, stat.st_ctime_ns
        if key not in _serials:
            found = _read_serial(fd)
            if len(_serials) >= 4096:  # functions come and go for years
                _serials.clear()
            _serials[key] = found
        return _serials[key]
    except (OSError, _UnknownError):
        return None
    finally:
        os.close(fd)


def _read_serial(fd: int) -> str | None:
    """Walk the extended capabilities, which only root may read. Each ends with the offset of the next, 0 at the end.

    Raises:
        OSError: it cannot be read.
        _UnknownError: the card does not answer now.
    """
    offset = EXTENDED
    for _ in range(MOST_CAPABILITIES):
        header = _header(fd, offset)
        if header & 0xFFFF == SERIAL:
            low, high = _four(fd, offset + 4), _four(fd, offset + 8)
            _header(fd, offset)  # it must still answer: half of a number may be all ones
            serial = (high[::-1] + low[::-1]).hex("-")
            return None if serial in NO_SERIALS else _checked(serial_number, serial)
        offset = header >> 20 & 0xFFC
        if header == 0 or offset < EXTENDED:
            return None
    return None


def _header(fd: int, offset: int) -> int:
    header = int.from_bytes(_four(fd, offset), "little")
    if header == 0xFFFFFFFF:
        raise _UnknownError
    return header


def _four(fd: int, offset: int) -> bytes:
    found = os.pread(fd, 4, offset)
    if len(found) < 4:
        raise _UnknownError
    return found

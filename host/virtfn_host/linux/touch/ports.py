"""Reads which netdevs of a function are its own (`core/checks/ports.py`), and what else of a netdev may hang.

A driver that hangs may hold rtnetlink's lock for ever. `phys_port_name`, `phys_switch_id` and, from Linux 6.8 on,
`carrier` are read under that lock (net/core/net-sysfs.c). From Linux 6.9 on, `address` is read under a lock that is
held while a driver sets a MAC. So a reader with a deadline takes them. `address` is asked for in the message of
`phys_port_name`, which costs no time. `carrier` is a kind of its own: many drivers have no names of ports, and then
reading these does not wait for the lock.
"""

from collections.abc import Sequence

from virtfn_host.core.checks.ports import Port, lasting_port, own_ports
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.model import Function
from virtfn_host.core.values.names import netdev_name
from virtfn_host.linux.errors import StaleSnapshotError, SysfsReadError
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.linux.touch.reader import Reader

PORT, CARRIER = "port", "carrier"
"""Kinds of attributes (`Reader.of`)."""

ReadAnswer = str | SysfsReadError | None
"""What was read; None: there is no such file."""


def ports_of(sysfs: Sysfs, address: PciAddress, reader: Reader | None) -> tuple[Port, ...]:
    """Return a function's own netdevs in this network namespace, its first port first.

    Raises:
        SysfsReadError: they cannot be listed, or one of several does not say what it is.
    """
    folder = sysfs.net_folder(address)
    names = sysfs.names(folder) or ()
    paths = [f"{folder}/{name}/{attribute}" for attribute in ("phys_port_name", "address") for name in names]
    answers = _read_each(sysfs, paths, reader, PORT)
    said, macs = answers[: len(names)], answers[len(names) :]
    return own_ports(_port(sysfs, folder, *one) for one in zip(names, map(_said, said), macs, strict=True))


def own_netdevs(sysfs: Sysfs, address: PciAddress, reader: Reader | None = None) -> tuple[str, ...]:
    """Return the names of a function's own netdevs in this network namespace, its first port first.

    Raises:
        SysfsReadError: as above.
    """
    return tuple(port.netdev for port in ports_of(sysfs, address, reader))


def lasting_netdev(sysfs: Sysfs, function: Function) -> str | None:
    """Return the netdev whose permanent MAC stands for a function (`lasting_port`); None where none surely does."""
    folder = sysfs.net_folder(function.address)
    try:
        there = sysfs.names(folder) or ()
        # Alternative names are not in sysfs.
        found = [_port(sysfs, folder, name, None, None) for name in function.netdevs if name in there]
    except SysfsReadError:
        return None
    port = lasting_port(found, function.address.function, serial=function.identity.serial is not None)
    return None if port is None else port.netdev


def own_netdev(sysfs: Sysfs, address: PciAddress, reader: Reader | None = None) -> str | None:
    """Return the netdev of a function, or None where it has none in this network namespace.

    Raises:
        SysfsReadError: as above.
        ValueError: its name is none that a netdev can have.
    """
    name = next(iter(own_netdevs(sysfs, address, reader)), None)
    return None if name is None else netdev_name(name)


def expect_own(sysfs: Sysfs, address: PciAddress, netdev: str, ifindex: int) -> None:
    """Check that what netlink calls by this name is the function's netdev: two may have changed names meanwhile.

    Raises:
        StaleSnapshotError: it is another one, or sysfs does not say which it is.
        SysfsReadError: its ifindex cannot be read.
    """
    there = sysfs.read(f"{sysfs.net_folder(address)}/{netdev}/ifindex")
    if there != str(ifindex):
        text = f"{netdev} is no longer the netdev of {address}, or not for sure (ifindex {there or 'unknown'}"
        raise StaleSnapshotError(f"{text} in sysfs, {ifindex} in netlink); nothing was set; look and plan again")


def in_switchdev_mode(sysfs: Sysfs, address: PciAddress, netdev: str, reader: Reader | None = None) -> bool:
    """Return whether a PF's netdev says which switch it is a port of, as it does in switchdev mode alone.

    Raises:
        SysfsReadError: it cannot be read.
    """
    (switch,) = _read_each(sysfs, [f"{sysfs.net_folder(address)}/{netdev}/phys_switch_id"], reader, PORT)
    return bool(_said(switch))


def carriers(sysfs: Sysfs, folders: Sequence[str], reader: Reader | None) -> dict[str, ReadAnswer]:
    """Return what `carrier` of each netdev answers, by the netdev's folder; all are asked for in one message."""
    paths = [f"{folder}/carrier" for folder in folders]
    return dict(zip(folders, _read_each(sysfs, paths, reader, CARRIER), strict=True))


def states(sysfs: Sysfs, ports: Sequence[str], reader: Reader | None) -> list[ReadAnswer]:
    """Return what `state` of each InfiniBand port answers; all are asked for in one message. Drivers ask firmware."""
    return _read_each(sysfs, [f"{port}/state" for port in ports], reader, CARRIER)


def macs(sysfs: Sysfs, folders: Sequence[str], reader: Reader | None) -> dict[str, ReadAnswer]:
    """Return what `address` of each netdev of VFs answers, by the netdev's folder; all are asked for in one message.

    Not among the ports: one that hangs would hide the ports of other PFs, and so these PFs. With it `carrier` hangs
    anyway, because a driver sets a MAC under rtnetlink's lock.
    """
    paths = [f"{folder}/address" for folder in folders]
    return dict(zip(folders, _read_each(sysfs, paths, reader, CARRIER), strict=True))


def _port(sysfs: Sysfs, folder: str, name: str, port: str | None, mac: ReadAnswer) -> Port:
    numbers = [_number(sysfs.read(f"{folder}/{name}/{attribute}")) for attribute in ("dev_port", "dev_id")]
    return Port(netdev=name, port=port or None, number=max(numbers), mac=mac if isinstance(mac, str) else "")


def _number(text: str | None) -> int:
    """The number of a port: `dev_port` is decimal, `dev_id` is hexadecimal with 0x. 0 where it is none."""
    try:
        return int(text or "0", 0)
    except ValueError:
        return 0


def _read_each(sysfs: Sysfs, paths: Sequence[str], reader: Reader | None, kind: str) -> list[ReadAnswer]:
    return [_directly(sysfs, path) for path in paths] if reader is None else reader.of(kind).read_each(paths)


def _directly(sysfs: Sysfs, path: str) -> ReadAnswer:
    try:
        return sysfs.read(path)
    except SysfsReadError as error:
        return error


def _said(answer: ReadAnswer) -> str | None:
    """The text that was read; None: the driver answers that it has no such name (EOPNOTSUPP)."""
    if not isinstance(answer, SysfsReadError):
        return answer
    if answer.unsupported:
        return None
    raise answer

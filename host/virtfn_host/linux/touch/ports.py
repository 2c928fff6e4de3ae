"""Reads which netdevs of a function are its own (`core/checks/ports.py`).

`phys_port_name` and `phys_switch_id` are read under rtnetlink's lock (net/core/net-sysfs.c), which a driver that hangs
may hold for ever, so a reader with a deadline takes them.
"""

from collections.abc import Sequence

from virtfn_host.core.checks.ports import Port, own_ports
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.names import netdev_name
from virtfn_host.linux.errors import StaleSnapshotError, SysfsReadError
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.linux.touch.reader import Reader


def own_netdevs(sysfs: Sysfs, address: PciAddress, reader: Reader | None = None) -> tuple[str, ...]:
    """Return the names of a function's own netdevs in this network namespace, its first port first.

    Raises:
        SysfsReadError: they cannot be listed, or one of several does not say what it is.
    """
    folder = sysfs.net_folder(address)
    names = sysfs.names(folder) or ()
    said = _read_each(sysfs, [f"{folder}/{name}/phys_port_name" for name in names], reader)
    found = [_port(sysfs, folder, name, port) for name, port in zip(names, said, strict=True)]
    return tuple(port.netdev for port in own_ports(found))


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
    (switch,) = _read_each(sysfs, [f"{sysfs.net_folder(address)}/{netdev}/phys_switch_id"], reader)
    return bool(switch)


def _port(sysfs: Sysfs, folder: str, name: str, port: str | None) -> Port:
    numbers = [_number(sysfs.read(f"{folder}/{name}/{attribute}")) for attribute in ("dev_port", "dev_id")]
    return Port(netdev=name, port=port or None, number=max(numbers))


def _number(text: str | None) -> int:
    """The number of a port: `dev_port` is decimal, `dev_id` is hexadecimal with 0x. 0 where it is none."""
    try:
        return int(text or "0", 0)
    except ValueError:
        return 0


def _read_each(sysfs: Sysfs, paths: Sequence[str], reader: Reader | None) -> list[str | None]:
    if reader is None:
        return [_directly(sysfs, path) for path in paths]
    return [_said(answer) for answer in reader.read_each(paths)]


def _directly(sysfs: Sysfs, path: str) -> str | None:
    try:
        return sysfs.read(path)
    except SysfsReadError as error:
        return _said(error)


def _said(answer: str | SysfsReadError | None) -> str | None:
    """The text that was read; None: the driver answers that it has no such name (EOPNOTSUPP)."""
    if not isinstance(answer, SysfsReadError):
        return answer
    if answer.unsupported:
        return None
    raise answer

"""Selectors of devices, as both tools write them: IDs, names of PFs with ranges, addresses. They become targets."""

import re
from collections.abc import Sequence
from itertools import product

from virtfn_host.core.translate.asked import Target
from virtfn_host.core.translate.item import Item
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import DeviceMatcher
from virtfn_host.core.values.fields import PolicyError
from virtfn_host.core.values.indexes import Indexes, read_indexes
from virtfn_host.core.values.resource_names import resource_name

INDEXES_LIMIT = 128
"""Most characters of a pool's `indexes` in the CRD."""

MATCHERS_LIMIT = 512
"""Most matchers that one resource may become."""

Named = tuple[DeviceMatcher, Indexes | None]
"""PFs by name or address, with the VFs that are named of them; None: every VF."""

OBJECT_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
"""The name of an object or a namespace."""

_HEX4 = re.compile(r"[0-9A-Fa-f]{4}")
_NETDEV = re.compile(r"[^/\s\x00-\x1f\x7f-\x9f]{1,128}")


def hex_ids(item: Item | None) -> tuple[str, ...]:
    """Return vendor or device IDs in the form of `lspci -n`."""
    return () if item is None else tuple(hex_id(one) for one in item.items())


def hex_id(item: Item) -> str:
    """Return one vendor or device ID."""
    return item.matching(_HEX4, 'text of 4 hex digits like "8086"').lower()


def address(item: Item, text: str | None = None) -> PciAddress:
    """Return a PCI address."""
    given = item.text(64) if text is None else text
    try:
        return PciAddress.parse(given)
    except ValueError as error:
        raise item.unfit(str(error)) from error


def pf_names(item: Item | None) -> list[Named]:
    """Return PFs by names like `ens1f0#0-3,6`."""
    return [] if item is None else [_pf_name(one) for one in item.items()]


def _pf_name(item: Item) -> Named:
    name, indexes = _split(item)
    if not _NETDEV.fullmatch(name):
        raise item.unfit("is not a PF's name like ens1f0, or ens1f0#0-3 with VF indexes")
    return DeviceMatcher(netdev=name), indexes


def root_devices(item: Item | None) -> list[Named]:
    """Return PFs by addresses like `0000:3b:00.0#0-3`."""
    return [] if item is None else [_root_device(one) for one in item.items()]


def _root_device(item: Item) -> Named:
    name, indexes = _split(item)
    return DeviceMatcher(address=address(item, name)), indexes


def _split(item: Item) -> tuple[str, Indexes | None]:
    name, mark, ranges = item.text(512).partition("#")
    if not mark:
        return name, None
    try:
        indexes = read_indexes(ranges, item.name)
    except PolicyError as error:
        raise item.unfit(str(error).removeprefix(f"{item.name}: ")) from error
    if len(str(indexes)) > INDEXES_LIMIT:
        raise item.unfit(f"more than {INDEXES_LIMIT} characters of indexes; a pool has no more")
    return name, indexes


def both(names: Sequence[Named], addresses: Sequence[Named]) -> list[Named]:
    """Return PFs that have one of these names and one of these addresses; an empty list selects every PF."""
    if not names or not addresses:
        return [*names, *addresses]
    return [
        (DeviceMatcher(netdev=one.netdev, address=other.address), _common(first, second))
        for (one, first), (other, second) in product(names, addresses)
    ]


def _common(first: Indexes | None, second: Indexes | None) -> Indexes | None:
    if first is None or second is None:
        return second if first is None else first
    return Indexes.of(set(first) & set(second))


def expect_few(item: Item, *lists: Sequence[object]) -> None:
    """Refuse selectors whose combinations are too many, before they are made."""
    number = 1
    for one in lists:
        number *= max(1, len(one))
    if number > MATCHERS_LIMIT:
        raise item.unfit(f"{number} combinations of selectors, more than {MATCHERS_LIMIT}; split the resource")


def full_name(prefix: str, item: Item) -> str:
    """Return the resource name with its domain, checked as the kubelet checks it."""
    try:
        return resource_name(f"{prefix}/{item.text()}", item.name)
    except PolicyError as error:
        raise item.unfit(str(error).removeprefix(f"{item.name}: ")) from error


def distinct(targets: Sequence[Target]) -> tuple[Target, ...]:
    """Return targets without those that are there already, or name no VF."""
    return tuple(dict.fromkeys(one for one in targets if one.indexes is None or one.indexes.ranges))

"""Chooses the devices that a container should be given, where the kubelet has a choice. Pure.

The laws, each within what the earlier ones leave open:

1. Devices that must be included are included. Unhealthy ones are chosen only if the healthy ones are too few.
2. The fewest NUMA nodes.
3. The fewest PFs (Pack), or the most (Spread).
4. The lowest PCI addresses, compared one by one in ascending order.

The choice is exact: a test compares it with a search through all choices. Only if more than `MOST_SETS` sets of NUMA
nodes are equally small, it considers the first ones, which have the most devices.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from itertools import combinations, islice
from typing import TypeAlias

from virtfn_deviceplugin.grant.offer import PoolOffer
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.choice import Prefer
from virtfn_host.core.values.offered import PoolDevice
from virtfn_host.core.values.strict_json import clipped

MOST_SETS = 512
"""Most sets of NUMA nodes that are compared; 2 of 32 nodes are 496 sets."""

_Node: TypeAlias = int | None
"""A NUMA node. Devices without one count as a node of their own."""

_ByPf: TypeAlias = Mapping[PciAddress, Sequence[PciAddress]]
"""Addresses of devices by their PF, in PCI order."""


class NoChoiceError(Exception):
    """The request cannot be met: it names too few devices, or requires one that it does not name."""


def preferred_ids(offer: PoolOffer, available: Sequence[str], must: Sequence[str], size: int) -> list[str]:
    """Answer the kubelet's request for one container.

    A device that has left the pool counts as unhealthy: the kubelet has not seen the newest list yet.

    Raises:
        NoChoiceError: see `preferred`; or an id is not a PCI address.
    """
    asked = [offer.devices.get(str(address), _gone(address)) for address in _addresses([*available, *must])]
    return [str(address) for address in preferred(asked, _addresses(must), size, offer.pool.choice.prefer)]


def _addresses(ids: Iterable[str]) -> Set[PciAddress]:
    return {_address(name) for name in ids}


def _address(name: str) -> PciAddress:
    try:
        return PciAddress.parse(name)
    except ValueError as error:
        raise NoChoiceError(f"{clipped(name)} is not a PCI address") from error


def _gone(address: PciAddress) -> PoolDevice:
    return PoolDevice(address=address, driver="", numa_node=None, healthy=False, reason=None)


def preferred(
    devices: Iterable[PoolDevice], must: Set[PciAddress], size: int, prefer: Prefer
) -> tuple[PciAddress, ...]:
    """Return the best `size` devices in PCI order.

    Args:
        devices: the devices that the kubelet may give, those of `must` included.
        must: the devices that it has to give.
        size: the number of devices that the container gets, those of `must` included.

    Raises:
        NoChoiceError: there is no such choice.
    """
    every = {device.address: device for device in sorted(devices, key=lambda device: device.address)}
    if strange := must - every.keys():
        raise NoChoiceError(f"{min(strange)} must be included, but is not available")
    if not len(must) <= size <= len(every):
        raise NoChoiceError(f"{size} of {len(every)} devices are asked for, and {len(must)} must be included")
    found = {address: device for address, device in every.items() if device.healthy or address in must}
    if len(found) < size:
        return tuple(sorted([*found, *(address for address in every if address not in found)][:size]))
    return min(_choice(nodes, found.values(), must, size, prefer) for nodes in _node_sets(found, must, size))[1]


# --- NUMA nodes ------------------------------------------------------------------------------------------------------


def _node_sets(found: Mapping[PciAddress, PoolDevice], must: Set[PciAddress], size: int) -> Iterable[Set[_Node]]:
    """Yield the smallest sets of NUMA nodes with enough devices; the nodes of `must` are in each of them."""
    numbers = Counter(device.numa_node for device in found.values())
    given = {found[address].numa_node for address in must}
    missing = size - sum(numbers[node] for node in given)
    others = [node for node, _ in numbers.most_common() if node not in given]
    chosen = combinations(others, _fewest((numbers[node] for node in others), missing))
    return islice((given | {*some} for some in chosen if sum(numbers[n] for n in some) >= missing), MOST_SETS)


def _fewest(numbers: Iterable[int], wanted: int) -> int:
    """Return how many of these numbers, given in descending order, have a sum of at least `wanted`."""
    taken = 0
    for number in numbers:
        if wanted <= 0:
            break
        wanted, taken = wanted - number, taken + 1
    return taken


# --- PFs and addresses -----------------------------------------------------------------------------------------------


def _choice(
    nodes: Set[_Node], found: Iterable[PoolDevice], must: Set[PciAddress], size: int, prefer: Prefer
) -> tuple[int, tuple[PciAddress, ...]]:
    """Return the best choice within these NUMA nodes, after its rank by law 3; the lowest rank is the best."""
    here = [device for device in found if device.numa_node in nodes]
    free: dict[PciAddress, list[PciAddress]] = defaultdict(list)
    for device in here:
        if device.address not in must:
            free[_pf(device)].append(device.address)
    forced = {_pf(device) for device in here if device.address in must}
    left = size - len(must)
    if prefer is Prefer.PACK:
        pfs = _packed(free, forced, left)
        more = sorted(address for pf in pfs for address in free.get(pf, ()))[:left]
        return len(pfs), tuple(sorted([*must, *more]))
    spread = _spread(free, forced, left)
    return -len(forced.union(spread.values())), tuple(sorted([*must, *spread]))


def _pf(device: PoolDevice) -> PciAddress:
    """Return the PF of a VF; a whole function counts as its own."""
    return device.pf or device.address


def _packed(free: _ByPf, forced: Set[PciAddress], left: int) -> Set[PciAddress]:
    """Return the fewest PFs with `left` more devices; of several such sets, the one with the lowest addresses."""
    chosen = set(forced)
    left -= sum(len(free.get(pf, ())) for pf in forced)
    others = sorted(free.keys() - forced, key=lambda pf: free[pf][0])
    more = _fewest(sorted((len(free[pf]) for pf in others), reverse=True), left)
    for n, pf in enumerate(others):
        largest = sorted((len(free[other]) for other in others[n + 1 :]), reverse=True)
        if more and len(free[pf]) + sum(largest[: more - 1]) >= left:
            chosen.add(pf)
            left, more = left - len(free[pf]), more - 1
    return chosen


def _spread(free: _ByPf, forced: Set[PciAddress], left: int) -> Mapping[PciAddress, PciAddress]:
    """Return `left` devices of as many PFs as possible, each with its PF; of several such choices, the one with the
    lowest addresses."""
    pf_of = {address: pf for pf, addresses in free.items() for address in addresses}
    used, chosen = set(forced), dict[PciAddress, PciAddress]()
    new = min(left, len(free.keys() - used))
    """Places that are kept for PFs without a device."""
    for address in sorted(pf_of):
        first = pf_of[address] not in used
        if len(chosen) < left - (0 if first else new):
            chosen[address] = pf_of[address]
            used.add(pf_of[address])
            new -= first
    return chosen

"""Random offers for `preferred`, and the law: the choice is the best one of all, found by a search through all of them.

The search is written without the code under test: it makes every choice and compares them.
"""

import random
from collections.abc import Iterable, Iterator, Sequence, Set
from itertools import combinations

from virtfn_deviceplugin.preferred import preferred
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.choice import Prefer
from virtfn_host.core.values.offered import PoolDevice

MOST = 10
"""Devices of one offer; a choice of 5 among 10 is one of 252."""


class Offer:
    """A request of the kubelet: what is there, what must be included, and how many are wanted."""

    def __init__(self, devices: Sequence[PoolDevice], must: Set[PciAddress], size: int, prefer: Prefer) -> None:
        self.devices, self.must, self.size, self.prefer = tuple(devices), frozenset(must), size, prefer

    def __repr__(self) -> str:
        shown = ", ".join(f"{d.address} of {d.pf} on {d.numa_node}{'' if d.healthy else '!'}" for d in self.devices)
        return f"{self.size} of [{shown}] with {sorted(map(str, self.must))}, {self.prefer}"


def offers(seed: int, number: int) -> Iterator[Offer]:
    """Yield random offers: some PFs on some nodes, VFs that interleave or not, some of them unhealthy or taken."""
    dice = random.Random(seed)
    for _ in range(number):
        pfs = [PciAddress(0, bus, 0, 0) for bus in range(1, dice.randint(2, 6))]
        nodes = {pf: dice.choice([None, 0, 0, 1, 2]) for pf in pfs}
        places = dice.sample(range(40), dice.randint(1, MOST))
        devices = [
            _device(dice, PciAddress(0, 16 + n // 8, 0, n % 8), dice.choice([*pfs, None]), nodes) for n in places
        ]
        size = dice.randint(1, len(devices))
        must = {device.address for device in dice.sample(devices, min(size, dice.choice([0, 0, 1, 2, size])))}
        yield Offer(devices, must, size, dice.choice(list(Prefer)))


def _device(
    dice: random.Random, address: PciAddress, pf: PciAddress | None, nodes: dict[PciAddress, int | None]
) -> PoolDevice:
    healthy = dice.random() < 0.95
    node = nodes[pf] if pf else dice.choice([None, 0, 1])
    return PoolDevice(address=address, driver="vfio-pci", numa_node=node, healthy=healthy, reason=None, pf=pf)


def best(offer: Offer) -> tuple[PciAddress, ...]:
    """Return the best choice, by making them all."""
    others = [device for device in offer.devices if device.address not in offer.must]
    given = [device for device in offer.devices if device.address in offer.must]
    every = ((*given, *more) for more in combinations(others, offer.size - len(given)))
    chosen = min(every, key=lambda choice: _rank(choice, offer))
    return tuple(sorted(device.address for device in chosen))


def _rank(choice: Sequence[PoolDevice], offer: Offer) -> tuple[object, ...]:
    addresses = tuple(sorted(device.address for device in choice))
    unhealthy = tuple(sorted(d.address for d in choice if not d.healthy and d.address not in offer.must))
    if sum(device.healthy or device.address in offer.must for device in offer.devices) < offer.size:
        return unhealthy, addresses
    pfs = len({device.pf or device.address for device in choice})
    nodes = len({device.numa_node for device in choice})
    return len(unhealthy), nodes, pfs if offer.prefer is Prefer.PACK else -pfs, addresses


def violations(tried: Iterable[Offer]) -> Iterator[str]:
    """Yield the offers for which another choice is better."""
    for offer in tried:
        found = preferred(offer.devices, offer.must, offer.size, offer.prefer)
        if found != (wanted := best(offer)):
            yield f"{offer}: {', '.join(map(str, found))}; better: {', '.join(map(str, wanted))}"

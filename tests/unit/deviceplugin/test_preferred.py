"""The choice of devices: NUMA nodes first, then few or many PFs, then PCI order; what must be included always is."""

import pytest
from preference_law import offers, violations

from virtfn_deviceplugin.preferred import NoChoiceError, preferred
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.choice import Prefer
from virtfn_host.core.values.offered import PoolDevice


def pf(bus: int) -> PciAddress:
    return PciAddress(0, bus, 0, 0)


def vf(bus: int, number: int) -> PciAddress:
    return PciAddress(0, bus, 0x10, number)


def vfs(bus: int, number: int, node: int | None = 0) -> list[PoolDevice]:
    return [
        PoolDevice(address=vf(bus, n), driver="vfio-pci", numa_node=node, healthy=True, reason=None, pf=pf(bus))
        for n in range(number)
    ]


def chosen(
    devices: list[PoolDevice], size: int, prefer: Prefer = Prefer.PACK, must: tuple[PciAddress, ...] = ()
) -> str:
    found = preferred(devices, set(must), size, prefer)
    return " ".join(f"{address.bus}.{address.function}" for address in found)


@pytest.mark.parametrize(
    ("size", "prefer", "want"),
    [
        (2, Prefer.PACK, "1.0 1.1"),
        (3, Prefer.PACK, "2.0 2.1 2.2"),
        (4, Prefer.PACK, "2.0 2.1 2.2 2.3"),
        (5, Prefer.PACK, "1.0 1.1 2.0 2.1 2.2"),
        (2, Prefer.SPREAD, "1.0 2.0"),
        (3, Prefer.SPREAD, "1.0 2.0 3.0"),
        (4, Prefer.SPREAD, "1.0 1.1 2.0 3.0"),
    ],
)
def test_few_pfs_or_many(size: int, prefer: Prefer, want: str) -> None:
    assert chosen([*vfs(1, 2), *vfs(2, 4), *vfs(3, 2)], size, prefer) == want


@pytest.mark.parametrize("prefer", list(Prefer))
@pytest.mark.parametrize(
    ("nodes", "size", "want"),
    [
        ((0, 1, 1), 3, {2, 3}),  # two PFs on one node before one PF on each of two
        ((0, 1, 0), 3, {1, 3}),
        ((0, 0, 1), 4, {1, 2}),
        ((None, None, 0), 3, {1, 2}),
    ],
)
def test_one_numa_node_before_few_pfs(prefer: Prefer, nodes: tuple[int | None, ...], size: int, want: set[int]) -> None:
    devices = [device for bus, node in enumerate(nodes, start=1) for device in vfs(bus, 2, node)]
    assert {address.bus for address in preferred(devices, set(), size, prefer)} == want


def test_what_must_be_included_is_and_draws_the_others_to_its_node_and_pf() -> None:
    devices = [*vfs(1, 2), *vfs(2, 2, node=1), *vfs(3, 4, node=1)]
    assert chosen(devices, 2, must=(vf(3, 2),)) == "3.0 3.2"
    assert chosen(devices, 3, Prefer.SPREAD, must=(vf(3, 2),)) == "2.0 2.1 3.2"


def test_an_unhealthy_device_is_the_last_choice() -> None:
    devices = vfs(1, 3)
    sick = [PoolDevice(address=vf(1, 0), driver="vfio-pci", numa_node=0, healthy=False, reason=None, pf=pf(1))]
    assert chosen([*sick, *devices[1:]], 2) == "1.1 1.2"
    assert chosen([*sick, *devices[1:]], 3) == "1.0 1.1 1.2"


def test_a_whole_function_counts_as_its_own_pf() -> None:
    whole = [PoolDevice(address=pf(9), driver="vfio-pci", numa_node=0, healthy=True, reason=None)]
    assert chosen([*whole, *vfs(1, 2)], 2) == "1.0 1.1"
    assert chosen([*whole, *vfs(1, 2)], 2, Prefer.SPREAD) == "1.0 9.0"


@pytest.mark.parametrize(
    ("size", "must", "want"),
    [
        (4, (), "4 of 3 devices are asked for"),
        (1, (vf(1, 0), vf(1, 1)), "2 must be included"),
        (1, (vf(2, 0),), "0000:02:10.0 must be included, but is not available"),
        (-1, (), "-1 of 3 devices"),
    ],
)
def test_what_cannot_be_is_refused(size: int, must: tuple[PciAddress, ...], want: str) -> None:
    with pytest.raises(NoChoiceError, match=want):
        preferred(vfs(1, 3), set(must), size, Prefer.PACK)


def test_no_other_choice_is_better() -> None:
    assert list(violations(offers(seed=1, number=400))) == []


def test_2048_devices_of_16_pfs_on_8_nodes() -> None:
    devices = [
        PoolDevice(
            address=PciAddress(0, 32 + 8 * card + n // 32, n // 8 % 4, n % 8),
            driver="vfio-pci",
            numa_node=card % 8,
            healthy=True,
            reason=None,
            pf=pf(card),
        )
        for card in range(16)
        for n in range(128)
    ]
    found = preferred(devices, set(), 300, Prefer.PACK)
    assert len(found) == 300
    assert len({address.bus // 8 for address in found}) == 3

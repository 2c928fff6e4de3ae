"""The status names a cause for each pool that withholds functions, and says what it leaves out."""

import re

import pytest

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.offered import DevicePool, PoolDevice, PoolSet
from virtfn_host.core.values.reasons import Reason
from virtfn_operator.agent.usability import ENTRIES, pool_statuses
from virtfn_operator.api.node_status import PoolStatus


def pool(number: int, causes: int, alike: int = 1) -> DevicePool:
    """A pool that withholds functions, each so many for one cause, and has one healthy function."""
    devices = [
        PoolDevice(
            address=PciAddress(number, n // 256, n // 8 % 32, n % 8),
            numa_node=None,
            driver="vfio-pci",
            healthy=n == causes * alike,
            reason=None if n == causes * alike else Reason.NOT_USABLE,
            message=None if n == causes * alike else f"cause {n // alike}",
        )
        for n in range(causes * alike + 1)
    ]
    return DevicePool(resource_name=f"virtfn.dev/p{number:03}", devices=tuple(devices))


def told(*pools: DevicePool) -> tuple[PoolStatus, ...]:
    return pool_statuses(PoolSet(boot_id="b", pools=pools), (), {})


POOLS = {
    "one with very many, then one": ([60, 1], [47, 1]),
    "one, then one with very many": ([1, 60], [1, 47]),
    "two with very many": ([60, 60], [24, 24]),
    "one without any": ([60, 0, 2], [46, 0, 2]),
    "more than there is room for": ([30, 30, 30, 2], [16, 15, 15, 2]),
    "exactly the room": ([24, 24], [24, 24]),
    "one more than the room": ([24, 25], [24, 24]),
    "more pools than entries": ([2] * 60, [1] * 60),
    "none": ([], []),
}


@pytest.mark.parametrize(("causes", "listed"), POOLS.values(), ids=POOLS.keys())
@pytest.mark.parametrize("alike", [1, 3])
def test_each_pool_has_an_entry_and_the_rest_is_shared(causes: list[int], listed: list[int], alike: int) -> None:
    found = told(*(pool(number, many, alike) for number, many in enumerate(causes)))
    assert [len(one.withheld) for one in found] == listed
    assert sum(listed) <= max(ENTRIES, sum(many > 0 for many in causes))
    for one, many in zip(found, causes, strict=True):
        texts = [entry.message for entry in one.withheld]
        left = [
            re.fullmatch(r".* \(not listed: (\d+) more of this pool, for (\d+) other causes\)", text) for text in texts
        ]
        said = [(int(match[1]), int(match[2])) for match in left if match is not None]
        rest = many - len(texts)
        assert said == ([(rest * alike, rest)] if rest else [])
        assert sum(entry.number for entry in one.withheld) + rest * alike == one.capacity - one.healthy

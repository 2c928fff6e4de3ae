"""Only what changed is touched."""

from hypothesis import given
from hypothesis import strategies as st

from virtfn_deviceplugin.diff import diff
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.offered import DevicePool, PoolDevice, PoolSet

devices = st.builds(
    PoolDevice,
    address=st.builds(PciAddress, st.just(0), st.just(1), st.just(16), st.integers(0, 7)),
    driver=st.just("vfio-pci"),
    numa_node=st.none(),
    healthy=st.booleans(),
    reason=st.none(),
)
pools = st.dictionaries(st.sampled_from("abcd"), st.lists(devices, max_size=2).map(tuple)).map(
    lambda found: {name: DevicePool(resource_name=name, devices=held) for name, held in found.items()}
)


@given(pools, pools)
def test_carrying_out_the_changes_serves_what_is_wanted(
    served: dict[str, DevicePool], wanted: dict[str, DevicePool]
) -> None:
    changes = diff(served, PoolSet(boot_id="b", pools=tuple(wanted.values())))
    after = {name: pool for name, pool in served.items() if name not in changes.stop}
    after |= {pool.resource_name: pool for pool in (*changes.start, *changes.update)}
    assert after == wanted


@given(pools)
def test_the_same_pools_change_nothing(served: dict[str, DevicePool]) -> None:
    changes = diff(served, PoolSet(boot_id="b", pools=tuple(served.values())))
    assert (changes.start, changes.update, changes.stop) == ((), (), ())


@given(pools, pools)
def test_lists_that_only_lose_functions_are_sent_before_those_that_gain_some(
    served: dict[str, DevicePool], wanted: dict[str, DevicePool]
) -> None:
    """A function that changes its pool is not on offer in both."""
    changes = diff(served, PoolSet(boot_id="b", pools=tuple(wanted.values())))
    gains = [bool(healthy(pool) - healthy(served[pool.resource_name])) for pool in changes.update]
    assert gains == sorted(gains)


def healthy(pool: DevicePool) -> set[PciAddress]:
    return {device.address for device in pool.devices if device.healthy}

"""In every history: a difference is told exactly when one function has differed without a break for the whole time."""

from hypothesis import given
from hypothesis import strategies as st

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.offered import DevicePool, PoolDevice, PoolSet
from virtfn_host.core.values.reasons import Reason
from virtfn_operator.agent.not_offered import LASTS, Clock, KubeletOffer, PluginReport, Since, compared

FAST = "virtfn.dev/fast"
ROUND = 5.0
VFS = [PciAddress(0, 1, 0x10, number) for number in range(3)]

some = st.frozensets(st.sampled_from(VFS))


def pools(healthy: frozenset[PciAddress]) -> PoolSet:
    devices = tuple(
        PoolDevice(
            address=vf,
            driver="vfio-pci",
            numa_node=None,
            healthy=vf in healthy,
            reason=None if vf in healthy else Reason.DRIFTED,
        )
        for vf in VFS
    )
    return PoolSet(boot_id="b1", pools=(DevicePool(resource_name=FAST, devices=devices),))


@given(st.lists(st.tuples(some, some), min_size=1, max_size=12))
def test_a_difference_is_told_when_it_has_lasted_and_at_no_other_time(
    history: list[tuple[frozenset[PciAddress], frozenset[PciAddress]]],
) -> None:
    since: Since = {}
    rounds = dict.fromkeys(VFS, 0)
    for number, (healthy, offered) in enumerate(history):
        offer = KubeletOffer(devices={FAST: frozenset(map(str, offered))})
        outcome = compared(pools(healthy), offer, PluginReport(), since, Clock(now=1000.0 + number * ROUND))
        since = outcome.since
        rounds = {vf: rounds[vf] + 1 if (vf in healthy) != (vf in offered) else 0 for vf in VFS}
        lasted = any((count - 1) * ROUND >= LASTS for count in rounds.values())
        assert bool(outcome.offers.lasting) is lasted
        assert outcome.offers.counts == {FAST: len(offered)}
        for found in outcome.offers.lasting:
            assert f"published {len(healthy)}, the kubelet offers {len(offered)}" in found.message

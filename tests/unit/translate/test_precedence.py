"""The printed policies, put to virtfn's own decision, give each VF to the resource that had it with the other tool."""

import pytest
from inventories import a_pf, an_inventory, pf_address
from translated import policies, sno_policy, sriovdp_config

from virtfn_host.core.translate.asked import Translation
from virtfn_host.core.translate.sno import translate_sno
from virtfn_host.core.translate.sriovdp import translate_sriovdp
from virtfn_host.core.turn.policy import policy_config, read_priority
from virtfn_host.core.turn.resolve import Resolution, resolve
from virtfn_host.core.values.desired import NodeConfig, PolicyConfig
from virtfn_host.core.values.reasons import Reason


def resolved(*objects: dict[str, object]) -> Resolution:
    return decided(translate_sno(objects))


def decided(translation: Translation, vfs: int = 0) -> Resolution:
    """Decide as a node does, with the policies applied in the order in which they are printed."""
    found: list[tuple[int, int, PolicyConfig]] = []
    for one in policies(translation):
        assert one.document is not None
        spec, name = one.document["spec"], one.document["metadata"]["name"]
        read = policy_config(name=name, uid=name, generation=1, spec=spec)
        assert isinstance(read, PolicyConfig)
        found.append((-read_priority(spec), len(found), read))
    ordered = tuple(policy for _, _, policy in sorted(found, key=lambda entry: entry[:2]))
    return resolve(NodeConfig(policies=ordered), an_inventory(a_pf(0, vfs)), ())


def offered(resolution: Resolution) -> dict[int, str | None]:
    pf = resolution.desired.pf(pf_address(0))
    assert pf is not None
    return {vf.index: (vf.resource_name or "").partition("/")[2] for vf in pf.vfs}


def policy(name: str, netdev: str, vfs: int, priority: int | None = None) -> dict[str, object]:
    return sno_policy(name, nicSelector={"pfNames": [netdev]}, numVfs=vfs, priority=priority, deviceType="vfio-pci")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_lower_number_wins_the_vfs_that_both_name(order: tuple[int, int]) -> None:
    both = (policy("loser", "eth0#2-5", 7, 99), policy("winner", "eth0#0-3", 7, 10))
    resolution = resolved(*(both[n] for n in order))
    assert offered(resolution) == {**dict.fromkeys(range(4), "winner"), 4: "loser", 5: "loser"}
    assert [(it.policy, it.reason) for it in resolution.rejected] == [("loser", Reason.INDEX_TAKEN)]


def test_policies_without_overlap_get_all_their_vfs_though_their_numbers_differ() -> None:
    resolution = resolved(policy("a", "eth0#0-1", 2, 5), policy("b", "eth0#2-4", 7, 50), policy("c", "eth0#5", 6))
    assert offered(resolution) == {0: "a", 1: "a", 2: "b", 3: "b", 4: "b", 5: "c"}
    assert resolution.rejected == ()


def test_a_policy_without_range_does_not_take_what_another_number_adds() -> None:
    resolution = resolved(policy("first", "eth0", 2, 5), policy("ranged", "eth0#4-5", 6))
    assert offered(resolution) == {0: "first", 1: "first", 4: "ranged", 5: "ranged"}
    assert resolution.rejected == ()


def test_of_two_whole_pfs_the_lower_number_gets_everything() -> None:
    resolution = resolved(policy("loser", "eth0", 7, 80), policy("winner", "eth0", 4, 20))
    assert offered(resolution) == dict.fromkeys(range(4), "winner")
    assert [(it.policy, it.reason) for it in resolution.rejected] == [("loser", Reason.COUNT_CONFLICT)]


# --- the device plugin: the first entry that fits --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [
        ("eth0#0-2", "eth0#2-4", "aaabb"),
        ("eth0#0-2", "eth0", "aaabbbb"),
        ("eth0#5,6", "eth0", "bbbbbaa"),
        ("eth0", "eth0#0-2", "aaaaaaa"),
        ("eth0", "eth0", "aaaaaaa"),
    ],
)
def test_an_earlier_entry_gets_the_vfs_that_both_name(first: str, second: str, wanted: str) -> None:
    entries = [
        {"resourceName": name, "selectors": {"pfNames": [pf], "drivers": ["vfio-pci"]}}
        for name, pf in (("a", first), ("b", second))
    ]
    assert offered(decided(translate_sriovdp([sriovdp_config(*entries)]), vfs=7)) == dict(enumerate(wanted))


def test_where_drivers_divide_the_vfs_a_range_is_kept() -> None:
    entries = [
        {"resourceName": "a", "selectors": {"pfNames": ["eth0"], "drivers": ["vfio-pci"]}},
        {"resourceName": "b", "selectors": {"pfNames": ["eth0#0-2"], "drivers": ["igbvf"]}},
    ]
    found = offered(decided(translate_sriovdp([sriovdp_config(*entries)]), vfs=7))
    assert found == dict(enumerate("bbbaaaa"))

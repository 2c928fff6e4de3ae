"""A spec becomes a PolicyConfig, or a refusal that names the field."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtfn_host.core.turn.policy import PolicyError, indexes_text, parse_indexes, policy_config
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import PolicyConfig, PoolRequest, Rejected
from virtfn_host.core.values.reasons import Reason

GOOD: dict[str, Any] = {
    "devices": [{"vendor": "8086", "address": "0000:3B:00.0"}],
    "virtualFunctions": {"count": 7, "pools": [{"resourceName": "fast", "indexes": "0-3,6"}]},
}


def read(spec: dict[str, Any]) -> PolicyConfig | Rejected:
    return policy_config(name="p", uid="u", generation=3, spec=spec)


def test_a_good_spec_is_read() -> None:
    policy = read(GOOD)
    assert isinstance(policy, PolicyConfig)
    assert policy.devices[0].address == PciAddress.parse("0000:3b:00.0")
    assert policy.pools == (PoolRequest(resource_name="virtfn.dev/fast", indexes=(0, 1, 2, 3, 6), driver="vfio-pci"),)


def test_a_resource_name_with_a_domain_stays() -> None:
    policy = read(GOOD | {"virtualFunctions": {"pools": [{"resourceName": "vendor.example/gpu"}]}})
    assert isinstance(policy, PolicyConfig)
    assert policy.pools[0].resource_name == "vendor.example/gpu"
    assert policy.count is None


def _vfs(**fields: Any) -> dict[str, Any]:
    return {"virtualFunctions": {"count": 7, "pools": [{"resourceName": "fast"}]} | fields}


def _two(**fields: Any) -> dict[str, Any]:
    """Two pools of one name, with a pool of another name between."""
    first = {"resourceName": "a", "indexes": "0"}
    other = {"resourceName": "b", "indexes": "1", "grant": {"tun": True}, "allocation": {"prefer": "Spread"}}
    return _vfs(pools=[first, other, {"resourceName": "virtfn.dev/a", "indexes": "2", **fields}])


def _pool(**fields: Any) -> dict[str, Any]:
    return _vfs(pools=[{"resourceName": "fast"} | fields])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"devices": []}, "spec.devices"),
        ({"devices": [{}]}, "spec.devices[0]: an empty matcher"),
        ({"devices": [{"vendor": "86"}]}, "spec.devices[0].vendor"),
        ({"devices": [{"vendor": 8086}]}, "spec.devices[0].vendor"),
        ({"devices": [{"class": "020"}]}, "spec.devices[0].class"),
        ({"devices": [{"address": "3b:00.0"}]}, "spec.devices[0].address"),
        ({"devices": [{"netdev": ""}]}, "spec.devices[0].netdev"),
        ({"devices": [{"numaNode": -1}]}, "spec.devices[0].numaNode"),
        ({"devices": [{"mac": "x"}]}, "spec.devices[0].mac: unknown field"),
        ({"devices": [{"vendor": "8086"}] * 65}, "spec.devices: at most 64"),
        ({"more": 1}, "spec.more: unknown field"),
        ({"virtualFunctions": None}, "spec.virtualFunctions: is missing"),
        ({"wholeFunctions": {"resourceName": "x"}}, "spec: has both virtualFunctions and wholeFunctions"),
        ({"virtualFunctions": None, "wholeFunctions": {}}, "spec: has both"),
        ({"disruption": {"whenInUse": "Force"}}, "spec.disruption.whenInUse: 'Force' is not one of Wait, Evict"),
        (_vfs(count=-1), "spec.virtualFunctions.count"),
        (_vfs(count=True), "spec.virtualFunctions.count"),
        (_vfs(pools=[]), "spec.virtualFunctions.pools: name at least one"),
        (_pool(link={"vlan": 4095}), "pools[0].link.vlan: 4095 is out of range; write a number from 0 to 4094"),
        (_pool(link={"vlan": True}), "pools[0].link.vlan: True is out of range"),
        (_pool(link={"vlan": 1, "vlanQos": 8}), "pools[0].link.vlanQos: 8 is out of range; write a number from 0 to 7"),
        (_pool(link={"vlanQos": 1}), "pools[0].link.vlanQos: a priority needs a vlan"),
        (_pool(link={"vlan": 0, "vlanQos": 1}), "pools[0].link.vlanQos: 1 needs a vlan from 1"),
        (_pool(link={"trust": "yes"}), "pools[0].link.trust: 'yes' is not true or false"),
        (_pool(link={"minTxRate": 9, "maxTxRate": 8}), "pools[0].link.minTxRate: 9 is more than maxTxRate 8"),
        (_pool(link={"maxTxRate": 2**32}), "pools[0].link.maxTxRate: 4294967296 is out of range"),
        (_pool(link={"linkState": "up"}), "pools[0].link.linkState: 'up' is not one of auto, enable, disable"),
        (_pool(link={"mac": "02::"}), "pools[0].link.mac: '02::' is not Stable"),
        (_pool(link={"guid": "stable"}), "pools[0].link.guid: 'stable' is not Stable"),
        (_pool(link={"mac": True}), "pools[0].link.mac: True is not Stable"),
        (_pool(link={"nodeGuid": "Stable"}), "pools[0].link.nodeGuid: unknown field"),
        (_pool(resourceName=""), "pools[0].resourceName"),
        (_pool(resourceName="a b"), "pools[0].resourceName"),
        (_pool(resourceName="kubernetes.io/x"), "pools[0].resourceName"),
        (_pool(resourceName="mykubernetes.io/x"), "pools[0].resourceName"),
        (_pool(indexes="3-1"), "pools[0].indexes: the range 3-1 runs backwards"),
        (_pool(indexes="7"), "pools[0].indexes: 7 is not below count 7"),
        (_pool(indexes="0,0-2"), "pools[0].indexes: '0,0-2' names an index twice"),
        (_pool(indexes="one"), "pools[0].indexes: 'one'"),
        (_pool(indexes=3), "pools[0].indexes: want text"),
        (_pool(driver="../x"), "pools[0].driver"),
        (
            _vfs(pools=[{"resourceName": "a", "indexes": "0-2"}, {"resourceName": "b", "indexes": "2"}]),
            "pools[1].indexes: 2 already belongs to virtfn.dev/a",
        ),
        (_vfs(pools=[{"resourceName": "a"}, {"resourceName": "b"}]), "only one pool may leave out indexes"),
        (
            _vfs(pools=[{"resourceName": "a", "indexes": "0"}, {"resourceName": "a", "driver": "kernel"}]),
            "pools[1].driver: virtfn.dev/a already has driver vfio-pci",
        ),
        (_two(grant={"vhostNet": True}), "pools[2].grant: virtfn.dev/a already has another grant"),
        (_two(grant={"cdi": {}}), "pools[2].grant: virtfn.dev/a already has another grant"),
        (_two(allocation={"prefer": "Spread"}), "pools[2].allocation: virtfn.dev/a already has another prefer or top"),
        (_two(allocation={"topology": "None"}), "pools[2].allocation: virtfn.dev/a already has another prefer or top"),
    ],
)
def test_a_bad_spec_is_refused_with_the_field(change: dict[str, Any], field: str) -> None:
    answer = read(GOOD | change)
    assert isinstance(answer, Rejected)
    assert answer.reason == Reason.INVALID_POLICY
    assert field in answer.message


@pytest.mark.parametrize(
    "same",
    [
        {"grant": {}},
        {"grant": {"vhostNet": False}, "allocation": {"prefer": "Pack", "topology": "Numa"}},
        {"allocation": {"requireLink": True}},
    ],
)
def test_pools_of_one_name_may_say_the_same_in_other_words_and_need_a_link_each_for_itself(
    same: dict[str, Any],
) -> None:
    assert isinstance(read(GOOD | _two(**same)), PolicyConfig)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from(["devices", "virtualFunctions", "priority", "disruption"]), _json))
def test_no_spec_raises(spec: dict[str, Any]) -> None:
    assert isinstance(read(spec), (PolicyConfig, Rejected))


@given(st.sets(st.integers(0, 300), min_size=1))
def test_indexes_survive_the_round_trip(indexes: set[int]) -> None:
    assert parse_indexes(indexes_text(sorted(indexes))) == tuple(sorted(indexes))


def test_runs_are_written_short() -> None:
    assert indexes_text([6, 0, 1, 2, 3]) == "0-3,6"


@given(st.text(alphabet="0123456789-, x", max_size=12))
def test_odd_indexes_raise_only_policy_errors(text: str) -> None:
    with suppress(PolicyError):
        assert parse_indexes(text)

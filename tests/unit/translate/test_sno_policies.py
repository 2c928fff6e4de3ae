"""Policies of the network operator, in the forms of its documentation: names, VFs, drivers, priorities, and words."""

from typing import Any

import pytest
from other_tools import (
    EXTERNAL,
    MANY_RANGES,
    NETDEVICE,
    SNO_ADDRESSES,
    SNO_CONNECTX,
    SNO_INFINIBAND,
    SWITCHDEV,
    TWO_RANGES,
    VFIO,
    XL710,
)
from translated import brief, briefly, devices, expect_taken, policies, said, sno_object, sno_policy

from virtfn_host.core.translate.asked import Translation
from virtfn_host.core.translate.sno import translate_sno

Brief = tuple[str, str, str, object, object]

POLICIES = [
    pytest.param(VFIO, [("vfio", "openshift.io/intelnics", "vfio-pci", 8, None)], [], id="vfio-pci"),
    pytest.param(
        NETDEVICE,
        [("net", "openshift.io/net", "kernel", 8, None)],
        [],
        id="netdevice with mtu, vhost-net and topology",
    ),
    pytest.param(
        SNO_CONNECTX,
        [("mlx-dpdk", "openshift.io/mlx_dpdk", "kernel", 8, None)],
        [],
        id="DPDK on ConnectX",
    ),
    pytest.param(
        TWO_RANGES,
        [
            ("first", "openshift.io/first", "vfio-pci", 8, "0-3"),
            ("second", "openshift.io/second", "kernel", 8, "4-7"),
        ],
        [],
        id="two policies of one PF by ranges",
    ),
    pytest.param(
        SWITCHDEV,
        [("offload", "openshift.io/offload", "kernel", 8, None)],
        [
            "eSwitchMode switchdev is not carried over: set it before there are VFs, with `devlink dev eswitch set",
            "bridge an object of 1 fields is not carried over: virtfn manages no OVS bridges",
        ],
        id="switchdev with a bridge",
    ),
    pytest.param(
        SNO_INFINIBAND,
        [("ib", "openshift.io/ib", "kernel", 8, None)],
        ["linkType IB is not carried over: virtfn leaves the link type of a card as it is"],
        id="InfiniBand",
    ),
    pytest.param(EXTERNAL, [("kept", "openshift.io/kept", "kernel", None, "0-4")], [], id="VFs that exist already"),
    pytest.param(
        MANY_RANGES,
        [
            ("split", "openshift.io/split", "vfio-pci", 8, "0-1"),
            ("split-2", "openshift.io/split", "vfio-pci", 8, "2-3"),
            ("split-3", "openshift.io/split", "vfio-pci", 8, None),
        ],
        [],
        id="different ranges in one policy",
    ),
    pytest.param(SNO_ADDRESSES, [("roots", "openshift.io/roots", "kernel", 8, None)], [], id="PFs by address"),
]


@pytest.mark.parametrize(("objects", "wanted", "words"), POLICIES)
def test_names_drivers_and_vfs_are_kept_and_the_rest_is_told(
    objects: list[dict[str, Any]], wanted: list[Brief], words: list[str]
) -> None:
    found = translate_sno(objects)
    assert briefly(found) == wanted
    assert [word for word in words if word not in said(found)] == []
    if not words:
        assert said(found) == ""
    assert all(one.usable for one in found.results)
    expect_taken(found)


@pytest.mark.parametrize(
    ("selector", "matchers"),
    [
        (XL710, [{"vendor": "8086", "device": "1583", "netdev": "ens803f0"}]),
        ({"vendor": "15B3"}, [{"vendor": "15b3", "class": "02"}]),
        ({"deviceID": "158b"}, [{"device": "158b"}]),
        ({"rootDevices": ["0000:3B:00.0"], "pfNames": ["a", "b"]},
         [{"address": "0000:3b:00.0", "netdev": "a"}, {"address": "0000:3b:00.0", "netdev": "b"}]),
    ],
)  # fmt: skip
def test_a_matcher_has_the_fields_of_the_selector(selector: object, matchers: list[dict[str, str]]) -> None:
    assert devices(translate_sno([sno_policy("p", nicSelector=selector)]), "p") == matchers


def test_labels_are_kept_and_empty_ones_select_every_node() -> None:
    labels = {"feature.node.kubernetes.io/network-sriov.capable": "true", "node-role.kubernetes.io/worker": ""}
    found = translate_sno(
        [
            sno_policy("some", nicSelector={"pfNames": ["a"]}, nodeSelector=labels),
            sno_policy("all", nicSelector={"pfNames": ["b"]}, nodeSelector={}),
        ]
    )
    selectors = {brief(one)[0]: one.document["spec"].get("nodeSelector") for one in policies(found) if one.document}
    assert selectors == {"some": {"matchLabels": labels}, "all": None}


@pytest.mark.parametrize(("excluded", "asked"), [(True, {"topology": "None"}), (False, None)])
def test_the_kubelet_is_told_no_numa_nodes_where_it_was_not(excluded: bool, asked: object) -> None:
    (one,) = policies(translate_sno([sno_policy("p", nicSelector={"pfNames": ["a"]}, excludeTopology=excluded)]))
    assert one.document is not None
    assert one.document["spec"]["virtualFunctions"]["pools"][0].get("allocation") == asked


@pytest.mark.parametrize(("needed", "given"), [(True, {"vhostNet": True, "tun": True}), (False, None)])
def test_containers_get_vhost_net_and_tun_where_they_did(needed: bool, given: object) -> None:
    (one,) = policies(translate_sno([sno_policy("p", nicSelector={"pfNames": ["a"]}, needVhostNet=needed)]))
    assert one.document is not None
    assert one.document["spec"]["virtualFunctions"]["pools"][0].get("grant") == given


@pytest.mark.parametrize(("fields", "asked"), [({"mtu": 9000}, 9000), ({"mtu": 0}, None), ({}, None)])
def test_the_mtu_of_pf_and_vfs_is_kept(fields: dict[str, Any], asked: int | None) -> None:
    found = translate_sno([sno_policy("p", nicSelector={"pfNames": ["a"]}, **fields)])
    (one,) = policies(found)
    assert one.document is not None
    assert one.document["spec"]["virtualFunctions"].get("mtu") == asked
    assert said(found) == ""
    expect_taken(found)


def test_infiniband_vfs_get_guids() -> None:
    (one,) = policies(translate_sno([sno_policy("ib", nicSelector={"pfNames": ["ibs2"]}, linkType="ib")]))
    assert one.document is not None
    assert one.document["spec"]["virtualFunctions"]["pools"][0]["link"] == {"guid": "Stable"}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"nicSelector": {"netFilter": "openstack/NetworkID:ada9ec67-2c97-467c-b674-c47200e2f5da"}}, "netFilter"),
        ({"nicSelector": {}}, "nicSelector: is empty"),
        ({"nicSelector": {"pfNames": ["a"]}, "vdpaType": "vhost", "eSwitchMode": "switchdev"}, "vdpaType vhost"),
        ({"nicSelector": {"pfNames": ["a"]}, "numVfs": 0}, "numVfs 0"),
    ],
)
def test_what_a_policy_cannot_say_is_left_to_a_person(fields: dict[str, Any], why: str) -> None:
    found = translate_sno([sno_policy("p", **fields)])
    assert not any(one.usable for one in found.results)
    assert why in "\n".join(text for one in found.results for text in one.open)
    expect_taken(found)


# --- several policies ------------------------------------------------------------------------------------------------


def on_one_pf(*fields: dict[str, Any]) -> Translation:
    names = "abcdef"
    return translate_sno(
        [sno_policy(names[n], **{"nicSelector": {"pfNames": ["ens1"]}, **it}) for n, it in enumerate(fields)]
    )


def ranged(text: str) -> dict[str, Any]:
    return {"pfNames": [f"ens1#{text}"]}


@pytest.mark.parametrize(("theirs", "ours"), [(0, 99), (1, 98), (50, 49), (98, 1), (99, None), (None, None)])
def test_the_lower_number_of_theirs_is_the_higher_of_ours(theirs: int | None, ours: int | None) -> None:
    (one,) = policies(translate_sno([sno_policy("p", nicSelector={"pfNames": ["a"]}, priority=theirs)]))
    assert one.document is not None
    assert one.document["spec"].get("priority") == ours


def test_policies_are_printed_in_order_of_precedence() -> None:
    found = on_one_pf({"priority": 50}, {"priority": 10}, {}, {"priority": 10})
    assert [name for name, *_ in briefly(found)] == ["b", "d", "a", "c"]


@pytest.mark.parametrize(
    ("first", "second", "counts"),
    [
        ({"nicSelector": ranged("0-1"), "numVfs": 4, "priority": 1}, {"nicSelector": ranged("2-7"), "numVfs": 8}, 8),
        ({"nicSelector": ranged("0-1"), "numVfs": 16}, {"nicSelector": ranged("2-7"), "numVfs": 8}, 16),
        ({"nicSelector": ranged("0-1"), "numVfs": 4}, {"nicSelector": {"vendor": "8086"}, "numVfs": 6}, 6),
    ],
)
def test_policies_of_one_pf_have_the_highest_number_of_vfs(
    first: dict[str, Any], second: dict[str, Any], counts: int
) -> None:
    found = on_one_pf(first, second)
    assert {count for _, _, _, count, _ in briefly(found)} == {counts}
    assert f"count is {counts}, the highest for these PFs, as the operator has it" in said(found)
    expect_taken(found)


def test_of_two_that_overlap_the_operators_winner_keeps_its_number() -> None:
    found = on_one_pf({"numVfs": 4, "priority": 5}, {"numVfs": 16, "priority": 9})
    assert [(name, count, indexes) for name, _, _, count, indexes in briefly(found)] == [
        ("a", 4, "0-3"),
        ("b", 16, "0-15"),
    ]
    assert "VFs that SriovNetworkNodePolicy a may name too go to that, by priority" in said(found)


def test_without_a_range_a_policy_means_its_first_vfs() -> None:
    found = on_one_pf({"numVfs": 4, "priority": 5}, {"nicSelector": ranged("4-5"), "numVfs": 6})
    assert [(name, count, indexes) for name, _, _, count, indexes in briefly(found)] == [
        ("a", 6, "0-3"),
        ("b", 6, "4-5"),
    ]


def test_one_priority_for_the_same_vfs_is_told_to_both() -> None:
    found = on_one_pf({"priority": 5}, {"priority": 5})
    assert said(found).count("may name the same VFs with the same priority; name others in one") == 2


def test_ranges_of_one_pf_under_one_name_are_both_offered_and_that_is_told() -> None:
    found = on_one_pf(
        {"nicSelector": ranged("0-1"), "resourceName": "r"}, {"nicSelector": ranged("2"), "resourceName": "r"}
    )
    assert [(resource, indexes) for _, resource, _, _, indexes in briefly(found)] == [
        ("openshift.io/r", "0-1"),
        ("openshift.io/r", "2"),
    ]
    assert said(found).count("the operator drops one, virtfn offers both") == 2


@pytest.mark.parametrize(
    "other",
    [
        {"nicSelector": {"pfNames": ["ens2"]}, "numVfs": 4},
        {"nodeSelector": {"example.com/sriov": "false"}, "numVfs": 4},
    ],
)
def test_policies_of_other_pfs_or_nodes_do_not_change_each_other(other: dict[str, Any]) -> None:
    found = on_one_pf({"numVfs": 8}, other)
    assert [(count, indexes) for _, _, _, count, indexes in briefly(found)] == [(8, None), (4, None)]
    assert said(found) == ""


# --- other objects ---------------------------------------------------------------------------------------------------


def test_other_objects_are_told_of() -> None:
    good = sno_policy("p", nicSelector={"pfNames": ["a"]})
    others = [
        sno_object("SriovOperatorConfig", "default", {"disableDrain": True}),
        sno_object("SriovNetworkPoolConfig", "pool", {"maxUnavailable": 2}),
        sno_object("SriovSomething", "new", {}),
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "sriov-network-operator"}},
        {},
    ]
    found = translate_sno([*others, good])
    assert len(found.results) == 1
    wanted = (
        "SriovOperatorConfig default: not translated; virtfn has no such object",
        "SriovNetworkPoolConfig pool: not translated; write maxUnavailable of the pool",
        "SriovSomething new: not translated; virtfn does not know this kind",
        "Namespace sriov-network-operator: not translated; the operator does not read it",
        "an object of 0 fields, of no kind: not translated; the operator does not read it",
    )
    assert [note for note, begin in zip(found.notes, wanted, strict=True) if not note.startswith(begin)] == []


def test_the_operators_own_policy_is_left_out() -> None:
    found = translate_sno([sno_policy("default"), sno_policy("p", nicSelector={"pfNames": ["a"]})])
    assert [name for name, *_ in briefly(found)] == ["p"]


def test_a_list_of_kubectl_is_read_and_its_status_ignored() -> None:
    policy = sno_policy("p", nicSelector={"pfNames": ["a"]}) | {"status": {}}
    for kind in ("List", "SriovNetworkNodePolicyList"):
        assert len(translate_sno([{"kind": kind, "items": [policy]}]).results) == 1

"""Configurations of the network device plugin, in the forms of its documentation: names, VFs, drivers, and words."""

from typing import Any

import pytest
from other_tools import (
    ADDRESSES_OF_PFS,
    CONNECTX_DPDK,
    FEC_ACCELERATOR,
    INFINIBAND,
    KERNEL_VFS,
    LIST_OF_SELECTORS,
    NO_DRIVER,
    RANGES_OF_ONE_PF,
    VHOST,
    WHOLE_FPGA,
)
from translated import brief, briefly, config_map, devices, expect_taken, policies, said, sriovdp_config

from virtfn_host.core.translate.asked import Translation
from virtfn_host.core.translate.sriovdp import translate_sriovdp

CONFIGS = [
    pytest.param(
        [KERNEL_VFS],
        [("x710-netdevice", "intel.com/x710_netdevice", "kernel", None, None)],
        ["devices 154c: the ID of a VF; its PFs are 0cf8, 0d58, 104e"],
        id="VFs by their own ID on a kernel driver",
    ),
    pytest.param(
        list(RANGES_OF_ONE_PF),
        [
            ("dpdk", "intel.com/dpdk", "vfio-pci", None, "0-3"),
            ("netdevice", "intel.com/netdevice", "kernel", None, "4,6-7"),
        ],
        [],
        id="two resources of one PF by ranges",
    ),
    pytest.param(
        [CONNECTX_DPDK],
        [("cx5", "nvidia.com/cx5", "kernel", None, None)],
        ["devices 1018: the ID of a VF; its PFs are"],
        id="DPDK on ConnectX stays on its kernel driver",
    ),
    pytest.param(
        [INFINIBAND],
        [("ib", "intel.com/ib", "kernel", None, None)],
        [],
        id="InfiniBand with RDMA",
    ),
    pytest.param(
        [FEC_ACCELERATOR],
        [("fec", "intel.com/fec", "vfio-pci", None, None)],
        ["devices 0d90: the ID of a VF; its PFs are 0d8f"],
        id="VFs of an accelerator",
    ),
    pytest.param(
        [WHOLE_FPGA],
        [("fpga", "intel.com/fpga", "vfio-pci", "whole", None)],
        ["devices 09c4: the ID of a PF", "drivers: none is named"],
        id="a whole FPGA",
    ),
    pytest.param(
        [VHOST],
        [("vhost", "intel.com/vhost", "vfio-pci", None, None)],
        [
            "additionalInfo an object of 1 fields is not carried over",
        ],
        id="vhost-net, topology and additional information",
    ),
    pytest.param(
        [ADDRESSES_OF_PFS],
        [
            ("roots", "intel.com/roots", "vfio-pci", None, "0-1,5"),
            ("roots-2", "intel.com/roots", "vfio-pci", None, None),
        ],
        [],
        id="PFs by address, one with a range",
    ),
    pytest.param(
        [LIST_OF_SELECTORS],
        [
            ("two-vendors", "intel.com/two_vendors", "vfio-pci", None, None),
            ("two-vendors-2", "intel.com/two_vendors", "vfio-pci", None, "0"),
        ],
        ["igb_uio is not bound by virtfn; vfio-pci takes its place", "devices 10ed: left out"],
        id="a list of selectors",
    ),
    pytest.param(
        [NO_DRIVER],
        [("any", "intel.com/any", "kernel", None, None)],
        ["drivers: none is named, so VFs of any driver were offered; the policy binds them to kernel"],
        id="no driver named",
    ),
]


@pytest.mark.parametrize(("resources", "wanted", "words"), CONFIGS)
def test_names_drivers_and_vfs_are_kept_and_the_rest_is_told(
    resources: list[dict[str, Any]], wanted: list[tuple[object, ...]], words: list[str]
) -> None:
    found = translate_sriovdp([sriovdp_config(*resources)])
    assert briefly(found) == wanted
    assert [word for word in words if word not in said(found)] == []
    assert all(one.usable for one in found.results)
    expect_taken(found)


@pytest.mark.parametrize(
    ("resource", "matchers"),
    [
        (CONNECTX_DPDK, [{"vendor": "15b3", "device": "1017"}]),
        (INFINIBAND, [{"vendor": "15b3", "class": "0207"}]),
        (FEC_ACCELERATOR, [{"vendor": "8086", "device": "0d8f"}]),
        (NO_DRIVER, [{"vendor": "8086", "netdev": "eth1"}]),
        ({"resourceName": "n", "selectors": {"vendors": ["8086", "15B3"]}},
         [{"vendor": "8086", "class": "02"}, {"vendor": "15b3", "class": "02"}]),
        ({"resourceName": "n", "deviceType": "accelerator", "selectors": {"vendors": ["10ee"]}},
         [{"vendor": "10ee", "class": "12"}]),
        ({"resourceName": "n", "selectors": {"pfNames": ["a", "b"], "rootDevices": ["0000:01:00.0"]}},
         [{"address": "0000:01:00.0", "netdev": "a"}, {"address": "0000:01:00.0", "netdev": "b"}]),
        ({"resourceName": "n", "selectors": {"vendors": ["8086"], "linkTypes": ["ether", "infiniband"]}},
         [{"vendor": "8086", "class": "02"}]),
    ],
)  # fmt: skip
def test_a_matcher_selects_the_pf_of_the_selected_vfs(resource: dict[str, Any], matchers: list[dict[str, str]]) -> None:
    found = translate_sriovdp([sriovdp_config(resource)])
    assert devices(found, brief(policies(found)[0])[0]) == matchers
    expect_taken(found)


def test_the_id_of_a_pf_with_its_name_is_the_pf_itself() -> None:
    selectors = {"vendors": ["15b3"], "devices": ["1017"], "pfNames": ["ens2f0"], "drivers": ["mlx5_core"]}
    found = translate_sriovdp([sriovdp_config({"resourceName": "pf", "selectors": selectors})])
    assert briefly(found) == [("pf", "intel.com/pf", "kernel", "whole", None)]
    assert devices(found, "pf") == [{"vendor": "15b3", "device": "1017", "netdev": "ens2f0"}]
    expect_taken(found)


@pytest.mark.parametrize(("excluded", "asked"), [({"excludeTopology": True}, {"topology": "None"}), ({}, None)])
def test_the_kubelet_is_told_no_numa_nodes_where_it_was_not(excluded: dict[str, bool], asked: object) -> None:
    vfs = {"resourceName": "r", "selectors": {"pfNames": ["ens1"], "drivers": ["vfio-pci"]}, **excluded}
    (one,) = policies(translate_sriovdp([sriovdp_config(vfs)]))
    assert one.document is not None
    assert one.document["spec"]["virtualFunctions"]["pools"][0].get("allocation") == asked


BOTH = {"vhostNet": True, "tun": True}


def granted(found: Translation) -> object:
    (one,) = policies(found)
    assert one.document is not None
    return one.document["spec"]["virtualFunctions"]["pools"][0].get("grant")


@pytest.mark.parametrize(
    ("asked", "given", "note"),
    [
        ([True], BOTH, ""),
        ([False], None, ""),
        ([None], None, ""),
        ([True, True], BOTH, ""),
        ([True, False], BOTH, "needVhostNet of some selectors: containers get /dev/vhost-net and"),
    ],
)  # fmt: skip
def test_containers_get_vhost_net_and_tun_where_they_did(asked: list[object], given: object, note: str) -> None:
    one = {"drivers": ["vfio-pci"]}
    selectors = [{**one, "pfNames": [f"ens{n}"], "needVhostNet": need} for n, need in enumerate(asked)]
    found = translate_sriovdp([sriovdp_config({"resourceName": "r", "selectors": selectors})])
    assert granted(found) == given
    assert said(found).startswith(note)
    expect_taken(found)


def test_the_number_of_vfs_is_left_alone() -> None:
    found = translate_sriovdp([sriovdp_config(KERNEL_VFS, *RANGES_OF_ONE_PF, CONNECTX_DPDK)])
    assert [count for _, _, _, count, _ in briefly(found)] == [None] * 4


def test_a_name_and_an_address_with_ranges_both_count() -> None:
    selectors = {"pfNames": ["ens1#0-4"], "rootDevices": ["0000:01:00.0#3-9"], "drivers": ["vfio-pci"]}
    found = translate_sriovdp([sriovdp_config({"resourceName": "r", "selectors": selectors})])
    assert briefly(found) == [("r", "intel.com/r", "vfio-pci", None, "3-4")]


@pytest.mark.parametrize(
    ("prefix", "own", "full"),
    [("intel.com", None, "intel.com/r"), ("example.org", None, "example.org/r"), ("example.org", "a.b", "a.b/r")],
)
def test_a_resource_has_its_own_domain_or_that_of_the_flag(prefix: str, own: str | None, full: str) -> None:
    resource = {"resourceName": "r", "resourcePrefix": own, "selectors": {"pfNames": ["ens1"]}}
    assert briefly(translate_sriovdp([sriovdp_config(resource)], prefix))[0][1] == full


def test_keys_have_no_case_and_null_is_absent() -> None:
    resource = {
        "RESOURCENAME": "r",
        "Selectors": {"PfNames": ["ens1#0"], "Drivers": ["vfio-pci"], "IsRdma": False, "NeedVhostNet": True},
        "SelectorObj": None,
        "deviceType": None,
    }
    found = translate_sriovdp([{"ResourceList": [resource]}])
    assert briefly(found) == [("r", "intel.com/r", "vfio-pci", None, "0")]
    assert said(found) == ""
    assert granted(found) == BOTH


@pytest.mark.parametrize(
    ("selectors", "why"),
    [
        ({"pfNames": ["a"], "drivers": ["vfio-pci"]}, "drivers: only functions on vfio-pci were offered"),
        ({"rootDevices": ["0000:01:00.0"], "drivers": ["igb_uio"]}, "drivers: only functions on igb_uio were offered"),
        ({"vendors": ["8086"], "devices": ["154c"], "drivers": ["iavf", "i40evf"]}, "functions on iavf or i40evf were"),
        ({"vendors": ["15b3"], "isRdma": True}, "isRdma: only functions with an RDMA device were offered"),
        ({"pfNames": ["a#0-3", "b"], "drivers": ["vfio-pci"]}, "so add `indexes` if some are used otherwise"),
    ],
)
def test_what_the_plugin_chose_by_the_present_state_is_told(selectors: dict[str, Any], why: str) -> None:
    found = translate_sriovdp([sriovdp_config({"resourceName": "r", "selectors": selectors})])
    assert why in said(found)
    assert all(one.usable for one in found.results)


@pytest.mark.parametrize(
    "selectors",
    [{"pfNames": ["a#0-3"], "drivers": ["vfio-pci"]}, {"pfNames": ["a"]}, {"vendors": ["8086"], "devices": ["154c"]}],
)
def test_what_a_policy_chooses_alike_has_no_such_note(selectors: dict[str, Any]) -> None:
    found = translate_sriovdp([sriovdp_config({"resourceName": "r", "selectors": selectors})])
    assert "used otherwise" not in said(found)


def test_an_unknown_field_is_told_of() -> None:
    resource = {
        "resourceName": "r",
        "colour": "blue",
        "selectors": {"pfNames": ["ens1"], "drivers": ["iavf"], "x": [1]},
    }
    text = said(translate_sriovdp([sriovdp_config(resource)]))
    assert "colour 'blue' is not carried over: virtfn does not know this field" in text
    assert "x a list of 1 is not carried over" in text


def test_resource_names_that_make_one_policy_name_get_numbers() -> None:
    names = ["a_b", "a-b", "A.b"]
    resources = [{"resourceName": name, "selectors": {"pfNames": [f"ens{n}"]}} for n, name in enumerate(names)]
    assert [name for name, *_ in briefly(translate_sriovdp([sriovdp_config(*resources)]))] == ["a-b", "a-b-2", "a-b-3"]


# --- ConfigMaps ------------------------------------------------------------------------------------------------------


def test_a_config_map_with_one_file_is_for_every_node() -> None:
    found = translate_sriovdp([config_map(config_json=sriovdp_config(KERNEL_VFS))])
    assert [one.document["spec"].get("nodeSelector") for one in policies(found) if one.document] == [None]


def test_a_config_map_with_one_file_for_each_node_selects_the_nodes() -> None:
    one, other = sriovdp_config(*RANGES_OF_ONE_PF[:1]), sriovdp_config(*RANGES_OF_ONE_PF[1:])
    found = translate_sriovdp([config_map(node0=one, node1=other, node2=one)])
    hostname = "kubernetes.io/hostname"
    assert [it.document["spec"]["nodeSelector"] for it in policies(found) if it.document] == [
        {"matchExpressions": [{"key": hostname, "operator": "In", "values": ["node0", "node2"]}]},
        {"matchLabels": {hostname: "node1"}},
    ]
    expect_taken(found)


def test_a_list_of_kubectl_and_documents_beside_it_are_read() -> None:
    listed = {"kind": "List", "items": [{"kind": "Pod"}, config_map(config_json=sriovdp_config(KERNEL_VFS))]}
    assert len(policies(translate_sriovdp([{"kind": "ServiceAccount"}, listed]))) == 1

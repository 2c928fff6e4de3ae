"""Configurations with any content: a refusal names the field, and nothing else happens."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from translated import config_map, expect_taken, sno_object, sno_policy, sriovdp_config

from virtfn_host.core.translate.asked import Translation
from virtfn_host.core.translate.item import UnfitError
from virtfn_host.core.translate.sno import translate_sno
from virtfn_host.core.translate.sriovdp import translate_sriovdp


def resource(**fields: object) -> dict[str, Any]:
    return {"resourceName": "r", "selectors": {"pfNames": ["ens1"]}, **fields}


def selecting(**selectors: object) -> dict[str, Any]:
    return sriovdp_config(resource(selectors=selectors))


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({}, "want config.json with a resourceList, or a ConfigMap that has it; this is an object of 0 fields"),
        ({"kind": "Pod", "metadata": {"name": "web"}}, "this is Pod web"),
        ({"resourceList": None}, "resourceList: is missing"),
        ({"resourceList": {}}, "resourceList: want a list, got an object of 0 fields"),
        ({"resourceList": []}, "resourceList: is empty"),
        ({"resourceList": [3]}, "resourceList[0]: want an object, got 3"),
        ({"resourceList": [{}] * 257}, "resourceList: at most 256, got 257"),
        (sriovdp_config({}), "resourceList[0].resourceName: is missing"),
        (sriovdp_config(resource(resourceName=7)), "resourceList[0].resourceName: 7 is not a text"),
        (sriovdp_config(resource(resourceName="a" * 254)), "is not a text of 1 to 253 characters"),
        (sriovdp_config(resource(resourceName="a" * 64)), "is not a resource name like fast"),
        (sriovdp_config(resource(resourceName="a\0b")), "resourceList[0].resourceName: 'intel.com/a\\x00b' is not"),
        (sriovdp_config(resource(resourcePrefix="kubernetes.io")), "is in a domain that Kubernetes keeps for itself"),
        (sriovdp_config(resource(resourcePrefix="Not A Domain")), "is not a resource name like fast"),
        (sriovdp_config(resource(deviceType="gpu")), "deviceType: 'gpu' is not one of netDevice, accelerator"),
        (sriovdp_config(resource(deviceType=["netDevice"])), "deviceType: a list of 1 is not one of"),
        (
            sriovdp_config(resource(), resource()),
            "resourceList[1]: intel.com/r is there twice, first in",
        ),
        (sriovdp_config(resource(ResourceName="x")), "ResourceName: is there twice, also as resourceName"),
        (sriovdp_config(resource(selectors="ens1")), "selectors: want an object, got 'ens1'"),
        (sriovdp_config(resource(selectors=[{}, 1])), "selectors[1]: want an object, got 1"),
        (selecting(vendors="8086"), "vendors: want a list, got '8086'"),
        (selecting(vendors=[8086]), "vendors[0]: 8086 is not text of 4 hex digits"),
        (selecting(vendors=["0x8086"]), "vendors[0]: '0x8086' is not text of 4 hex digits"),
        (selecting(devices=["154c", "x"]), "devices[1]: 'x' is not text of 4 hex digits"),
        (selecting(drivers=["../../etc"]), "drivers[0]: '../../etc' is not a driver's name"),
        (selecting(pfNames=[""]), "pfNames[0]: '' is not a text"),
        (selecting(pfNames=["a b"]), "pfNames[0]: is not a PF's name"),
        (selecting(pfNames=["a/b"]), "pfNames[0]: is not a PF's name"),
        (selecting(pfNames=["ens1\0"]), "pfNames[0]: is not a PF's name"),
        (selecting(pfNames=["ens1#"]), "pfNames[0]: '' is not a VF index or range"),
        (selecting(pfNames=["ens1#3-1"]), "pfNames[0]: the range 3-1 runs backwards"),
        (selecting(pfNames=["ens1#1,1"]), "pfNames[0]: '1,1' names an index twice"),
        (selecting(pfNames=["ens1#0#1"]), "pfNames[0]: '0#1' is not a VF index or range"),
        (selecting(pfNames=["ens1#99999"]), "pfNames[0]: 99999 is out of range"),
        (selecting(pfNames=["ens1#" + ",".join(map(str, range(0, 200, 2)))]), "more than 128 characters of indexes"),
        (selecting(rootDevices=["3b:00.0"]), "rootDevices[0]: '3b:00.0' is not a PCI address"),
        (selecting(pciAddresses=["ens1"]), "pciAddresses[0]: 'ens1' is not a PCI address"),
        (selecting(linkTypes=["fibre"]), "linkTypes[0]: 'fibre' is not one of ether, infiniband"),
        (selecting(pfNames=[f"e{n}" for n in range(200)], vendors=["8086", "15b3", "10ee"]), "600 combinations"),
        ({"kind": "ConfigMap"}, "data: is missing"),
        ({"kind": "ConfigMap", "data": {}}, "data: is empty"),
        ({"kind": "ConfigMap", "data": {"config.json": 7}}, 'data["config.json"]: want an object, got 7'),
        ({"kind": "ConfigMap", "data": {"config.json": "{]"}}, 'data["config.json"]: not JSON'),
        (
            {"kind": "ConfigMap", "data": {"a.json": "{}", "b.json": "{}"}},
            "data: has 'a.json' and 'b.json'; leave in",
        ),
        (
            {"kind": "ConfigMap", "data": {"n": '{"resourceList": [{}]}'}},
            "data.n: resourceList[0].resourceName: is",
        ),
    ],
)
def test_what_is_no_configuration_of_the_plugin_is_refused(document: dict[str, Any], why: str) -> None:
    with pytest.raises(UnfitError) as refused:
        translate_sriovdp([document])
    assert why in str(refused.value)
    assert len(str(refused.value)) < 400
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("documents", "why"),
    [
        ([], "and kind SriovNetworkNodePolicy, "),
        ([{}], "this is an object of 0 fields, of no kind"),
        ([{"kind": "List", "items": []}], "and kind SriovNetworkNodePolicy, "),
        ([{"kind": "SriovNetworkNodePolicy", "apiVersion": "v1"}], "this is SriovNetworkNodePolicy"),
        ([sno_policy("p", nicSelector={"pfNames": ["a"]})] * 2, "SriovNetworkNodePolicy p is there twice"),
        ([sno_object("SriovNetwork", "n", {"resourceName": "r"})] * 2, "SriovNetwork n is there twice"),
        ([sno_policy("p", nicSelector=None)], "spec.nicSelector: is missing"),
        ([sno_policy("p", nicSelector=[])], "spec.nicSelector: want an object, got a list of 0"),
        ([sno_policy("p", nicSelector={"pfNames": "a"})], "spec.nicSelector.pfNames: want a list"),
        ([sno_policy("p", nicSelector={"pfNames": ["a#0-8"]})], "pfNames[0]: VF 8 is not below numVfs 8"),
        ([sno_policy("p", nicSelector={"pfNames": ["a#5"]}, numVfs=0)], "pfNames[0]: VF 5 is not below numVfs 0"),
        ([sno_policy("p", nicSelector={"rootDevices": ["0000:01:00.0#0-1"]})], "a PCI address has no range"),
        ([sno_policy("p", nicSelector={"vendor": 8086})], "spec.nicSelector.vendor: 8086 is not text of 4 hex digits"),
        ([sno_policy("p", nicSelector={"netFilter": 3})], "spec.nicSelector.netFilter: 3 is not a text"),
        ([sno_policy("p", nicSelector={}, numVfs="8")], "spec.numVfs: '8' is out of range"),
        ([sno_policy("p", nicSelector={}, numVfs=None)], "spec.numVfs: is missing"),
        ([sno_policy("p", nicSelector={}, numVfs=2049)], "spec.numVfs: 2049 is out of range; write a number of VFs"),
        ([sno_policy("p", nicSelector={}, priority=100)], "spec.priority: 100 is out of range"),
        ([sno_policy("p", nicSelector={}, priority=-1)], "spec.priority: -1 is out of range"),
        (
            [sno_policy("p", nicSelector={}, deviceType="uio")],
            "spec.deviceType: 'uio' is not one of netdevice",
        ),
        ([sno_policy("p", nicSelector={}, linkType="fc")], "spec.linkType: 'fc' is not one of"),
        ([sno_policy("p", nicSelector={}, eSwitchMode=1)], "spec.eSwitchMode: 1 is not one of legacy, switchdev"),
        ([sno_policy("p", nicSelector={}, vdpaType="net")], "spec.vdpaType: 'net' is not one of"),
        ([sno_policy("p", nicSelector={}, externallyManaged="yes")], "externallyManaged: 'yes' is not true or false"),
        ([sno_policy("p", nicSelector={}, resourceName="")], "spec.resourceName: '' is not a text"),
        ([sno_policy("p", nicSelector={}, nodeSelector={"a": True})], "spec.nodeSelector.a: True is not the value"),
        ([sno_policy("p", nicSelector={}, nodeSelector={"a": "x" * 64})], "spec.nodeSelector.a: 'xxx"),
        ([sno_policy("p", nicSelector={}, nodeSelector={"a\nb": ""})], "is not the name of a label"),
        ([sno_policy("p", nicSelector={}, nodeSelector={f"l{n}": "" for n in range(65)})], "more than 64 labels"),
        ([sno_policy("p\n", nicSelector={})], "metadata.name: 'p\\n' is not an object's name"),
        ([sno_policy("p", nicSelector={}, nodeSelector="a=b")], "spec.nodeSelector: want an object"),
        ([{**sno_policy("p"), "spec": None}], "spec: is missing"),
        ([{**sno_policy("p"), "metadata": None}], "metadata: is missing"),
        ([{**sno_policy("p"), "metadata": {"name": 5}}], "metadata.name: 5 is not an object's name"),
        ([sno_policy(f"p{n}", nicSelector={"pfNames": ["a"]}) for n in range(1025)], "more than 1024 objects"),
    ],
)
def test_what_is_no_object_of_the_operator_is_refused(documents: list[dict[str, Any]], why: str) -> None:
    with pytest.raises(UnfitError) as refused:
        translate_sno(documents)
    assert why in str(refused.value)
    assert len(str(refused.value)) < 400
    assert str(refused.value).isprintable()


def test_a_second_configuration_is_refused_with_its_document() -> None:
    with pytest.raises(UnfitError, match="a second configuration") as refused:
        translate_sriovdp([{"kind": "Pod"}, config_map(config_json=selecting()), selecting(pfNames=["a"])])
    assert refused.value.place == (2,)


def test_a_fault_in_an_inner_text_has_its_line_there() -> None:
    text = json.dumps(sriovdp_config(resource(), resource(resourceName="q", deviceType=3)), indent=1)
    with pytest.raises(UnfitError) as refused:
        translate_sriovdp([{"kind": "ConfigMap", "data": {"config.json": text}}])
    assert refused.value.place == (0, "data", "config.json")
    assert refused.value.inner_line is not None
    assert '"deviceType": 3' in text.split("\n")[refused.value.inner_line - 1]


def test_many_that_all_overlap_are_said_in_few_words() -> None:
    pfs = [resource(resourceName=f"r{n}") for n in range(100)]
    many = [translate_sriovdp([sriovdp_config(*pfs)])]
    many += [translate_sno([sno_policy(f"p{n}", nicSelector={"vendor": "8086"}, priority=n % 99) for n in range(200)])]
    for found in many:
        assert max(len((*one.notes, *one.open)) for one in found.results) < 20


def test_more_matchers_than_can_be_compared_are_refused() -> None:
    names = {"pfNames": [f"e{n}" for n in range(200)]}
    with pytest.raises(UnfitError, match="more than 1024"):
        translate_sno([sno_policy(f"p{n}", nicSelector=names) for n in range(6)])
    with pytest.raises(UnfitError, match="more than 1024"):
        translate_sriovdp([sriovdp_config(*(resource(resourceName=f"r{n}", selectors=names) for n in range(6)))])


def test_nodes_with_a_configuration_each_are_not_compared_with_each_other() -> None:
    configs = {f"node{n}": sriovdp_config(resource(selectors={"pfNames": [f"e{n}", f"f{n}"]})) for n in range(600)}
    found = translate_sriovdp([config_map(**configs)])
    assert len(found.results) == 600
    assert all(one.usable and not one.document["spec"].get("priority") for one in found.results if one.document)


def test_a_file_has_a_bound_of_its_own() -> None:
    names = {"pfNames": [f"e{n}" for n in range(200)]}
    configs = {f"n{n}": sriovdp_config(*(resource(resourceName=f"r{n}", selectors=names),)) for n in range(90)}
    with pytest.raises(UnfitError, match="more than 16384 devices; split the file"):
        translate_sriovdp([config_map(**configs)])


def test_more_matchers_than_one_policy_has_become_two_policies() -> None:
    found = translate_sno([sno_policy("p", nicSelector={"pfNames": [f"e{n}" for n in range(100)]})])
    assert [len(one.document["spec"]["devices"]) for one in found.results if one.document] == [64, 36]
    expect_taken(found)


# --- any content -----------------------------------------------------------------------------------------------------

JUNK: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=4,
)
PF = st.sampled_from(["ens1", "ens1#0-3", "ens2#4", "0000:01:00.0", "0000:01:00.0#1", "a b", ""])
HEX = st.sampled_from(["8086", "15b3", "154c", "1018", "1017", "0d90", "zz"])


def fields(names: str, values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(names.split()), values | JUNK, max_size=8)


LISTS = st.lists(PF | HEX | st.sampled_from(["vfio-pci", "iavf", "ether"]), max_size=3)
SELECTORS = fields(
    "vendors devices drivers pfNames rootDevices pciAddresses linkTypes isRdma needVhostNet vdpaType pKeys x", LISTS
)
RESOURCE = fields(
    "resourceName resourcePrefix deviceType excludeTopology selectors additionalInfo",
    SELECTORS | st.lists(SELECTORS, max_size=2) | st.sampled_from(["r", "q", "netDevice", "accelerator", "a.b", True]),
)
NIC = fields("vendor deviceID pfNames rootDevices netFilter", LISTS | HEX)
WORDS = st.sampled_from(["r", "netdevice", "vfio-pci", "eth", "IB", "legacy", "switchdev", "vhost", True, 3, 8, 99, {}])
SPEC = fields(
    "resourceName nodeSelector priority numVfs nicSelector deviceType isRdma mtu linkType eSwitchMode vdpaType"
    " externallyManaged vlan spoofChk ipam metaPlugins networkNamespace capabilities trunk bridge",
    NIC | WORDS | st.sampled_from(["{}", '{"type": "a"}', "on"]),
)
KINDS = st.sampled_from(
    ["SriovNetworkNodePolicy", "SriovNetwork", "SriovIBNetwork", "OVSNetwork", "SriovNetworkNodeState"]
)
USUAL = {"resourceName": "r", "numVfs": 8, "nicSelector": {"pfNames": ["ens1"]}}
OBJECT = st.builds(
    lambda kind, name, spec: sno_object(kind, name, {**USUAL, **spec}), KINDS, st.sampled_from("ab"), SPEC
)


@given(st.lists(RESOURCE.map(lambda it: {"resourceName": "r", **it}) | JUNK, max_size=4))
@settings(max_examples=400, deadline=None)
def test_any_configuration_is_translated_whole_or_refused(resources: list[Any]) -> None:
    _whole_or_refused(lambda: translate_sriovdp([{"resourceList": resources}]))


@given(st.lists(OBJECT | JUNK, max_size=4))
@settings(max_examples=400, deadline=None)
def test_any_objects_are_translated_whole_or_refused(documents: list[Any]) -> None:
    _whole_or_refused(lambda: translate_sno(documents))


def _whole_or_refused(translate: Callable[[], Translation]) -> None:
    try:
        found = translate()
    except UnfitError:
        return
    assert found.results
    expect_taken(found)

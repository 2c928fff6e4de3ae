"""Networks of the network operator become NetworkAttachmentDefinitions with the operator's own CNI configuration."""

import json
from typing import Any

import pytest
from translated import said, sno_object

from virtfn_host.core.translate.asked import Translation
from virtfn_host.core.translate.item import UnfitError
from virtfn_host.core.translate.sno import translate_sno

TRUNK = [{"minID": 1, "maxID": 9}, {"id": 20}]


def made(kind: str, **spec: object) -> tuple[dict[str, Any], dict[str, Any], Translation]:
    """The object, its CNI configuration, and everything."""
    found = translate_sno([sno_object(kind, "net1", {"resourceName": "fast", **spec})])
    (one,) = found.results
    assert one.document is not None
    return one.document, json.loads(one.document["spec"]["config"]), found


@pytest.mark.parametrize(
    ("kind", "spec", "wanted"),
    [
        ("SriovNetwork", {}, {"type": "sriov", "ipam": {}}),
        (
            "SriovNetwork",
            {
                "vlan": 100,
                "vlanQoS": 5,
                "vlanProto": "802.1ad",
                "spoofChk": "on",
                "trust": "off",
                "linkState": "auto",
                "minTxRate": 0,
                "maxTxRate": 1000,
                "capabilities": '{"mac": true, "ips": true}',
                "ipam": '{\n  "type": "host-local",\n  "subnet": "10.56.217.0/24"\n}',
                "logLevel": "debug",
            },
            {
                "type": "sriov",
                "vlan": 100,
                "vlanQoS": 5,
                "vlanProto": "802.1ad",
                "spoofchk": "on",
                "trust": "off",
                "link_state": "auto",
                "min_tx_rate": 0,
                "max_tx_rate": 1000,
                "capabilities": {"mac": True, "ips": True},
                "ipam": {"type": "host-local", "subnet": "10.56.217.0/24"},
                "logLevel": "debug",
            },
        ),
        (
            "SriovIBNetwork",
            {"linkState": "enable", "capabilities": '{"infinibandGUID": true}', "ipam": '{"type": "whereabouts"}'},
            {
                "type": "ib-sriov",
                "link_state": "enable",
                "capabilities": {"infinibandGUID": True},
                "ipam": {"type": "whereabouts"},
            },
        ),
        (
            "OVSNetwork",
            {"bridge": "br1", "vlan": 7, "mtu": 1500, "trunk": TRUNK, "interfaceType": "dpdk"},
            {
                "type": "ovs",
                "bridge": "br1",
                "vlan": 7,
                "mtu": 1500,
                "trunk": TRUNK,
                "interface_type": "dpdk",
                "ipam": {},
            },
        ),
    ],
)  # fmt: skip
def test_the_configuration_is_that_of_the_operator(kind: str, spec: dict[str, Any], wanted: dict[str, Any]) -> None:
    document, config, found = made(kind, **spec)
    assert config == {"cniVersion": "1.0.0", "name": "net1", **wanted}
    assert document["metadata"] == {
        "name": "net1",
        "namespace": "sriov-network-operator",
        "annotations": {"k8s.v1.cni.cncf.io/resourceName": "openshift.io/fast"},
    }
    assert (document["apiVersion"], document["kind"]) == ("k8s.cni.cncf.io/v1", "NetworkAttachmentDefinition")
    assert said(found) == ""


def test_chained_plugins_make_a_list() -> None:
    _, config, _ = made("SriovNetwork", vlan=7, metaPlugins='{"type": "tuning", "mtu": 1500}, {"type": "vrf"}')
    assert config == {
        "cniVersion": "1.0.0",
        "name": "net1",
        "plugins": [{"type": "sriov", "vlan": 7, "ipam": {}}, {"type": "tuning", "mtu": 1500}, {"type": "vrf"}],
    }


def test_the_network_goes_to_its_own_namespace() -> None:
    assert made("SriovNetwork", networkNamespace="apps")[0]["metadata"]["namespace"] == "apps"


def test_the_domain_of_the_resource_is_that_of_the_flag() -> None:
    found = translate_sno([sno_object("SriovNetwork", "n", {"resourceName": "fast"})], "example.org")
    assert found.results[0].document is not None
    annotations = found.results[0].document["metadata"]["annotations"]
    assert annotations == {"k8s.v1.cni.cncf.io/resourceName": "example.org/fast"}


def test_an_unknown_field_is_told_of() -> None:
    assert "pkey '0x7fff' is not carried over" in said(made("SriovIBNetwork", pkey="0x7fff")[2])


@pytest.mark.parametrize(
    ("spec", "why", "inner"),
    [
        ({"spoofChk": "yes"}, "spec.spoofChk: 'yes' is not one of on, off", None),
        ({"trust": True}, "spec.trust: True is not one of on, off", None),
        ({"vlan": 4097}, "spec.vlan: 4097 is out of range", None),
        ({"vlanQoS": 8}, "spec.vlanQoS: 8 is out of range", None),
        ({"vlanProto": "802.3"}, "is not one of 802.1q", None),
        ({"linkState": "up"}, "is not one of auto, enable, disable", None),
        ({"maxTxRate": "1000"}, "spec.maxTxRate: '1000' is out of range", None),
        ({"ipam": "{\n\n]"}, "spec.ipam: not JSON", 3),
        ({"ipam": "[1]"}, "spec.ipam: want a JSON object in it", None),
        ({"ipam": '{"type": "a",\n "type": "b"}'}, "spec.ipam: key 'type' is there twice", 2),
        ({"ipam": "[" * 70 + "]" * 70}, "more than 64 objects and lists within each other", 1),
        ({"ipam": {"type": "host-local"}}, "spec.ipam: an object of 1 fields is not a text", None),
        ({"capabilities": "mac"}, "spec.capabilities: not JSON", 1),
        ({"metaPlugins": '{"type": "a"} {"type": "b"}'}, "spec.metaPlugins: not JSON", 1),
        ({"metaPlugins": "{}"}, "type: is missing", 1),
        ({"metaPlugins": "3"}, "want an object, got 3", 1),
        ({"resourceName": "a b"}, "spec.resourceName: 'openshift.io/a b' is not a resource name", None),
        ({"networkNamespace": "../x"}, "spec.networkNamespace: '../x' is not a namespace", None),
    ],
)
def test_what_the_operator_could_not_use_is_refused(spec: dict[str, Any], why: str, inner: int | None) -> None:
    with pytest.raises(UnfitError) as refused:
        made("SriovNetwork", **spec)
    assert why in str(refused.value)
    assert refused.value.inner_line == inner

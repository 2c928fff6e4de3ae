"""`grant` of a policy: read, told to a node, and published with the pool."""

import json
from dataclasses import replace
from typing import Any

import pytest
from inventories import a_pf, a_policy, an_inventory

from virtfn_host.core.turn.policy import policy_config
from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.values.codec import CodecError
from virtfn_host.core.values.desired import NodeConfig, PolicyConfig, Rejected
from virtfn_host.core.values.envelope import checksum_of, dumps, loads
from virtfn_host.core.values.extras import NOTHING, Cdi, Extras
from virtfn_host.core.values.offered import DevicePool, PoolSet
from virtfn_operator.api.node_state import read_spec, write_spec


def read(grant: object, *, whole: bool) -> PolicyConfig | Rejected:
    rdma = isinstance(grant, dict) and grant.get("rdma") is True
    offer: dict[str, Any] = {"resourceName": "fast", "grant": grant, "driver": "kernel" if rdma else "vfio-pci"}
    what = {"wholeFunctions": offer} if whole else {"virtualFunctions": {"count": 4, "pools": [offer]}}
    return policy_config(name="p", uid="u", generation=3, spec={"devices": [{"vendor": "8086"}], **what})


def extras(policy: PolicyConfig | Rejected) -> Extras:
    assert isinstance(policy, PolicyConfig), policy
    return policy.whole.extras if policy.whole is not None else policy.pools[0].extras


ALL = Extras(rdma=True, vhost_net=True, tun=True, iommufd=True, cdi=Cdi(gid=107, mode="0660"))
CASES: list[tuple[object, Extras]] = [
    ({}, NOTHING),
    ({"rdma": False, "vhostNet": False, "tun": False, "iommufd": False}, NOTHING),
    ({"rdma": True}, Extras(rdma=True)),
    ({"vhostNet": True}, Extras(vhost_net=True)),
    ({"tun": True, "iommufd": True}, Extras(tun=True, iommufd=True)),
    ({"cdi": {}}, Extras(cdi=Cdi(gid=0, mode="0600"))),
    ({"cdi": {"gid": 107}}, Extras(cdi=Cdi(gid=107, mode="0660"))),
    ({"cdi": {"mode": "0666"}}, Extras(cdi=Cdi(mode="0666"))),
    ({"rdma": True, "vhostNet": True, "tun": True, "iommufd": True, "cdi": {"gid": 107, "mode": "0660"}}, ALL),
]


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(("grant", "wanted"), CASES)
def test_a_policy_says_what_containers_get(grant: object, wanted: Extras, whole: bool) -> None:
    assert extras(read(grant, whole=whole)) == wanted


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(("grant", "wanted"), CASES)
def test_a_node_is_told_the_same(grant: object, wanted: Extras, whole: bool) -> None:
    policy = read(grant, whole=whole)
    assert isinstance(policy, PolicyConfig)
    found = read_spec(write_spec(NodeConfig(policies=(policy,)), may_change=False))
    assert found is not None
    assert [extras(one) for one in found.config.policies] == [wanted]


@pytest.mark.parametrize(
    ("grant", "said"),
    [
        ([], ": want an object, got a list of 0"),
        ({"vhostNet": "yes"}, ".vhostNet: 'yes' is not true or false"),
        ({"tun": None}, ".tun: is null; "),
        ({"iommufd": 1}, ".iommufd: 1 is not true or false"),
        ({"rdma": "yes"}, ".rdma: 'yes' is not true or false"),
        ({"uverbs": True}, ".uverbs: unknown field; known are rdma, vhostNet, tun, iommufd, cdi"),
        ({"cdi": True}, ".cdi: want an object, got True"),
        ({"cdi": {"gid": -1}}, ".cdi.gid: -1 is out of range"),
        ({"cdi": {"gid": 2**31}}, ".cdi.gid: 2147483648 is out of range"),
        ({"cdi": {"gid": "107"}}, ".cdi.gid: '107' is out of range"),
        ({"cdi": {"mode": 432}}, '.cdi.mode: 432 is not a text; put it in quotes, like "0660"'),
        ({"cdi": {"mode": "660"}}, ".cdi.mode: '660' is not a mode like 0660"),
        ({"cdi": {"mode": "0060"}}, ".cdi.mode: '0060' is not a mode like 0660"),
        ({"cdi": {"mode": "0777"}}, ".cdi.mode: '0777' is not a mode like 0660"),
        ({"cdi": {"uid": 0}}, ".cdi.uid: unknown field; known are gid, mode"),
    ],
)
@pytest.mark.parametrize("whole", [False, True])
def test_anything_else_is_refused_with_the_field(grant: object, said: str, whole: bool) -> None:
    found = read(grant, whole=whole)
    assert isinstance(found, Rejected)
    path = "spec.wholeFunctions" if whole else "spec.virtualFunctions.pools[0]"
    assert found.message.startswith(f"{path}.grant{said}")


@pytest.mark.parametrize("driver", ["vfio-pci", "mlx5_vfio_pci", "uio_pci_generic", None])
@pytest.mark.parametrize("whole", [False, True])
def test_rdma_on_another_driver_than_the_kernels_choice_is_refused(driver: str | None, whole: bool) -> None:
    offer: dict[str, Any] = {"resourceName": "fast", "grant": {"rdma": True}, **({"driver": driver} if driver else {})}
    what = {"wholeFunctions": offer} if whole else {"virtualFunctions": {"count": 4, "pools": [offer]}}
    found = policy_config(name="p", uid="u", generation=3, spec={"devices": [{"vendor": "15b3"}], **what})
    assert isinstance(found, Rejected)
    text = f"grant.rdma: a function on {driver or 'vfio-pci'} has no RDMA device; it needs driver: kernel"
    assert found.message.endswith(text)


def asks(name: str, asked: Extras) -> PolicyConfig:
    policy = a_policy(name=name)
    return replace(policy, pools=(replace(policy.pools[0], resource_name="virtfn.dev/one", extras=asked),))


@pytest.mark.parametrize(
    ("first", "second"), [(ALL, NOTHING), (NOTHING, ALL), (Extras(tun=True), Extras(vhost_net=True))]
)
def test_of_several_policies_the_one_with_the_highest_precedence_decides(first: Extras, second: Extras) -> None:
    policies = (asks("first", first), asks("second", second))
    found = resolve(NodeConfig(policies=policies), an_inventory(a_pf(0)), ()).desired.extras
    assert found.get("virtfn.dev/one", NOTHING) == first


@pytest.mark.parametrize("asked", [NOTHING, ALL, Extras(cdi=Cdi()), Extras(vhost_net=True)])
def test_a_pool_file_says_the_same_after_it_is_read(asked: Extras) -> None:
    written = PoolSet(boot_id="b", pools=(DevicePool(resource_name="virtfn.dev/one", devices=(), extras=asked),))
    assert loads(PoolSet, dumps(written)) == written
    assert ("extras" in dumps(written)) is (asked != NOTHING)


@pytest.mark.parametrize(
    "extras",
    [
        {"cdi": {"gid": -1}},
        {"cdi": {"gid": 2**31}},
        {"cdi": {"mode": "0777"}},
        {"cdi": {"mode": 432}},
        {"vhostNet": 1},
        {"tun": "yes"},
        {"rdma": 1},
        [],
    ],
)
def test_a_pool_file_that_says_something_else_is_not_read(extras: object) -> None:
    document = json.loads(dumps(PoolSet(boot_id="b", pools=(DevicePool(resource_name="virtfn.dev/one", devices=()),))))
    document["value"]["pools"][0]["extras"] = extras
    document["checksum"] = checksum_of(document)
    with pytest.raises(CodecError):
        loads(PoolSet, json.dumps(document))

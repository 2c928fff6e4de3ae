"""`isRdma` of both tools: containers get the RDMA device nodes that they got."""

from typing import Any

import pytest
from translated import expect_taken, policies, said, sno_policy, sriovdp_config

from virtfn_host.core.translate.asked import Translation
from virtfn_host.core.translate.item import UnfitError
from virtfn_host.core.translate.sno import translate_sno
from virtfn_host.core.translate.sriovdp import translate_sriovdp

SOME = "isRdma of some selectors: containers get RDMA device nodes with every VF"
NONE = "isRdma is not carried over: a function on vfio-pci has no RDMA device"


def granted(found: Translation) -> list[object]:
    specs = [one.document["spec"] for one in policies(found) if one.document is not None]
    return [pool.get("grant") for spec in specs for pool in spec["virtualFunctions"]["pools"]]


def selectors(*asked: object, driver: str = "mlx5_core") -> Translation:
    listed = [{"drivers": [driver], "pfNames": [f"ens{n}"], "isRdma": rdma} for n, rdma in enumerate(asked)]
    return translate_sriovdp([sriovdp_config({"resourceName": "r", "selectors": listed})])


@pytest.mark.parametrize(
    ("asked", "given", "note"),
    [
        ([True], {"rdma": True}, ""),
        ([False], None, ""),
        ([None], None, ""),
        ([True, True], {"rdma": True}, ""),
        ([True, False], {"rdma": True}, SOME),
    ],
)  # fmt: skip
def test_of_the_device_plugin(asked: list[object], given: object, note: str) -> None:
    found = selectors(*asked)
    assert granted(found) == [given]
    assert said(found).startswith(note)
    expect_taken(found)


@pytest.mark.parametrize("driver", ["vfio-pci", "igb_uio", "uio_pci_generic"])
def test_of_the_device_plugin_on_a_driver_without_rdma_it_is_told(driver: str) -> None:
    found = selectors(True, driver=driver)
    assert granted(found) == [None]
    assert NONE in said(found)
    expect_taken(found)


@pytest.mark.parametrize(
    ("fields", "given"),
    [
        ({"isRdma": True}, {"rdma": True}),
        ({"isRdma": False}, None),
        ({"isRdma": True, "needVhostNet": True}, {"rdma": True, "vhostNet": True, "tun": True}),
        ({"isRdma": True, "linkType": "ib", "deviceType": "netdevice"}, {"rdma": True}),
    ],
)
def test_of_the_operator(fields: dict[str, Any], given: object) -> None:
    found = translate_sno([sno_policy("p", nicSelector={"pfNames": ["a"]}, **fields)])
    assert granted(found) == [given]
    expect_taken(found)


@pytest.mark.parametrize(
    ("fields", "link"),
    [
        ({"isRdma": True}, {"mac": "Stable", "guid": "Stable"}),
        ({"isRdma": True, "linkType": "eth"}, {"mac": "Stable", "guid": "Stable"}),
        ({"isRdma": True, "linkType": "IB"}, {"guid": "Stable"}),
        ({"isRdma": False}, None),
    ],
)
def test_of_the_operator_vfs_keep_what_rdma_cm_knows_them_by(fields: dict[str, Any], link: object) -> None:
    found = translate_sno([sno_policy("p", nicSelector={"pfNames": ["a"]}, **fields)])
    (one,) = policies(found)
    assert one.document is not None
    assert one.document["spec"]["virtualFunctions"]["pools"][0].get("link") == link
    expect_taken(found)


@pytest.mark.parametrize("more", [{}, {"needVhostNet": True}, {"numVfs": 2}])
def test_of_the_operator_on_vfio_it_is_refused_as_its_webhook_does(more: dict[str, Any]) -> None:
    policy = sno_policy("p", nicSelector={"pfNames": ["a"]}, isRdma=True, deviceType="vfio-pci", **more)
    with pytest.raises(UnfitError, match=r"isRdma.*needs deviceType netdevice"):
        translate_sno([policy])

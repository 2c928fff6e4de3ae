"""Where the notes of grants were lost, a container starts only if the kubelet's checkpoint says what it was given."""

import base64
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from plugin_node import FAST, Node, plugin_node
from rdma import FakeRdma

from virtfn_deviceplugin import manager as manager_module
from virtfn_deviceplugin.checkpoint import remembered
from virtfn_deviceplugin.grant.granted import AllocateRefusedError
from virtfn_deviceplugin.grant.prestart import expect_still_granted
from virtfn_deviceplugin.grant.shown import Shown
from virtfn_deviceplugin.v1beta1 import api_pb2 as wire
from virtfn_host.core.values.extras import Cdi, Extras

A, B = "0000:01:10.0", "0000:01:10.2"
VFIO, GROUP, IOMMU, CDEV = "/dev/vfio/vfio", "/dev/vfio/12", "/dev/iommu", "/dev/vfio/devices/vfio3"
BESIDE = ("/dev/vhost-net", "/dev/net/tun")
CM, UVERBS, UMAD = (f"/dev/infiniband/{name}" for name in ("rdma_cm", "uverbs3", "umad3"))


def answer(*paths: str, cdi: Iterable[str] = ()) -> wire.ContainerAllocateResponse:
    devices = [wire.DeviceSpec(host_path=path, container_path=path, permissions="mrw") for path in paths]
    return wire.ContainerAllocateResponse(devices=devices, cdi_devices=[wire.CDIDevice(name=name) for name in cdi])


def checkpoint(*given: tuple[str, wire.ContainerAllocateResponse]) -> str:
    """The file of a kubelet that gave each of these devices to a container, by this answer."""
    entries = [
        {
            "PodUID": "1",
            "ContainerName": "c",
            "ResourceName": FAST,
            "DeviceIDs": {"-1": [name]},
            "AllocResp": base64.b64encode(one.SerializeToString()).decode(),
        }
        for name, one in given
    ]
    return json.dumps({"Data": {"PodDeviceEntries": entries, "RegisteredDevices": {}}, "Checksum": 1})


NODES, BY_CDI = answer(VFIO, GROUP), answer(cdi=[f"virtfn.dev/pci={A}"])


@pytest.mark.parametrize(
    ("given", "known"),
    [
        ([(A, BY_CDI)], None),
        ([(A, answer(cdi=["virtfn.dev/pci=x", "example.com/other=y"]))], None),
        ([(A, answer(VFIO, GROUP, cdi=["virtfn.dev/pci=x"]))], None),
        ([(A, NODES), (A, BY_CDI)], None),
        ([(A, BY_CDI), (A, NODES)], None),
        ([(A, BY_CDI), (A, BY_CDI)], None),
        ([(B, BY_CDI), (A, NODES)], {VFIO, GROUP}),
        ([(B, BY_CDI), (A, answer())], set()),
    ],
)
def test_an_answer_by_cdi_does_not_say_which_nodes_were_given(
    given: list[tuple[str, wire.ContainerAllocateResponse]], known: set[str] | None, tmp_path: Path
) -> None:
    (tmp_path / "checkpoint").write_text(checkpoint(*given))
    assert remembered(tmp_path / "checkpoint", [A]) == known


KERNEL = Shown(driver="mlx5_core", vfio_bound=False, group_node=None, cdev=None)
IN_GROUP = Shown(driver="vfio-pci", vfio_bound=True, group_node=GROUP, cdev=None)
IN_BOTH = replace(IN_GROUP, cdev="vfio3")
BY_CDEV = replace(IN_BOTH, group_node=None)


def ask(given: Iterable[str], now: Shown) -> None:
    expect_still_granted(FAST, [A], lambda _: None, lambda _: now, str, lambda _: frozenset(given))


@pytest.mark.parametrize("beside", [(), BESIDE[:1], BESIDE])
@pytest.mark.parametrize("looked_for", [True, False], ids=["cdev looked for", "not looked for"])
@pytest.mark.parametrize(
    ("given", "now"),
    [
        ((VFIO, GROUP), IN_GROUP),
        ((VFIO, GROUP), IN_BOTH),
        ((VFIO, GROUP, IOMMU, CDEV), IN_BOTH),
        ((IOMMU, CDEV), BY_CDEV),
        ((), KERNEL),
    ],
)
def test_a_container_of_each_kind_starts_with_its_own_nodes(
    given: tuple[str, ...], now: Shown, beside: tuple[str, ...], looked_for: bool
) -> None:
    ask((*given, *beside), replace(now, both=looked_for))


@pytest.mark.parametrize(
    ("given", "now", "said"),
    [
        ((VFIO, GROUP), replace(IN_BOTH, group_node="/dev/vfio/14"), f"given {GROUP}, but needs /dev/vfio/14 now"),
        ((VFIO, GROUP, IOMMU, CDEV), replace(IN_BOTH, cdev="vfio4"), "needs /dev/vfio/12 and /dev/vfio/devices/vfio4"),
        ((VFIO, GROUP, IOMMU, CDEV), replace(IN_BOTH, group_node="/dev/vfio/14"), f"needs /dev/vfio/14 and {CDEV} now"),
        ((VFIO, GROUP, IOMMU, CDEV), IN_GROUP, f"given {GROUP} and {CDEV}, but {A} has no cdev in"),
        ((VFIO, GROUP, IOMMU, CDEV), BY_CDEV, f"but needs {CDEV} now"),
        ((IOMMU, CDEV), IN_BOTH, f"given {CDEV}, but needs {GROUP} now"),
        ((VFIO, GROUP), KERNEL, f"given {GROUP}, but needs no device node now"),
        ((), IN_GROUP, f"given no device node, but needs {GROUP} now"),
        ((VFIO, GROUP), replace(IN_GROUP, container_node=False), f"given {GROUP}, but {A} has no {VFIO} beside it now"),
        (
            (UVERBS, CM),
            KERNEL,
            f"given {CM} and {UVERBS}, and virtfn has no note of the RDMA device, so it cannot be",
        ),
        ((UMAD, UVERBS, CM), KERNEL, f"given {CM} and {UMAD} and {UVERBS}, and virtfn has no note of"),
        ((UVERBS,), IN_GROUP, "so it cannot be checked"),
        ((CM,), KERNEL, f"was given {CM}, and virtfn has no note of"),
    ],
)
def test_anything_else_is_refused_with_the_right_reason(given: tuple[str, ...], now: Shown, said: str) -> None:
    with pytest.raises(AllocateRefusedError) as refused:
        ask(given, now)
    assert said in str(refused.value)
    assert str(refused.value).endswith("delete the pod: its owner makes another one, which is given a function anew")


# --- on a node whose grants.json is lost -----------------------------------------------------------------------------


@pytest.fixture
async def with_cdevs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Node]:
    """A node whose kernel has groups and cdevs."""
    monkeypatch.setattr(manager_module, "LOOK_EVERY", 0.02)
    async with plugin_node(tmp_path, cdevs=True) as made:
        yield made


def on_their_own_driver(node: Node) -> tuple[str, ...]:
    """Return the names of their RDMA devices."""
    rdma, names = FakeRdma(node.kernel), []
    for number, vf in enumerate(node.vfs()):
        node.kernel.write(node.kernel.drivers / "vfio-pci/unbind", str(vf))
        node.kernel.write(node.kernel.devices / str(vf) / "driver_override", "igbvf")
        node.kernel.write(node.kernel.drivers / "igbvf/bind", str(vf))
        names.append(f"mlx5_{number}")
        rdma.of_card(vf, names[-1])
    return tuple(names)


async def given_and_lost(node: Node, extras: Extras, driver: str) -> None:
    """Give a container the first function; then the notes of that are lost, and only the kubelet has the answer."""
    names = on_their_own_driver(node) if driver != "vfio-pci" else ("",) * 3
    devices = [
        replace(device, driver=driver, rdma=(name,) if extras.rdma else ())
        for device, name in zip(node.pool().devices, names, strict=True)
    ]
    node.publish(replace(node.pool(), devices=tuple(devices), extras=extras))
    await node.all_healthy()
    vf = str(node.vfs()[0])
    text = checkpoint((vf, await node.kubelet.allocate(FAST, vf)))
    (node.kubelet.folder / "kubelet_internal_checkpoint").write_text(text)
    await node.end_plugin()
    node.grants.unlink()


KINDS = [
    (Extras(), "vfio-pci", ""),
    (Extras(iommufd=True), "vfio-pci", ""),
    (Extras(iommufd=True, tun=True, vhost_net=True), "vfio-pci", ""),
    (Extras(cdi=Cdi()), "vfio-pci", "virtfn has no note of the device nodes"),
    (Extras(cdi=Cdi(), iommufd=True), "vfio-pci", "virtfn has no note of the device nodes"),
    (Extras(tun=True), "igbvf", ""),
    (Extras(rdma=True), "igbvf", "so it cannot be checked"),
    (Extras(rdma=True, cdi=Cdi()), "igbvf", "virtfn has no note of the device nodes"),
    (Extras(tun=True, cdi=Cdi()), "igbvf", "virtfn has no note of the device nodes"),
]


@pytest.mark.parametrize(("extras", "driver", "said"), KINDS)
async def test_each_kind_of_container_starts_or_is_told_why_not(
    with_cdevs: Node, extras: Extras, driver: str, said: str
) -> None:
    node = with_cdevs
    await given_and_lost(node, extras, driver)
    async with node.plugin():
        await node.all_healthy()
        if not said:
            await node.kubelet.pre_start(FAST, str(node.vfs()[0]))
            return
        with pytest.raises(grpc.aio.AioRpcError, match=said):
            await node.kubelet.pre_start(FAST, str(node.vfs()[0]))


@pytest.mark.parametrize("extras", [Extras(), Extras(iommufd=True)])
async def test_what_leads_elsewhere_now_is_refused(with_cdevs: Node, extras: Extras) -> None:
    node = with_cdevs
    await given_and_lost(node, extras, "vfio-pci")
    node.remove_vfs()
    node.kernel.groups.renumber()
    node.make_vfs((1, 0))
    async with node.plugin():
        await node.all_healthy()
        with pytest.raises(grpc.aio.AioRpcError, match="but needs /dev/vfio/"):
            await node.kubelet.pre_start(FAST, str(node.vfs()[0]))

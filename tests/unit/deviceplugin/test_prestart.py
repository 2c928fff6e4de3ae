"""A container starts only with its own functions behind the device nodes that the kubelet gives it again."""

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from plugin_node import FAST, Node

from virtfn_deviceplugin.checkpoint import remembered
from virtfn_deviceplugin.grant.granted import AllocateRefusedError
from virtfn_deviceplugin.grant.prestart import expect_still_granted
from virtfn_deviceplugin.grant.shown import Shown
from virtfn_deviceplugin.v1beta1 import api_pb2 as wire
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.offered import Grant
from virtfn_host.core.values.rdma import RdmaDevice

VF, OTHER = PciAddress(0, 1, 0x10, 0), PciAddress(0, 2, 0x10, 0)


def grant(*nodes: str, driver: str = "vfio-pci") -> Grant:
    return Grant(address=VF, resource_name=FAST, driver=driver, nodes=nodes, boot_id="b1")


GROUP_12 = grant("/dev/vfio/vfio", "/dev/vfio/12")
CDEV_3 = grant("/dev/iommu", "/dev/vfio/devices/vfio3")
NETWORK = grant(driver="igbvf")


def now(group: str = "", cdev: str | None = None, driver: str | None = "vfio-pci", whole: bool = True) -> Shown:
    node = None if not group else f"/host/dev/vfio/{group}"
    bound = driver == "vfio-pci"
    return Shown(driver=driver, vfio_bound=bound, group_node=node, cdev=cdev, container_node=whole, iommufd=whole)


def ask(given: Grant | None, found: Shown, name: str = str(VF)) -> None:
    expect_still_granted(FAST, [name], lambda _: given, lambda _: found, lambda node: f"belongs to {OTHER} now")


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (GROUP_12, now("12")),
        (CDEV_3, now(cdev="vfio3")),
        (grant("/dev/vfio/vfio", "/dev/vfio/noiommu-4"), now("noiommu-4")),
        (NETWORK, now(driver="igbvf")),
    ],
)
def test_what_is_as_it_was_given_may_start(given: Grant, found: Shown) -> None:
    ask(given, found)


@pytest.mark.parametrize(
    ("given", "found", "said"),
    [
        (GROUP_12, now("14"), f"for it, but it is behind /dev/vfio/14 now; /dev/vfio/12 belongs to {OTHER} now"),
        (GROUP_12, now(cdev="vfio3"), "but it is behind /dev/vfio/devices/vfio3 now"),
        (CDEV_3, now(cdev="vfio4"), "given /dev/vfio/devices/vfio3 for it, but it is behind /dev/vfio/devices/vfio4"),
        (GROUP_12, now(), "but it has no device node now"),
        (GROUP_12, now("12", whole=False), "but it has no /dev/vfio/vfio beside it now"),
        (GROUP_12, now(driver="igbvf"), "for it on vfio-pci, but it is on igbvf now"),
        (GROUP_12, now(driver=None), "for it on vfio-pci, but it is on no driver now"),
        (NETWORK, now("12"), "was given no device node for it on igbvf, but it is on vfio-pci now"),
        (None, now("12"), "virtfn has no note of the device nodes that this container was given"),
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_why_and_what_to_do(given: Grant | None, found: Shown, said: str) -> None:
    with pytest.raises(AllocateRefusedError) as refused:
        ask(given, found)
    assert said in str(refused.value)
    assert str(refused.value).endswith("delete the pod: its owner makes another one, which is given a function anew")


@pytest.mark.parametrize("name", ["", "vfio3", "x" * 100_000, "a\nb"])
def test_what_is_no_address_is_refused_in_a_line(name: str) -> None:
    with pytest.raises(AllocateRefusedError) as refused:
        ask(GROUP_12, now("12"), name)
    assert len(str(refused.value)) < 300
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("last", ["virtfn.dev/slow", "virtfn.dev/fas", "example.com/fast"])
@pytest.mark.parametrize("grants", [("last",), ("own", "last"), ("last", "own"), ("none", "last"), ("last", "none")])
def test_what_was_handed_out_as_another_resource_since_is_refused(last: str, grants: tuple[str, ...]) -> None:
    """Though its nodes are as they were given: another pod may have it."""
    given = dict(zip(map(str, (VF, OTHER)), grants, strict=False))
    of = {"own": GROUP_12, "last": replace(GROUP_12, resource_name=last), "none": None}
    with pytest.raises(AllocateRefusedError) as refused:
        expect_still_granted(FAST, list(given), lambda a: of[given[str(a)]], lambda _: now("12"), str)
    said = f"the container was given it as {FAST}, but its last grant is of {last}, so another pod may have it; delete"
    assert said in str(refused.value)


MLX = RdmaDevice(name="mlx5_3", nodes=("/dev/infiniband/umad3", "/dev/infiniband/uverbs3"))
MORE = replace(MLX, nodes=("/dev/infiniband/issm3", *MLX.nodes))


@pytest.mark.parametrize(("given", "found"), [(MLX, MLX), (MLX, MORE), (replace(MLX, nodes=()), MLX)])
def test_the_rdma_nodes_that_were_given_must_still_be_its_own_and_others_may_have_come(
    given: RdmaDevice, found: RdmaDevice
) -> None:
    ask(replace(NETWORK, rdma=(given,)), replace(now(driver="igbvf"), rdma=(found,)))


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ((replace(MLX, nodes=("/dev/infiniband/uverbs4",)),), "umad3 and /dev/infiniband/uverbs3 are not its own now"),
        ((replace(MLX, nodes=MLX.nodes[1:]),), "but /dev/infiniband/umad3 is not its own now"),
        ((), "given /dev/infiniband/umad3 and /dev/infiniband/uverbs3 for it, but /dev/infiniband/umad3 and"),
    ],
)
def test_rdma_nodes_that_lead_elsewhere_are_refused(found: tuple[RdmaDevice, ...], said: str) -> None:
    with pytest.raises(AllocateRefusedError) as refused:
        ask(replace(NETWORK, rdma=(MLX,)), replace(now(driver="igbvf"), rdma=found))
    assert said in str(refused.value)


async def refusal(node: Node, vf: PciAddress) -> str:
    try:
        await node.kubelet.pre_start(FAST, str(vf))
    except grpc.aio.AioRpcError as error:
        return error.details() or ""
    return ""


async def served(node: Node) -> Node:
    node.publish(node.pool())
    await node.all_healthy()
    return node


def made_anew(node: Node) -> None:
    """A reboot, or VFs that are made anew: those of the other PF first, so that group numbers move."""
    node.remove_vfs()
    node.kernel.groups.renumber()
    node.make_vfs((1, 0))


async def test_a_container_starts_again_with_what_it_has(node: Node) -> None:
    vf = (await served(node)).vfs()[0]
    await node.kubelet.allocate(FAST, str(vf))
    for _ in range(3):
        assert await refusal(node, vf) == ""


async def test_the_kubelet_is_asked_to_ask_before_each_start(node: Node) -> None:
    await served(node)
    assert (await node.kubelet.options(FAST)).pre_start_required


async def test_a_function_that_moved_to_another_group_is_refused_and_says_whose_the_old_one_is(node: Node) -> None:
    vf = (await served(node)).vfs()[0]
    answer = await node.kubelet.allocate(FAST, str(vf))
    given = answer.devices[-1].host_path
    made_anew(node)
    await node.all_healthy()
    said = await refusal(node, vf)
    assert f"was given {given} for it, but it is behind /dev/vfio/" in said
    assert f"{given} belongs to 0000:0" in said
    answer = await node.kubelet.allocate(FAST, str(vf))  # a new pod
    assert answer.devices[-1].host_path != given
    assert await refusal(node, vf) == ""


@pytest.mark.parametrize("moved", [False, True])
async def test_a_plugin_that_starts_after_a_reboot_knows_what_was_given_before(node: Node, moved: bool) -> None:
    vf = (await served(node)).vfs()[0]
    await node.kubelet.allocate(FAST, str(vf))
    await node.end_plugin()
    node.ledger.unlink()  # it lies in a file system that a reboot empties
    (node.kernel.root / "proc/sys/kernel/random/boot_id").write_text("0b7f\n")
    if moved:
        made_anew(node)
    node.publish(node.pool(), boot_id="0b7f")
    async with node.plugin():
        await node.all_healthy()
        assert ("but it is behind" in await refusal(node, vf)) is moved


def checkpoint(*entries: dict[str, Any]) -> str:
    return json.dumps({"Data": {"PodDeviceEntries": entries, "RegisteredDevices": {}}, "Checksum": 1})


def entry(ids: list[str], *paths: str) -> dict[str, Any]:
    devices = [wire.DeviceSpec(host_path=path, container_path=path, permissions="mrw") for path in paths]
    answer = wire.ContainerAllocateResponse(devices=devices).SerializeToString()
    names = {"PodUID": "1", "ContainerName": "c", "ResourceName": FAST}
    return {**names, "DeviceIDs": {"-1": ids}, "AllocResp": base64.b64encode(answer).decode()}


A, B = "0000:01:10.0", "0000:01:10.2"
GIVEN = entry([A], "/dev/vfio/vfio", "/dev/vfio/12")

REMEMBERED: dict[str, tuple[str, list[str], set[str] | None]] = {
    "one": (checkpoint(entry([B], "/dev/vfio/13"), GIVEN), [A], {"/dev/vfio/vfio", "/dev/vfio/12"}),
    "two functions": (checkpoint(entry([A, B], "/dev/vfio/1", "/dev/vfio/2")), [B, A], {"/dev/vfio/1", "/dev/vfio/2"}),
    "twice the same": (checkpoint(GIVEN, GIVEN), [A], {"/dev/vfio/vfio", "/dev/vfio/12"}),
    "twice, and not the same": (checkpoint(GIVEN, entry([A], "/dev/vfio/13")), [A], None),
    "only beside another": (checkpoint(entry([A, B], "/dev/vfio/12")), [A], None),
    "nobody": (checkpoint(), [A], None),
    "an answer that is none": (checkpoint({**GIVEN, "AllocResp": "////"}), [A], None),
    "an answer that is no base64": (checkpoint({**GIVEN, "AllocResp": "?"}), [A], None),
    "no ids": (checkpoint({**GIVEN, "DeviceIDs": [A]}), [A], None),
    "another form": ('{"Data":[]}', [A], None),
    "half of it": (checkpoint(GIVEN)[:80], [A], None),
    "nothing": ("", [A], None),
}


@pytest.mark.parametrize("what", REMEMBERED)
def test_the_kubelets_own_notes_are_read_where_they_are_as_known(what: str, tmp_path: Path) -> None:
    text, ids, given = REMEMBERED[what]
    (tmp_path / "checkpoint").write_text(text)
    assert remembered(tmp_path / "checkpoint", ids) == given


async def test_what_virtfn_did_not_note_is_as_the_kubelet_remembers_it(node: Node) -> None:
    """After an upgrade from a version that noted nothing."""
    vf, other, _ = (await served(node)).vfs()
    path = node.kubelet.folder / "kubelet_internal_checkpoint"
    right, wrong = (f"/dev/vfio/{node.kernel.node(one)}" for one in (vf, other))
    path.write_text(checkpoint(entry([str(vf)], "/dev/vfio/vfio", right)))
    assert await refusal(node, vf) == ""
    path.write_text(checkpoint(entry([str(vf)], "/dev/vfio/vfio", wrong)))
    assert f"{vf}: the container was given {wrong}, but needs {right} now" in await refusal(node, vf)


async def test_what_nobody_noted_is_refused(node: Node) -> None:
    vf = (await served(node)).vfs()[0]
    assert "no note" in await refusal(node, vf)


async def test_a_withdrawn_function_that_a_pod_has_may_start_again(node: Node) -> None:
    """What is withdrawn is withdrawn from new pods."""
    vf = (await served(node)).vfs()[0]
    await node.kubelet.allocate(FAST, str(vf))
    node.publish(node.pool_without(vf))
    await node.kubelet.until(lambda: str(vf) not in node.kubelet.health(FAST))
    assert await refusal(node, vf) == ""


@pytest.mark.parametrize("content", ["half a gra", "", '{"version":2}'])
async def test_unreadable_notes_are_set_aside_and_what_they_said_is_unknown(node: Node, content: str) -> None:
    vf = (await served(node)).vfs()[0]
    await node.kubelet.allocate(FAST, str(vf))
    await node.end_plugin()
    node.grants.write_text(content)
    async with node.plugin():
        await node.all_healthy()
        assert "no note" in await refusal(node, vf)
        await node.kubelet.allocate(FAST, str(vf))
        assert await refusal(node, vf) == ""
    assert node.grants.with_name("grants.json.unreadable").read_text() == content

"""A request is answered as a whole or refused as a whole: all that is named is there, and a refusal leaves nothing."""

from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from plugin_node import FAST, Node

from virtfn_deviceplugin.grant.functions import shown
from virtfn_deviceplugin.v1beta1 import api_pb2 as wire
from virtfn_host.linux import poolfile
from virtfn_host.linux.read.sysfs import Sysfs


async def ask(node: Node, *containers: list[str]) -> list[str]:
    """What each container gets."""
    asked = [wire.ContainerAllocateRequest(devices_ids=ids) for ids in containers]
    stub = node.kubelet.plugins[FAST].stub
    answer = await stub.Allocate(wire.AllocateRequest(container_requests=asked), timeout=5)
    return [container.envs["PCIDEVICE_VIRTFN_DEV_FAST"] for container in answer.container_responses]


def noted(node: Node) -> list[str]:
    ledger = poolfile.read_ledger(node.ledger)
    grants = poolfile.read_grants(node.grants)
    found = [entry.address for entry in ledger.allocations] if ledger else []
    found += [grant.address for grant in grants.grants] if grants else []
    return sorted(map(str, found))


async def served(node: Node) -> list[str]:
    node.publish(node.pool())
    await node.all_healthy()
    return [str(vf) for vf in node.vfs()]


async def test_several_containers_of_one_request_each_get_their_own(node: Node) -> None:
    first, second, third = await served(node)
    assert await ask(node, [first], [third, second]) == [first, f"{second},{third}"]
    assert noted(node) == sorted([first, second, third] * 2)


BAD: dict[str, Callable[[str, str, str], list[list[str]]]] = {
    "the second is unknown": lambda a, b, c: [[a], ["0000:09:10.0"]],
    "the last of three is unknown": lambda a, b, c: [[a], [b], [c, "x"]],
    "the second asks for nothing": lambda a, b, c: [[a], []],
    "both ask for the same": lambda a, b, c: [[a], [a]],
    "one asks for the other's beside its own": lambda a, b, c: [[a, b], [c, b]],
    "one asks for its own twice": lambda a, b, c: [[a], [b, b]],
    "the first is unknown": lambda a, b, c: [["no address"], [a]],
}


@pytest.mark.parametrize("containers", BAD.values(), ids=BAD)
async def test_one_container_that_is_refused_refuses_all_and_nothing_is_noted(
    node: Node, containers: Callable[[str, str, str], list[list[str]]]
) -> None:
    with pytest.raises(grpc.aio.AioRpcError):
        await ask(node, *containers(*(await served(node))))
    assert noted(node) == []


async def test_what_one_container_had_before_stays_noted_when_its_repeat_is_refused(node: Node) -> None:
    first, second, _ = await served(node)
    await ask(node, [first])
    with pytest.raises(grpc.aio.AioRpcError):
        await ask(node, [second], ["0000:09:10.0"])
    assert noted(node) == [first] * 2


@pytest.mark.parametrize("file", ["ledger", "grants"])
async def test_what_cannot_be_noted_is_not_given(node: Node, file: str) -> None:
    first, *_ = await served(node)
    in_the_way: Path = getattr(node, file)
    in_the_way.unlink(missing_ok=True)
    in_the_way.mkdir()
    with pytest.raises(grpc.aio.AioRpcError, match="cannot be written"):
        await ask(node, [first])
    in_the_way.rmdir()
    assert noted(node) == []
    assert await ask(node, [first]) == [first]


@pytest.mark.parametrize("asked", [[0], [0, 1], [2, 1]])
async def test_a_refused_request_leaves_the_grants_that_were_there_before_it(node: Node, asked: list[int]) -> None:
    """The ledger cannot be written. The VFs were made anew, so the refused containers would have got other nodes."""
    vfs = await served(node)
    await ask(node, vfs[:2])
    before = poolfile.read_grants(node.grants)
    await node.lose_vfs()
    node.make_vfs((1, 0))
    await node.all_healthy()
    node.ledger.unlink()
    node.ledger.mkdir()
    with pytest.raises(grpc.aio.AioRpcError, match=r"ledger\.json is not written|ledger\.json cannot be written"):
        await ask(node, [vfs[index] for index in asked])
    kept = poolfile.read_grants(node.grants)
    assert kept is not None
    assert before is not None
    assert sorted(kept.grants, key=lambda grant: grant.address) == sorted(before.grants, key=lambda g: g.address)


def gone(path: Path) -> None:
    path.unlink()


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to("nothing")


@pytest.mark.parametrize("spoil", [gone, folder, dangling])
@pytest.mark.parametrize("name", ["group", "container"])
async def test_a_node_that_is_missing_or_none_is_promised_to_nobody(
    node: Node, name: str, spoil: Callable[[Path], None]
) -> None:
    """The group's node, and /dev/vfio/vfio which every container with a group needs."""
    first, *others = await served(node)
    vf = node.vfs()[0]
    dev = node.kernel.root / "dev/vfio"
    spoil(dev / (node.kernel.node(vf) if name == "group" else "vfio"))
    with pytest.raises(grpc.aio.AioRpcError, match=r"is withdrawn|has no (device node|/dev/vfio/vfio)"):
        await ask(node, [first])
    ill = {first} if name == "group" else {first, *others}
    health = {vf: "Unhealthy" if vf in ill else "Healthy" for vf in (first, *others)}
    await node.kubelet.until(lambda: node.kubelet.health(FAST) == health)


def test_a_file_in_the_place_of_a_node_that_the_kernel_numbers_is_none(node: Node) -> None:
    """As `echo` leaves one behind where a node was: no container could be made with it."""
    vf = node.vfs()[0]
    sysfs = Sysfs(node.kernel.root / "sys", node.kernel.root / "dev", node.kernel.root / "proc")
    assert shown(sysfs, vf).group_node is not None
    (sysfs.sys / "class/vfio" / node.kernel.node(vf) / "dev").write_text("243:7\n")
    assert shown(sysfs, vf).group_node is None


@pytest.mark.parametrize(("number", "is_it"), [("1:3", True), ("1:5", False), ("243:0", False)])
def test_a_node_of_another_number_is_another_device(node: Node, number: str, is_it: bool) -> None:
    vf = node.vfs()[0]
    sysfs = Sysfs(node.kernel.root / "sys", node.kernel.root / "dev", node.kernel.root / "proc")
    path = sysfs.dev / "vfio" / node.kernel.node(vf)
    path.unlink()
    path.symlink_to("/dev/null")  # 1:3 on every Linux
    (sysfs.sys / "class/vfio" / path.name / "dev").write_text(f"{number}\n")
    assert (shown(sysfs, vf).group_node is not None) is is_it

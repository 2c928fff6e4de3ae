"""`grant.rdma`: a container gets the RDMA device nodes of exactly its functions. On a fake kernel, by gRPC."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import pytest
from kernel import FakeKernel
from plugin_node import FAST, Node, plugin_node
from rdma import FakeRdma

from virtfn_deviceplugin import manager as manager_module
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.extras import Cdi, Extras
from virtfn_host.core.values.offered import DevicePool

CM = "/dev/infiniband/rdma_cm"
ASKED = Extras(rdma=True)


@dataclass
class RdmaNode:
    """A node whose VFs are on their own driver, each with an RDMA device: two of cards, one of rxe."""

    node: Node
    rdma: FakeRdma
    nodes: list[tuple[str, ...]]
    """Of each VF."""

    @property
    def vfs(self) -> list[PciAddress]:
        return self.node.vfs()

    def pool(self, extras: Extras = ASKED, names: tuple[str, ...] = ("mlx5_2", "mlx5_3", "rxe0")) -> DevicePool:
        offered = self.node.pool()
        devices = (
            replace(device, driver="igbvf", rdma=(name,)) for device, name in zip(offered.devices, names, strict=True)
        )
        return replace(offered, devices=tuple(devices), extras=extras)

    async def serve(self, pool: DevicePool) -> None:
        self.node.publish(pool)
        await self.node.all_healthy()

    async def paths(self, *vfs: int) -> list[str]:
        answer = await self.node.kubelet.allocate(FAST, *(str(self.vfs[vf]) for vf in vfs))
        return [device.host_path for device in answer.devices]

    def of(self, vf: int) -> list[str]:
        return sorted(f"/dev/infiniband/{node}" for node in self.nodes[vf])


def on_their_own_driver(kernel: FakeKernel, vfs: list[PciAddress]) -> None:
    for vf in vfs:
        kernel.write(kernel.drivers / "vfio-pci" / "unbind", str(vf))
        kernel.write(kernel.devices / str(vf) / "driver_override", "igbvf")
        kernel.write(kernel.drivers / "igbvf" / "bind", str(vf))


@pytest.fixture
async def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RdmaNode]:
    monkeypatch.setattr(manager_module, "LOOK_EVERY", 0.02)
    async with plugin_node(tmp_path) as node:
        rdma, vfs = FakeRdma(node.kernel), node.vfs()
        on_their_own_driver(node.kernel, vfs)
        nodes = [rdma.of_card(vfs[0], "mlx5_2"), rdma.of_card(vfs[1], "mlx5_3"), rdma.of_rxe("eth1v164", "rxe0")]
        yield RdmaNode(node, rdma, nodes)


@pytest.mark.parametrize("vfs", [(0,), (1,), (2,), (0, 1), (2, 0), (0, 1, 2)])
async def test_a_container_gets_the_nodes_of_its_functions_and_no_others(here: RdmaNode, vfs: tuple[int, ...]) -> None:
    await here.serve(here.pool())
    assert sorted(await here.paths(*vfs)) == sorted([*(path for vf in vfs for path in here.of(vf)), CM])


@pytest.mark.parametrize("extras", [Extras(), Extras(tun=True), Extras(vhost_net=True, tun=True)])
@pytest.mark.parametrize("named", [True, False])
async def test_a_pool_that_does_not_give_them_gives_none(here: RdmaNode, extras: Extras, named: bool) -> None:
    pool = here.pool(extras)
    await here.serve(pool if named else replace(pool, devices=tuple(replace(d, rdma=()) for d in pool.devices)))
    assert [path for path in await here.paths(0) if "infiniband" in path] == []


async def test_they_come_by_cdi_too(here: RdmaNode) -> None:
    await here.serve(here.pool(Extras(rdma=True, cdi=Cdi(gid=107, mode="0660"))))
    assert await here.paths(0) == []
    (spec, *_) = sorted(here.node.specs.glob("virtfn-virtfn.dev_pci-*"))
    nodes = json.loads(spec.read_text())["devices"][0]["containerEdits"]["deviceNodes"]
    assert [node["path"] for node in nodes] == [*here.of(0), CM]


@pytest.mark.parametrize(("vf", "name"), [(0, "mlx5_2"), (1, "mlx5_3"), (2, "rxe0")])
async def test_the_device_info_file_names_the_rdma_device(here: RdmaNode, vf: int, name: str) -> None:
    await here.serve(here.pool())
    await here.paths(vf)
    (file,) = here.node.device_infos.iterdir()
    assert json.loads(file.read_text())["pci"] == {"pci-address": str(here.vfs[vf]), "rdma-device": name}


@pytest.mark.parametrize("names", [("mlx5_3", "mlx5_2", "rxe0"), ("rxe9", "mlx5_3", "rxe0"), ("", "mlx5_3", "rxe0")])
async def test_a_device_that_is_not_the_functions_any_more_is_refused(here: RdmaNode, names: tuple[str, ...]) -> None:
    pool = here.pool(names=names)
    if not names[0]:
        pool = replace(pool, devices=(replace(pool.devices[0], rdma=()), *pool.devices[1:]))
    await here.serve(pool)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await here.paths(0)
    said = refused.value.details() or ""
    assert (f"no uverbs node of RDMA device {names[0]}" if names[0] else "has no RDMA device") in said
    assert await here.paths(2) == [*here.of(2), CM]


async def refusal(here: RdmaNode, vf: int) -> str:
    try:
        await here.node.kubelet.pre_start(FAST, str(here.vfs[vf]))
    except grpc.aio.AioRpcError as error:
        return error.details() or ""
    return ""


@pytest.mark.parametrize("vf", [0, 1, 2])
async def test_a_container_starts_again_with_its_own(here: RdmaNode, vf: int) -> None:
    await here.serve(here.pool())
    await here.paths(vf)
    assert await refusal(here, vf) == ""


async def test_a_node_that_is_another_functions_after_a_reboot_is_refused(here: RdmaNode) -> None:
    await here.serve(here.pool())
    await here.paths(0)
    for vf, other in ((0, "mlx5_3"), (1, "mlx5_2")):  # numbers are given in the order in which drivers find cards
        for file in (here.node.kernel.devices / str(here.vfs[vf])).glob("infiniband_*/*/ibdev"):
            file.write_text(f"{other}\n")
    said = await refusal(here, 0)
    assert "are not its own now" in said
    assert said.endswith("delete the pod: its owner makes another one, which is given a function anew")


@pytest.mark.parametrize(("vf", "starts"), [(0, True), (1, True), (2, False)])
async def test_in_another_boot_the_name_of_a_device_without_a_card_is_no_proof(
    here: RdmaNode, vf: int, starts: bool
) -> None:
    await here.serve(here.pool())
    await here.paths(vf)
    (here.node.kernel.root / "proc/sys/kernel/random/boot_id").write_text("0b7f\n")
    assert ("not its own now" not in await refusal(here, vf)) is starts

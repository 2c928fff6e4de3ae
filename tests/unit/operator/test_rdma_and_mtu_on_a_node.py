"""`grant.rdma` and `mtu` on a whole node: agent, host process, pool file, and what the device plugin grants of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fault import Policy, policy
from faulty_node import FaultyNode, verdicts
from kernel import FakeKernel
from rdma import FakeRdma

from virtfn_deviceplugin.grant.functions import shown
from virtfn_deviceplugin.grant.granted import grant
from virtfn_deviceplugin.grant.offer import PoolOffer
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.offered import DevicePool
from virtfn_host.core.values.rdma import RDMA_CM
from virtfn_host.linux import poolfile


@pytest.fixture
def node(tmp_path: Path) -> Iterator[FaultyNode]:
    made = FaultyNode(tmp_path, FakeKernel(tmp_path / "root"))
    made.start()
    yield made
    made.end()


@pytest.fixture
def rdma(node: FaultyNode) -> FakeRdma:
    assert node.fake is not None
    made = FakeRdma(node.fake)
    made.load_ucm()
    return made


def ask(node: FaultyNode, *policies: Policy, turns: int = 3) -> None:
    node.ask(policies)
    for _ in range(turns):
        node.turn()


def of_rdma(node: FaultyNode, count: int = 3) -> Policy:
    return policy("rdma", {"address": str(node.pf)}, count=count, driver="kernel", grant={"rdma": True})


def pool(node: FaultyNode) -> DevicePool:
    found = poolfile.read(node.pools_file)
    assert found is not None
    (made,) = found.pools
    return made


def healthy(node: FaultyNode) -> set[PciAddress]:
    return {device.address for device in pool(node).devices if device.healthy}


def granted(node: FaultyNode, vf: PciAddress) -> list[str]:
    """Return the nodes that a container with this function gets by the pool file that the agent wrote."""
    offer = PoolOffer.of(pool(node))
    names = offer.devices[str(vf)].rdma
    given = grant(offer, [str(vf)], lambda address: shown(node.sysfs, address, rdma=names))
    return [one.host_path for one in given.nodes]


def test_a_vf_is_offered_as_soon_as_it_has_an_rdma_device_and_gives_just_that(node: FaultyNode, rdma: FakeRdma) -> None:
    ask(node, of_rdma(node))
    assert healthy(node) == set()
    assert "has no RDMA device, which grant.rdma asks for" in str(verdicts(node.neighbours.status))
    first = rdma.of_card(node.vf(0), "mlx5_2")
    second = rdma.of_rxe(node.lab.netdev(node.vf(1)), "rxe0")
    node.turn()
    assert healthy(node) == {node.vf(0), node.vf(1)}
    for vf, nodes in ((node.vf(0), first), (node.vf(1), second)):
        assert granted(node, vf) == [*sorted(f"/dev/infiniband/{name}" for name in nodes), RDMA_CM]


@pytest.mark.parametrize("away", ["uverbs0", "rdma_cm"])
def test_a_vf_whose_node_goes_is_withdrawn_and_comes_back_with_it(node: FaultyNode, rdma: FakeRdma, away: str) -> None:
    ask(node, of_rdma(node, count=1))
    rdma.of_card(node.vf(0), "mlx5_2")
    node.turn()
    assert healthy(node) == {node.vf(0)}
    path = rdma.root / "dev/infiniband" / away
    path.unlink()
    node.turn()
    assert healthy(node) == set()
    path.touch()
    node.turn()
    assert healthy(node) == {node.vf(0)}


def test_a_device_that_went_to_a_pod_in_exclusive_mode_is_missed_and_the_mode_is_named(
    node: FaultyNode, rdma: FakeRdma
) -> None:
    ask(node, of_rdma(node, count=1))
    rdma.of_card(node.vf(0), "mlx5_2")
    rdma.set_netns("exclusive")
    node.turn()
    assert healthy(node) == {node.vf(0)}
    rdma.move_away(node.vf(0))
    node.turn()
    assert healthy(node) == set()
    assert "`rdma system` says exclusive" in str(verdicts(node.neighbours.status))


@pytest.mark.parametrize(("layer", "fit"), [("Ethernet", True), ("InfiniBand", False)])
@pytest.mark.parametrize("asked", [True, False])
def test_a_node_guid_of_zero_is_no_trouble_on_ethernet(
    node: FaultyNode, rdma: FakeRdma, layer: str, fit: bool, asked: bool
) -> None:
    ask(node, policy("rdma", {"address": str(node.pf)}, count=1, driver="kernel", grant={"rdma": asked}))
    rdma.of_card(node.vf(0), "mlx5_2", layer=layer, guid="0000:0000:0000:0000")
    node.turn()
    assert (healthy(node) == {node.vf(0)}) is fit


# --- MTU -------------------------------------------------------------------------------------------------------------


def with_mtu(node: FaultyNode, mtu: int, driver: str) -> Policy:
    made = policy("jumbo", {"address": str(node.pf)}, count=2, driver=driver)
    virtual = {**made["spec"]["virtualFunctions"], "mtu": mtu}
    return {**made, "spec": {**made["spec"], "virtualFunctions": virtual}}


def mtu(node: FaultyNode, function: PciAddress) -> str:
    return Path(node.sysfs.device(function, "net", node.lab.netdev(function), "mtu")).read_text().strip()


@pytest.mark.parametrize("driver", ["kernel", "vfio-pci"])
def test_pf_and_vfs_get_it_and_the_pf_its_own_back(node: FaultyNode, driver: str) -> None:
    ask(node, with_mtu(node, 9000, driver))
    assert healthy(node) == {node.vf(0), node.vf(1)}
    assert mtu(node, node.pf) == "9000"
    if driver == "kernel":
        assert [mtu(node, node.vf(index)) for index in (0, 1)] == ["9000", "9000"]
    ask(node)
    assert mtu(node, node.pf) == "1500"


@pytest.mark.parametrize("driver", ["kernel", "vfio-pci"])
def test_vfs_that_do_not_get_it_are_offered_to_no_pod_and_the_limits_are_told(node: FaultyNode, driver: str) -> None:
    ask(node, with_mtu(node, 9500, driver))
    assert healthy(node) == set()
    assert {str(device.reason) for device in pool(node).devices} == {"LinkSettingRefused"}
    assert "takes 68 to 9216, ask for an MTU within that" in str(verdicts(node.neighbours.status))
    ask(node, with_mtu(node, 9216, driver))
    assert healthy(node) == {node.vf(0), node.vf(1)}

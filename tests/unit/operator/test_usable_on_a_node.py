"""What people reported of functions that were healthy and of no use, on a whole node: agent and host process."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fault import Policy, policy, whole
from faulty_node import FaultyNode, verdicts
from kernel import FakeKernel

from virtfn_deviceplugin.grant.functions import shown
from virtfn_deviceplugin.grant.granted import AllocateRefusedError, grant
from virtfn_deviceplugin.grant.offer import PoolOffer
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.holders import Pod
from virtfn_host.core.values.offered import DevicePool, PoolDevice
from virtfn_host.core.values.reasons import Reason
from virtfn_host.linux import poolfile


@contextmanager
def a_node(folder: Path, **kernel: Any) -> Iterator[FaultyNode]:
    made = FaultyNode(folder, FakeKernel(folder / "root", **kernel))
    made.start()
    try:
        yield made
    finally:
        made.end()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[FaultyNode]:
    with a_node(tmp_path) as made:
        yield made


def asked(node: FaultyNode, *policies: Policy, turns: int = 3) -> None:
    node.ask(policies)
    for _ in range(turns):
        node.turn()


def offered(node: FaultyNode) -> dict[PciAddress, PoolDevice]:
    return {device.address: device for pool in pools(node) for device in pool.devices}


def pools(node: FaultyNode) -> tuple[DevicePool, ...]:
    found = poolfile.read(node.pools_file)
    return found.pools if found else ()


def healthy(node: FaultyNode) -> set[PciAddress]:
    return {address for address, device in offered(node).items() if device.healthy}


def told(node: FaultyNode) -> str:
    return json.dumps(node.neighbours.status)


# --- VF token: intel/sriov-fec-operator#32 ----------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2, 7])
def test_vfs_of_a_pf_on_vfio_are_refused_and_the_token_is_named(node: FaultyNode, number: int) -> None:
    assert node.fake is not None
    node.fake.register("vfio-pci")
    node.raw(node.sysfs.device(node.pf, "driver/unbind"), str(node.pf))
    node.raw(node.sysfs.device(node.pf, "driver_override"), "vfio-pci")
    node.raw(node.sysfs.driver("vfio-pci", "bind"), str(node.pf))
    node.fake._set_num_vfs(node.pf, number)  # as vfio-pci with enable_sriov=1 does
    asked(node, policy("fec", {"address": str(node.pf)}, driver="vfio-pci"))
    assert healthy(node) == set()
    (message,) = {text for reason, text in verdicts(node.neighbours.status) if reason == "NotUsable"}
    assert message.startswith(f"{node.pf}: is on vfio-pci and has VFs, so that it and they open only with a VF token")


def test_vfs_that_get_such_a_pf_later_are_withdrawn(node: FaultyNode) -> None:
    """The PF's owner takes it over, and the new VFs have the old addresses."""
    assert node.fake is not None
    asked(node, policy("fast", {"address": str(node.pf)}, count=2, driver="vfio-pci"))
    before = healthy(node)
    assert len(before) == 2
    node.fake._set_num_vfs(node.pf, 0)
    node.raw(node.sysfs.device(node.pf, "driver/unbind"), str(node.pf))
    node.raw(node.sysfs.device(node.pf, "driver_override"), "vfio-pci")
    node.raw(node.sysfs.driver("vfio-pci", "bind"), str(node.pf))
    node.fake._set_num_vfs(node.pf, 2)
    for vf in before:
        node.raw(node.sysfs.device(vf, "driver_override"), "vfio-pci")
        node.raw(node.sysfs.driver("vfio-pci", "bind"), str(vf))
    node.turn()
    assert {device.reason for device in offered(node).values()} == {Reason.NOT_USABLE}
    assert all("VF token" in (device.message or "") for device in offered(node).values())


# --- netdevs: sriov-network-operator#233 ------------------------------------------------------------------------------


def test_a_vf_that_loses_its_netdev_is_withdrawn_and_comes_back_with_it(node: FaultyNode) -> None:
    asked(node, policy("plain", {"address": str(node.pf)}, count=2, driver="kernel"))
    vf, folder = node.vf(0), Path(node.sysfs.device(node.vf(0), "net"))
    assert healthy(node) == {node.vf(0), node.vf(1)}
    folder.rename(folder.with_name("gone"))
    node.turn()
    assert healthy(node) == {node.vf(1)}
    assert "has no netdev" in told(node)
    folder.with_name("gone").rename(folder)
    node.turn()
    assert vf in healthy(node)


def test_a_vf_whose_netdev_a_pod_took_stays_healthy(node: FaultyNode) -> None:
    asked(node, policy("plain", {"address": str(node.pf)}, count=2, driver="kernel"))
    folder = Path(node.sysfs.device(node.vf(0), "net"))
    shutil.rmtree(folder)
    folder.mkdir()
    node.turn()
    assert healthy(node) == {node.vf(0), node.vf(1)}


# --- links: sriov-network-operator#45 ---------------------------------------------------------------------------------


def test_a_pf_that_is_down_is_told_of_and_withdraws_only_where_a_link_is_required(node: FaultyNode) -> None:
    pf = {"address": str(node.pf)}
    asked(node, policy("fast", pf, count=2, driver="vfio-pci"))
    assert len(healthy(node)) == 2
    assert f"netdev {node.lab.netdev(node.pf)} is down" in told(node)
    asked(node, policy("fast", pf, count=2, driver="vfio-pci", allocation={"requireLink": True}), turns=1)
    assert healthy(node) == set()
    node.lab.set_up(node.pf, True)
    node.turn()
    assert len(healthy(node)) == 2
    assert "is down" not in told(node)


# --- device nodes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("groups", "cdevs"), [(True, False), (True, True), (False, True)])
def test_each_node_that_a_container_would_get_is_missed(tmp_path: Path, groups: bool, cdevs: bool) -> None:
    with a_node(tmp_path, groups=groups, cdevs=cdevs) as node:
        asked(node, policy("fast", {"address": str(node.pf)}, count=2, driver="vfio-pci"))
        assert len(healthy(node)) == 2
        for name in shown(node.sysfs, node.vf(0)).paths:
            path = Path(f"{node.sysfs.dev}{name.removeprefix('/dev')}")
            path.rename(path.with_name("away"))
            node.turn()
            assert node.vf(0) not in healthy(node), name
            path.with_name("away").rename(path)
            node.turn()
            assert len(healthy(node)) == 2, name


@pytest.mark.parametrize("iommufd", [False, True])
def test_a_kernel_without_cdevs_serves_only_pools_that_ask_for_none(tmp_path: Path, iommufd: bool) -> None:
    with a_node(tmp_path) as node:
        (node.sysfs.sys / "class/misc/iommu").mkdir(parents=True)
        (node.sysfs.dev / "iommu").touch()
        grant = {"iommufd": iommufd}
        asked(node, policy("fast", {"address": str(node.pf)}, count=2, driver="vfio-pci", grant=grant))
        assert len(healthy(node)) == (0 if iommufd else 2)
        assert ("has no cdev in /dev/vfio/devices, which grant.iommufd asks for" in told(node)) is iommufd


# --- one group, one pod: kubernetes#137534, sriov-network-device-plugin#369 -------------------------------------------


@pytest.mark.parametrize("number", [2, 3])
def test_of_functions_that_share_a_group_one_is_offered_and_describe_says_why(tmp_path: Path, number: int) -> None:
    with a_node(tmp_path, siblings=number) as node:
        asked(node, whole("nic", {"vendor": "8086", "device": "10d3"}))
        first = PciAddress(0, 0x20, 0, 0)
        assert healthy(node) == {first}
        assert len(offered(node)) == number
        assert "NotUsable" in told(node)
        assert f"shares IOMMU group {node.sysfs.group(first)} with {first}, which virtfn.dev/nic offers" in told(node)


def test_the_one_that_a_pod_has_stays_the_one_until_the_pod_ends(tmp_path: Path) -> None:
    with a_node(tmp_path, siblings=2) as node:
        first, second = PciAddress(0, 0x20, 0, 0), PciAddress(0, 0x20, 0, 1)
        asked(node, whole("left", {"address": str(second)}))
        assert node.fake is not None
        assert healthy(node) == {second}
        node.fake.open_device(second)
        node.neighbours.pods[str(second)] = (Pod(namespace="default", name="dpdk-0"),)
        asked(node, whole("left", {"address": str(second)}), whole("right", {"address": str(first)}))
        assert healthy(node) == {second}
        node.fake.close_device(second)
        node.neighbours.pods.clear()
        node.turn()
        assert healthy(node) == {second}


# --- noiommu: sriov-network-device-plugin#278, sriov-network-operator#257 ---------------------------------------------


def accepting(made: Policy) -> Policy:
    return {**made, "spec": {**made["spec"], "allowUnsafeNoIommu": True}}


def test_without_an_iommu_functions_are_bound_offered_and_given_where_both_accept_it(tmp_path: Path) -> None:
    with a_node(tmp_path, iommu=False, noiommu=True) as node:
        vfs, card = policy("fast", {"address": str(node.pf)}, count=2), whole("nic", {"address": str(node.other)})
        asked(node, vfs, card)
        assert offered(node) == {}
        assert "allowUnsafeNoIommu: true" in told(node)
        asked(node, accepting(vfs), accepting(card))
        assert healthy(node) == {node.vf(0), node.vf(1), node.other}
        assert told(node).count("UNSAFE") >= 2
        for pool in pools(node):
            for device in pool.devices:
                group = node.sysfs.group(device.address)
                given = grant(PoolOffer.of(pool), [str(device.address)], lambda address: shown(node.sysfs, address))
                paths = [(one.host_path, one.container_path) for one in given.nodes]
                assert paths[1] == (f"/dev/vfio/noiommu-{group}", f"/dev/vfio/{group}")


def test_a_policy_that_no_longer_accepts_it_offers_nothing_more(tmp_path: Path) -> None:
    with a_node(tmp_path, iommu=False, noiommu=True) as node:
        vfs = policy("fast", {"address": str(node.pf)}, count=2)
        asked(node, accepting(vfs))
        assert len(healthy(node)) == 2
        asked(node, vfs, turns=1)
        assert healthy(node) == set()


def test_an_earlier_offer_of_such_a_function_is_not_given_without_consent(tmp_path: Path) -> None:
    with a_node(tmp_path, iommu=False, noiommu=True) as node:
        asked(node, accepting(policy("fast", {"address": str(node.pf)}, count=1)))
        (pool,) = pools(node)
        (device,) = pool.devices
        older = DevicePool(
            resource_name=pool.resource_name,
            devices=(
                PoolDevice(address=device.address, driver=device.driver, numa_node=None, healthy=True, reason=None),
            ),
        )
        with pytest.raises(AllocateRefusedError, match="without an IOMMU, which protects nothing"):
            grant(PoolOffer.of(older), [str(device.address)], lambda address: shown(node.sysfs, address))

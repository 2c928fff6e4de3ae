"""All that a container asked for, or a refusal that names the function and the cause."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtfn_deviceplugin.grant.granted import AllocateRefusedError, Granted, grant
from virtfn_deviceplugin.grant.offer import PoolOffer
from virtfn_deviceplugin.grant.shown import Shown
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.offered import DevicePool, PoolDevice
from virtfn_host.core.values.reasons import Reason

VFS = [PciAddress(0, 1, 0x10, 2 * n) for n in range(4)]
POOL = DevicePool(
    resource_name="virtfn.dev/fast",
    devices=tuple(PoolDevice(address=a, driver="vfio-pci", numa_node=0, healthy=True, reason=None) for a in VFS),
)


def grouped(address: PciAddress) -> Shown:
    return Shown(driver="vfio-pci", vfio_bound=True, group_node=f"/host/dev/vfio/{10 + address.function}", cdev=None)


def asked(*indexes: int, pool: DevicePool = POOL) -> Granted:
    return grant(PoolOffer.of(pool), [str(VFS[index]) for index in indexes], grouped)


def test_the_container_gets_the_vfio_node_once_and_each_group() -> None:
    paths = [(node.host_path, node.container_path) for node in asked(2, 0).nodes]
    assert paths == [(p, p) for p in ("/dev/vfio/vfio", "/dev/vfio/10", "/dev/vfio/14")]


def test_the_environment_has_the_names_that_software_reads() -> None:
    environment = asked(2, 0).environment
    assert environment["PCIDEVICE_VIRTFN_DEV_FAST"] == f"{VFS[0]},{VFS[2]}"
    assert environment["PCI_RESOURCE_VIRTFN_DEV_FAST"] == f"{VFS[0]},{VFS[2]}"
    assert json.loads(environment["PCIDEVICE_VIRTFN_DEV_FAST_INFO"])[str(VFS[0])] == {
        "generic": {"deviceID": str(VFS[0])},
        "vfio": {"mount": "/dev/vfio/vfio", "dev-mount": "/dev/vfio/10"},
    }


def test_a_name_with_a_dash_has_a_twin_that_a_shell_can_read() -> None:
    environment = asked(0, pool=replace(POOL, resource_name="virtfn.dev/very-fast")).environment
    assert environment["PCIDEVICE_VIRTFN_DEV_VERY-FAST"] == environment["PCIDEVICE_VIRTFN_DEV_VERY_FAST"]


def test_a_function_on_a_network_driver_comes_without_nodes() -> None:
    device = replace(POOL.devices[0], driver="igbvf")
    now = Shown(driver="igbvf", vfio_bound=False, group_node="/dev/vfio/1", cdev=None)
    answer = grant(PoolOffer.of(replace(POOL, devices=(device,))), [str(VFS[0])], lambda _: now)
    assert answer.nodes == ()
    assert "vfio" not in answer.environment["PCIDEVICE_VIRTFN_DEV_FAST_INFO"]


def test_where_only_the_cdev_exists_that_is_given() -> None:
    now = Shown(driver="vfio-pci", vfio_bound=True, group_node=None, cdev="vfio3")
    paths = [node.host_path for node in grant(PoolOffer.of(POOL), [str(VFS[0])], lambda _: now).nodes]
    assert paths == ["/dev/iommu", "/dev/vfio/devices/vfio3"]


def test_a_group_without_an_iommu_has_its_plain_name_in_the_container() -> None:
    now = Shown(driver="vfio-pci", vfio_bound=True, group_node="/dev/vfio/noiommu-0", cdev=None)
    accepted = replace(POOL, devices=(replace(POOL.devices[0], no_iommu=True),))
    node = grant(PoolOffer.of(accepted), [str(VFS[0])], lambda _: now).nodes[1]
    assert (node.host_path, node.container_path) == ("/dev/vfio/noiommu-0", "/dev/vfio/0")


UNHEALTHY = replace(POOL, devices=(replace(POOL.devices[0], healthy=False, reason=Reason.RECONFIGURING),))


@pytest.mark.parametrize(
    ("pool", "ids", "now", "message"),
    [
        (POOL, [], grouped(VFS[0]), "no device at all"),
        (POOL, ["0000:02:10.0"], grouped(VFS[0]), "0000:02:10.0 is not in virtfn.dev/fast"),
        (POOL, [str(VFS[0])] * 2, grouped(VFS[0]), "a device twice"),
        (UNHEALTHY, [str(VFS[0])], grouped(VFS[0]), "0000:01:10.0 of virtfn.dev/fast is withdrawn: Reconfiguring"),
        (POOL, [str(VFS[0])], replace(grouped(VFS[0]), driver=None), "but it is on no driver"),
        (POOL, [str(VFS[0])], replace(grouped(VFS[0]), driver="igbvf"), "but it is on igbvf"),
        (POOL, [str(VFS[0])], replace(grouped(VFS[0]), group_node=None), "and has no device node"),
    ],
)
def test_anything_else_is_refused(pool: DevicePool, ids: list[str], now: Shown, message: str) -> None:
    with pytest.raises(AllocateRefusedError, match=message):
        grant(PoolOffer.of(pool), ids, lambda _: now)


@given(st.sets(st.integers(0, 3), min_size=1), st.randoms(use_true_random=False))
def test_the_order_of_asking_changes_nothing(indexes: set[int], random: object) -> None:
    shuffled = sorted(indexes, key=lambda _: random.random())  # type: ignore[attr-defined]
    assert asked(*shuffled) == asked(*sorted(indexes))


@pytest.mark.parametrize(
    "ids",
    [["x" * 1_000_000], ["a\nb\x1b[2J"], ["a\n"] * 1_000, [str(VFS[0]), str(VFS[0])] * 10_000, [str(VFS[0])] * 2],
    ids=["long", "lines", "many lines", "many", "two"],
)
def test_a_refusal_quotes_what_was_asked_for_in_short_and_in_one_line(ids: list[str]) -> None:
    with pytest.raises(AllocateRefusedError) as refused:
        grant(PoolOffer.of(POOL), ids, grouped)
    assert len(str(refused.value)) < 300
    assert str(refused.value).isprintable()

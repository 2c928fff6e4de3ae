"""Pool file and ledger: agent and device plugin check their size and content before they use them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from documents import of_version_1

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.envelope import dumps
from virtfn_host.core.values.offered import (
    MOST_DEVICES,
    MOST_POOLS,
    Allocation,
    DevicePool,
    Ledger,
    PoolDevice,
    PoolSet,
    Registration,
    Registrations,
)
from virtfn_host.core.values.reasons import Reason
from virtfn_host.linux import poolfile
from virtfn_host.linux.poolfile import PoolFileError

BOOT = "0b7e1234-aaaa"


def device(number: int = 0) -> PoolDevice:
    address = PciAddress(number >> 16, number >> 8 & 0xFF, number >> 3 & 0x1F, number & 7)
    return PoolDevice(address=address, driver="vfio-pci", numa_node=0, healthy=False, reason=Reason.RECONFIGURING)


POOL = DevicePool(resource_name="virtfn.dev/fast", devices=(device(),))
POOLS = PoolSet(boot_id=BOOT, pools=(POOL,))
ENTRY = Allocation(address=device().address, resource_name="virtfn.dev/fast", at=1.79e9)
LEDGER = Ledger(boot_id=BOOT, allocations=(ENTRY,))


def pool(**fields: Any) -> PoolSet:
    return replace(POOLS, pools=(replace(POOL, **fields),))


def of_device(**fields: Any) -> PoolSet:
    return pool(devices=(replace(device(), **fields),))


@pytest.mark.parametrize(
    ("pools", "said"),
    [
        (replace(POOLS, boot_id=""), "'' is not a boot id"),
        (replace(POOLS, boot_id="b" * 1000), "'b+' is not a boot id"),
        (replace(POOLS, boot_id="a\nb"), "is not a boot id"),
        (pool(resource_name="a/" + "b" * 5000), "is not a resource name: 5002 characters"),
        (of_device(driver=""), "is not the name of a driver"),
        (of_device(driver="../x"), "is not the name of a driver"),
        (of_device(driver="a\nb"), "is not the name of a driver"),
        (of_device(driver="a\x1b[2J"), "is not the name of a driver"),
        (of_device(driver="x" * 100_000), "'x+' is not the name of a driver"),
        (of_device(rdma=("\x1b[2J",)), "is not the name of an RDMA device"),
        (of_device(rdma=("mlx5_0", "mlx5\u202e_1")), "is not the name of an RDMA device"),
        (of_device(rdma=("a\tb",)), "is not the name of an RDMA device"),
        (of_device(rdma=("\x9b2J",)), "is not the name of an RDMA device"),
        (of_device(rdma=("\ufeff",)), "is not the name of an RDMA device"),
        (of_device(numa_node=-1), "NUMA node -1"),
        (of_device(numa_node=1 << 40), "NUMA node 1099511627776"),
        (pool(devices=(device(), device(1), device())), "fast: device 0000:00:00.0 appears twice"),
        (
            replace(POOLS, pools=tuple(replace(POOL, resource_name=f"a/b{n}") for n in range(MOST_POOLS + 1))),
            "1025 pools, at most 1024",
        ),
    ],
)
@pytest.mark.parametrize("spelled", [dumps, of_version_1])
def test_pools_that_nobody_can_mean_are_neither_read_nor_written(
    pools: PoolSet, said: str, spelled: Callable[[object], str], tmp_path: Path
) -> None:
    path = tmp_path / "pools.json"
    path.write_text(spelled(pools))
    with pytest.raises(PoolFileError, match=said) as refused:
        poolfile.read(path)
    assert len(str(refused.value)) < 400
    poolfile.write(path, POOLS)
    with pytest.raises(PoolFileError, match=said):
        poolfile.write(path, pools)
    assert poolfile.read(path) == POOLS


@pytest.mark.parametrize("name", ["MTD PCI", "a:b", "Strange (old) driver", "a,b", "treiber-ä"])
def test_a_driver_and_an_rdma_device_may_be_called_what_the_kernel_lets_them_be(name: str, tmp_path: Path) -> None:
    """One such function, taken by its own driver, must not keep the others of its node from being offered."""
    offered = of_device(driver=name, rdma=(name,))
    poolfile.write(tmp_path / "pools.json", offered)
    assert poolfile.read(tmp_path / "pools.json") == offered


def test_more_devices_than_a_node_can_have_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PoolFileError, match="65537 devices, at most 65536"):
        poolfile.write(tmp_path / "pools.json", pool(devices=tuple(map(device, range(MOST_DEVICES + 1)))))


def test_what_would_be_too_long_to_be_read_is_not_written(tmp_path: Path) -> None:
    poolfile.write(tmp_path / "pools.json", POOLS)
    with pytest.raises(PoolFileError, match="longer than 4194304 bytes"):
        poolfile.write(tmp_path / "pools.json", pool(devices=tuple(map(device, range(MOST_DEVICES)))))
    assert poolfile.read(tmp_path / "pools.json") == POOLS


@pytest.mark.parametrize(
    ("ledger", "said"),
    [
        (replace(LEDGER, boot_id=""), "is not a boot id"),
        (replace(LEDGER, allocations=(replace(ENTRY, resource_name="x" * 5000),)), "is not a resource name"),
        (replace(LEDGER, allocations=(replace(ENTRY, at=-1.0),)), "is not a time"),
        (replace(LEDGER, allocations=(replace(ENTRY, at=1e300),)), "is not a time"),
        (replace(LEDGER, lost_at=-1.0), "is not a time"),
        (replace(LEDGER, lost_at=9.5), None),
        (replace(LEDGER, allocations=(ENTRY,) * (MOST_DEVICES // 4)), None),
        (replace(LEDGER, allocations=(ENTRY,) * (MOST_DEVICES + 1)), "65537 allocations|longer than"),
    ],
)
def test_a_ledger_that_nobody_noted_is_not_read(ledger: Ledger, said: str | None, tmp_path: Path) -> None:
    (tmp_path / "ledger.json").write_text(dumps(ledger))
    if said is None:
        assert poolfile.read_ledger(tmp_path / "ledger.json") == ledger
        return
    with pytest.raises(PoolFileError, match=said):
        poolfile.read_ledger(tmp_path / "ledger.json")


def registrations(**fields: Any) -> Registrations:
    one = Registration(resource_name="virtfn.dev/fast", registered=True, since=9.5, refusal="")
    return Registrations(boot_id=BOOT, registrations=(replace(one, **fields),))


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (registrations(), None),
        (registrations(refusal="x" * 300), None),
        (registrations(refusal="x" * 301), "is not one line of at most 300 characters"),
        (registrations(refusal="a\nb"), "is not one line"),
        (registrations(since=-1.0), "is not a time"),
        (registrations(healthy=3), None),
        (registrations(healthy=-1), "-1 healthy functions"),
        (registrations(healthy=65537), "65537 healthy functions"),
        (replace(registrations(), complaint="no pool file", at=12.5), None),
        (replace(registrations(), complaint="a\nb"), "the complaint is not one line"),
        (replace(registrations(), at=-1.0), "is not a time"),
        (registrations(resource_name="x" * 5000), "is not a resource name"),
        (replace(registrations(), boot_id="a b"), "is not a boot id"),
        (replace(registrations(), registrations=registrations().registrations * 1025), "1025 registrations, at most"),
    ],
)
def test_registrations_that_no_plugin_tells_are_not_read(told: Registrations, said: str | None, tmp_path: Path) -> None:
    (tmp_path / "registrations.json").write_text(dumps(told))
    if said is None:
        assert poolfile.read_registrations(tmp_path / "registrations.json") == told
        return
    with pytest.raises(PoolFileError, match=said):
        poolfile.read_registrations(tmp_path / "registrations.json")


def test_what_an_earlier_version_wrote_is_read(tmp_path: Path) -> None:
    (tmp_path / "pools.json").write_text(of_version_1(POOLS) + "\n")
    (tmp_path / "ledger.json").write_text(of_version_1(LEDGER) + "\n")
    assert poolfile.read(tmp_path / "pools.json") == POOLS
    assert poolfile.read_ledger(tmp_path / "ledger.json") == LEDGER

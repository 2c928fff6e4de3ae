"""What the plugin refuses of vfio itself: a node without an IOMMU that no policy accepts, and a group given to two."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from kernel import FakeKernel

from virtfn_deviceplugin.grant.functions import shown
from virtfn_deviceplugin.grant.granted import AllocateRefusedError, Granted, grant
from virtfn_deviceplugin.grant.granter import Granter
from virtfn_deviceplugin.grant.grantfile import GrantFile
from virtfn_deviceplugin.grant.offer import PoolOffer
from virtfn_deviceplugin.grant.shown import Shown, not_as_promised
from virtfn_deviceplugin.ledger import COUNTS_SECONDS, LedgerFile
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.offered import DevicePool, PoolDevice
from virtfn_host.core.values.reasons import Reason
from virtfn_host.linux.read.sysfs import Sysfs

VFS = [PciAddress(0, 1, 0x10, 2 * number) for number in range(3)]
UNSAFE = Shown(driver="vfio-pci", vfio_bound=True, group_node="/dev/vfio/noiommu-0", cdev=None)


def pool(*, no_iommu: bool = False, **fields: object) -> DevicePool:
    device = PoolDevice(address=VFS[0], driver="vfio-pci", numa_node=None, healthy=True, reason=None)
    others = [replace(device, address=address, no_iommu=no_iommu) for address in VFS]
    return DevicePool(resource_name="virtfn.dev/fast", devices=(replace(others[0], **fields), *others[1:]))  # type: ignore[arg-type]


@pytest.mark.parametrize("node", ["/dev/vfio/noiommu-0", "/host/dev/vfio/noiommu-12", "/dev/vfio/noiommu-4294967295"])
def test_a_node_without_an_iommu_is_given_only_where_the_policy_accepts_it(node: str) -> None:
    now = replace(UNSAFE, group_node=node)
    with pytest.raises(AllocateRefusedError, match=r"0000:01:10.0 of virtfn.dev/fast .* allowUnsafeNoIommu: true"):
        grant(PoolOffer.of(pool()), [str(VFS[0])], lambda _: now)
    assert not_as_promised(pool().devices[0], now)
    accepted = pool(no_iommu=True)
    assert not not_as_promised(accepted.devices[0], now)
    given = grant(PoolOffer.of(accepted), [str(VFS[0])], lambda _: now).nodes[1]
    assert given.container_path == given.host_path.replace("noiommu-", "")


def test_a_withdrawn_function_is_refused_with_its_message() -> None:
    gone = pool(healthy=False, reason=Reason.NOT_USABLE, message="has no device node; is /dev of the host whole?")
    with pytest.raises(AllocateRefusedError, match="is withdrawn: NotUsable: has no device node; is /dev of the host"):
        grant(PoolOffer.of(gone), [str(VFS[0])], lambda _: UNSAFE)


def test_a_network_function_without_a_netdev_is_not_as_promised(tmp_path: Path) -> None:
    kernel = FakeKernel(tmp_path / "root", pfs=1)
    kernel.write(kernel.devices / "0000:01:00.0/sriov_numvfs", "1")
    sysfs = Sysfs(kernel.root / "sys", kernel.root / "dev", kernel.root / "proc")
    device = replace(pool().devices[0], driver="igbvf")
    assert not not_as_promised(device, shown(sysfs, VFS[0]))
    shutil.rmtree(kernel.devices / str(VFS[0]) / "net")
    assert not_as_promised(device, shown(sysfs, VFS[0]))
    with pytest.raises(AllocateRefusedError, match=f"{VFS[0]} .* and has no netdev"):
        grant(PoolOffer.of(replace(pool(), devices=(device,))), [str(VFS[0])], lambda address: shown(sysfs, address))


# --- one group, one pod ----------------------------------------------------------------------------------------------


class Clock:
    """Seconds since boot, set by the test."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def granter(tmp_path: Path, clock: Clock) -> Granter:
    """Three VFs on vfio-pci; the first two share an IOMMU group."""
    kernel = FakeKernel(tmp_path / "root", pfs=1)
    kernel.register("vfio-pci")
    pf = kernel.devices / "0000:01:00.0"
    kernel.write(pf / "sriov_drivers_autoprobe", "0")
    kernel.write(pf / "sriov_numvfs", "3")
    group = (kernel.devices / str(VFS[0]) / "iommu_group").resolve()
    kernel.groups.leave(kernel.devices / str(VFS[1]))
    kernel.groups.join(kernel.devices / str(VFS[1]), group)
    for vf in VFS:
        kernel.write(kernel.devices / str(vf) / "driver_override", "vfio-pci")
        kernel.write(kernel.drivers / "vfio-pci" / "bind", str(vf))
    sysfs = Sysfs(kernel.root / "sys", kernel.root / "dev", kernel.root / "proc")
    assert not shown(sysfs, VFS[0]).lacks
    ledger = LedgerFile(tmp_path / "ledger.json", clock)
    grants = GrantFile(tmp_path / "grants.json")
    return Granter(sysfs, ledger, grants, tmp_path / "checkpoint", lambda _: PoolOffer.of(pool()))


def given(granter: Granter, *indexes: int) -> Sequence[Granted]:
    return granter.allocate(PoolOffer.of(pool()), [[str(VFS[index]) for index in indexes]])


@pytest.mark.parametrize(("first", "second"), [(0, 1), (1, 0)])
def test_two_members_of_a_group_are_never_given_to_two_pods_at_once(granter: Granter, first: int, second: int) -> None:
    """The first pod has not opened the group yet, so only the ledger knows it."""
    given(granter, first)
    text = f"{VFS[second]} of virtfn.dev/fast shares its IOMMU group with {VFS[first]}, which another pod was given"
    with pytest.raises(AllocateRefusedError, match=text):
        given(granter, second)
    given(granter, first)
    given(granter, 2)


def test_a_minute_later_the_agent_knows_the_pod(granter: Granter, clock: Clock) -> None:
    given(granter, 0)
    clock.now += COUNTS_SECONDS - 1
    with pytest.raises(AllocateRefusedError, match="shares its IOMMU group"):
        given(granter, 1)
    clock.now += 2
    given(granter, 1)


def test_a_refusal_leaves_nothing_behind(granter: Granter) -> None:
    given(granter, 0)
    with pytest.raises(AllocateRefusedError, match="shares its IOMMU group"):
        given(granter, 2, 1)
    assert granter._ledger.lately([VFS[2]]) is None

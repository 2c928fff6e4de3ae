"""An Allocate looks at sysfs as little as its promise needs: each file once a request, whatever else is offered."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from kernel import FakeKernel

from virtfn_deviceplugin.grant.granted import AllocateRefusedError
from virtfn_deviceplugin.grant.granter import Granter
from virtfn_deviceplugin.grant.grantfile import GrantFile
from virtfn_deviceplugin.grant.offer import PoolOffer
from virtfn_deviceplugin.ledger import LedgerFile
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.offered import DevicePool, PoolDevice
from virtfn_host.linux.read.sysfs import Sysfs

FAST = "virtfn.dev/fast"
VFS = tuple(PciAddress(0, 0x40, number // 8, number % 8) for number in range(4))


def device(address: PciAddress) -> PoolDevice:
    return PoolDevice(address=address, driver="vfio-pci", numa_node=None, healthy=True, reason=None)


POOL = DevicePool(resource_name=FAST, devices=tuple(map(device, VFS)))
OFFER = PoolOffer.of(POOL)


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    made = FakeKernel(tmp_path / "root", pfs=0)
    made.register("vfio-pci")
    for vf in VFS:
        made.add_pf(vf)
        made.write(made.devices / str(vf) / "driver/unbind", str(vf))
        made.write(made.devices / str(vf) / "driver_override", "vfio-pci")
        made.write(made.drivers / "vfio-pci/bind", str(vf))
    return made


@pytest.fixture
def granter(kernel: FakeKernel, tmp_path: Path) -> Granter:
    sysfs = Sysfs(kernel.root / "sys", kernel.root / "dev", kernel.root / "proc")
    ledger, grants = LedgerFile(tmp_path / "ledger.json"), GrantFile(tmp_path / "grants.json")
    made = Granter(sysfs, ledger, grants, tmp_path / "checkpoint", lambda _: OFFER)
    made.allocate(OFFER, [[str(vf)] for vf in VFS])  # the grants are written
    return made


@contextmanager
def looks(root: Path) -> Iterator[Counter[tuple[str, str]]]:
    """Count every look at a path below the root."""
    counted: Counter[tuple[str, str]] = Counter()

    def watched(name: str) -> Callable[..., object]:
        real = getattr(os, name)

        def call(path: object, *more: object, **named: object) -> object:
            if str(path).startswith(str(root)):
                counted[name, str(path)] += 1
            return real(path, *more, **named)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in ("open", "readlink", "listdir", "stat"):
            patch.setattr(os, name, watched(name))
        yield counted


@pytest.mark.parametrize("count", [1, 2, 4])
def test_each_file_is_looked_at_once_for_a_request(granter: Granter, kernel: FakeKernel, count: int) -> None:
    with looks(kernel.root / "sys") as counted:
        granter.allocate(OFFER, [[str(vf)] for vf in VFS[:count]])
    assert counted
    assert [path for path, times in counted.items() if times > 1] == []
    assert len(counted) <= 6 + 8 * count


@pytest.mark.parametrize("more", [0, 100, 5000])
def test_what_else_is_offered_is_not_looked_at(granter: Granter, kernel: FakeKernel, more: int) -> None:
    others = [device(PciAddress(1, number // 256, number // 8 % 32, number % 8)) for number in range(more)]
    pool = replace(POOL, devices=POOL.devices + tuple(others))
    with looks(kernel.root) as alone:
        granter.allocate(OFFER, [[str(VFS[0])]])
    with looks(kernel.root) as beside:
        granter.allocate(PoolOffer.of(pool), [[str(VFS[0])]])
    assert beside == alone


@pytest.mark.parametrize("number", [0, 1, 3])
def test_what_has_changed_since_the_last_request_is_seen(granter: Granter, kernel: FakeKernel, number: int) -> None:
    granter.allocate(OFFER, [[str(VFS[number])]])
    kernel.write(kernel.drivers / "vfio-pci/unbind", str(VFS[number]))
    with pytest.raises(AllocateRefusedError, match=f"{VFS[number]} of {FAST} should be on vfio-pci"):
        granter.allocate(OFFER, [[str(VFS[number])]])

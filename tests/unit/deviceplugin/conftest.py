"""A plugin between a fake kernel's tree and a fake kubelet."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from kernel import FakeKernel
from kubelet import FakeKubelet
from plugin_node import Node

from virtfn_deviceplugin import manager as manager_module
from virtfn_deviceplugin.ledger import LedgerFile
from virtfn_deviceplugin.manager import ServerManager
from virtfn_host.core.values.address import PciAddress
from virtfn_host.linux.read.sysfs import Sysfs


@pytest.fixture
async def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Node]:
    """Two PFs with three VFs each on vfio-pci, a kubelet, and a running plugin."""
    monkeypatch.setattr(manager_module, "LOOK_EVERY", 0.02)
    monkeypatch.setattr(manager_module, "CHECK_EVERY", 0.05)
    kernel = FakeKernel(tmp_path / "root")
    kernel.register("vfio-pci")
    for number in (0, 1):
        pf = PciAddress(0, number + 1, 0, 0)
        kernel.write(kernel.devices / str(pf) / "sriov_drivers_autoprobe", "0")
        kernel.write(kernel.devices / str(pf) / "sriov_numvfs", "3")
    (kernel.root / "dev/vfio/vfio").write_text("")
    # A socket's path has at most 108 bytes.
    with tempfile.TemporaryDirectory() as short:
        kubelet = FakeKubelet(Path(short))
        await kubelet.start()
        ledger = tmp_path / "ledger.json"
        sysfs = Sysfs(kernel.root / "sys", kernel.root / "dev", kernel.root / "proc")
        manager = ServerManager(
            pool_file=tmp_path / "pools.json", ledger=LedgerFile(ledger), kubelet_dir=Path(short), sysfs=sysfs
        )
        made = Node(kernel=kernel, kubelet=kubelet, pools=tmp_path / "pools.json", ledger=ledger, manager=manager)
        for vf in [*made.vfs(0), *made.vfs(1)]:
            kernel.write(kernel.devices / str(vf) / "driver_override", "vfio-pci")
            kernel.write(kernel.drivers / "vfio-pci" / "bind", str(vf))
        running = asyncio.create_task(manager.run())
        yield made
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await kubelet.stop()
        assert [path.name for path in Path(short).glob("virtfn-*")] == []

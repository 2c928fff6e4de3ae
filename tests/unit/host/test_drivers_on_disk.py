"""A driver on the disk that is not loaded is loaded where it is for the device, and told of where it is not."""

from pathlib import Path

import pytest
from inventories import a_policy
from kernel import IGB, VF_IDS, FakeKernel

from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import NodeConfig, PoolRequest
from virtfn_host.core.values.model import InUse
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import Outcome
from virtfn_host.core.values.steps import LoadModule, Plan
from virtfn_host.linux.act.apply import apply
from virtfn_host.linux.look.inventory import read_inventory
from virtfn_host.linux.look.own_drivers import vf_modalias

PF = PciAddress(0, 1, 0, 0)


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    """igb and vfio-pci are loaded; igbvf and two that are for nothing here are on the disk."""
    fake = FakeKernel(tmp_path, pfs=1)
    fake.register("vfio-pci")
    for name in ("bind", "unbind"):
        (fake.drivers / "igbvf" / name).unlink()
    (fake.drivers / "igbvf").rmdir()
    folder = tmp_path / "lib/modules/6.1.0"
    folder.mkdir(parents=True)
    lines = [f"kernel/drivers/{name}.ko:" for name in ("igbvf", "uio_pci_generic", "igb_uio", "vfio-pci")]
    (folder / "modules.dep").write_text("\n".join(lines) + "\n")
    ids = f"v0000{VF_IDS[0]}d0000{VF_IDS[1].upper()}"
    aliases = [f"alias pci:{ids}sv*sd*bc*sc*i* igbvf", "alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci"]
    (folder / "modules.alias").write_text("\n".join(aliases) + "\n")
    return fake


def planned(kernel: FakeKernel, driver: str) -> Plan:
    pool = PoolRequest(resource_name="virtfn.dev/fast", indexes=None, driver=driver)
    inventory = read_inventory(kernel.machine().sysfs)
    config = NodeConfig(policies=(a_policy(count=2, pools=(pool,)),))
    return plan(inventory, resolve(config, inventory, ()).desired, InUse(holders=()))


def test_the_vfs_own_driver_is_loaded_before_there_are_vfs(kernel: FakeKernel) -> None:
    made = planned(kernel, "igbvf")
    assert made.blocked == ()
    assert LoadModule(pf=PF, module="igbvf") in made.steps
    results = apply(made, kernel.machine()).results
    assert {result.outcome for result in results} == {Outcome.DONE}
    assert kernel._driver(kernel._vfs(PF)[0]) == "igbvf"


@pytest.mark.parametrize("name", ["uio_pci_generic", "igb_uio", "no_such_driver"])
def test_what_is_for_no_device_here_is_told_of_and_nothing_is_touched(kernel: FakeKernel, name: str) -> None:
    made = planned(kernel, name)
    assert made.steps == ()
    (blocked,) = made.blocked
    assert blocked.reason is Reason.DRIVER_MISSING
    assert f"no driver {name} is loaded" in blocked.message
    assert f"modprobe {name}" in blocked.message
    assert "igbvf, vfio-pci" in blocked.message


def test_nothing_is_loaded_that_names_neither_pf_nor_vfs(kernel: FakeKernel) -> None:
    (kernel.devices / str(PF) / "sriov_vf_device").write_text("10ed\n")
    assert planned(kernel, "igbvf").steps == ()


@pytest.mark.parametrize("device", ["10ca", "154c", "10e"])
def test_the_alias_of_vfs_is_made_of_the_ids_that_they_will_have(kernel: FakeKernel, device: str) -> None:
    (kernel.devices / str(PF) / "sriov_vf_device").write_text(f"{device}\n")
    text = f"pci:v0000{IGB[0]}d{device.upper():0>8}sv00000000sd00000000bc02sc00i00"
    assert vf_modalias(kernel.machine().sysfs, PF) == text


def test_a_function_without_sriov_has_no_vfs_to_name(tmp_path: Path) -> None:
    fake = FakeKernel(tmp_path, pfs=0, siblings=1)
    assert vf_modalias(fake.machine().sysfs, PciAddress(0, 0x20, 0, 0)) is None

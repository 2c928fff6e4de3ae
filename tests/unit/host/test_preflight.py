"""Preflight: which modules the kernel can load, by the kernel's own tables, and whether the in-use lock works here."""

import os
from pathlib import Path

import pytest
from kernel import FakeKernel

from virtfn_host.core.values.model import Preflight
from virtfn_host.linux.look.inventory import read_inventory
from virtfn_host.linux.look.preflight import read_preflight
from virtfn_host.linux.read.sysfs import Sysfs

ALIASES = """
# Aliases extracted from modules themselves.
alias pci:v00008086d000010C9sv*sd*bc*sc*i* igb
alias vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i* mlx5_vfio_pci
alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci
alias vfio_pci:v00001234d00000001sv*sd*bc*sc*i* odd_name
"""


@pytest.fixture
def sysfs(tmp_path: Path) -> Sysfs:
    return FakeKernel(tmp_path / "root", pfs=1).machine().sysfs


def write_modules(sysfs: Sysfs, dep: str, builtin: str = "", aliases: str = "") -> Path:
    folder = sysfs.sys.parent / "lib/modules/6.1.0"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("modules.dep", dep), ("modules.builtin", builtin), ("modules.alias", aliases)):
        (folder / name).write_text(text)
    return folder


def test_drivers_are_found_by_alias_and_by_name_and_parts_of_vfio_are_none(sysfs: Sysfs) -> None:
    dep = "kernel/drivers/vfio/pci/vfio-pci.ko.xz: kernel/drivers/vfio/vfio.ko.xz\nkernel/net/igb.ko.xz:\n"
    dep += "kernel/drivers/vfio/vfio_iommu_type1.ko.xz:\nkernel/drivers/vfio/pci/vfio-pci-core.ko.xz:\n"
    write_modules(sysfs, dep, "kernel/drivers/vfio/pci/qat/qat_vfio_pci.ko\n", ALIASES)
    assert read_inventory(sysfs).loadable == ("mlx5_vfio_pci", "odd_name", "qat_vfio_pci", "vfio-pci")


def test_a_kernel_without_vfio_is_not_one_whose_modules_are_not_to_be_seen(sysfs: Sysfs) -> None:
    assert read_inventory(sysfs).loadable is None
    write_modules(sysfs, "kernel/net/igb.ko:\n")
    assert read_inventory(sysfs).loadable == ()


def test_a_module_that_was_installed_meanwhile_is_seen(sysfs: Sysfs) -> None:
    folder = write_modules(sysfs, "kernel/net/igb.ko:\n")
    assert read_inventory(sysfs).loadable == ()
    write_modules(sysfs, "kernel/drivers/vfio/pci/vfio-pci.ko:\n")
    os.utime(folder / "modules.dep", (1, 1))
    assert read_inventory(sysfs).loadable == ("vfio-pci",)


def test_before_vfio_is_loaded_there_is_nothing_to_try_the_lock_on(sysfs: Sysfs) -> None:
    assert read_preflight(sysfs) == Preflight()


def test_a_dev_that_is_not_the_hosts_is_said(sysfs: Sysfs) -> None:
    (sysfs.sys / "class/misc/vfio").mkdir(parents=True)
    assert "mount /dev of the host" in (read_preflight(sysfs).lock_error or "")
    (sysfs.dev / "vfio/vfio").write_text("")
    assert read_preflight(sysfs) == Preflight()


def test_a_container_that_is_not_privileged_is_said(sysfs: Sysfs, monkeypatch: pytest.MonkeyPatch) -> None:
    (sysfs.sys / "class/misc/vfio").mkdir(parents=True)

    def refused(path: object, flags: int) -> int:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patched:
        patched.setattr("virtfn_host.linux.look.preflight.os.open", refused)
        found = read_preflight(sysfs).lock_error or ""
    assert "vfio/vfio: Operation not permitted" in found
    assert "privileged" in found

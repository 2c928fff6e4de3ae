"""What the kernel answers to each write that virtfn makes, and to those that it must never make."""

from errno import EBUSY, EINVAL, ENODEV, ENOENT, ERANGE
from pathlib import Path

import pytest
from hardware import Lab

from virtfn_host.core.values.address import PciAddress
from virtfn_host.linux.touch.overrides import overrides_of


@pytest.mark.parametrize(
    ("value", "answer"),
    [("0", 0), ("8", ERANGE), ("-1", EINVAL), ("abc", EINVAL), ("1.5", EINVAL), ("2 ", EINVAL), (" 2", EINVAL)],
)
def test_numvfs_takes_only_a_number_that_the_card_can_make(lab: Lab, value: str, answer: int) -> None:
    assert lab.errno(lab.sysfs.device(lab.pf, "sriov_numvfs"), value) == answer
    assert lab.sysfs.vf_addresses(lab.pf) == {}


def test_numvfs_does_not_change_from_n_to_m(lab: Lab) -> None:
    lab.make(lab.pf, 2)
    path = lab.sysfs.device(lab.pf, "sriov_numvfs")
    assert lab.errno(path, "3") == EBUSY
    assert lab.errno(path, "2") == 0
    assert len(lab.sysfs.vf_addresses(lab.pf)) == 2


def test_a_pf_on_vfio_makes_no_vfs(lab: Lab) -> None:
    lab.machine.modules.load("vfio-pci", 30)
    override = lab.sysfs.device(lab.pf, "driver_override")
    lab.raw(lab.sysfs.device(lab.pf, "driver/unbind"), str(lab.pf))
    try:
        lab.to_vfio(lab.pf)
        assert lab.errno(lab.sysfs.device(lab.pf, "sriov_numvfs"), "1") == ENOENT
        lab.raw(lab.sysfs.device(lab.pf, "driver/unbind"), str(lab.pf))
    finally:
        lab.raw(override, "\n")
        lab.raw(lab.sysfs.driver("igb", "bind"), str(lab.pf))


def test_vfs_come_with_links_and_groups_and_go_with_them(lab: Lab) -> None:
    vfs = lab.make(lab.pf, 7)
    assert len(set(vfs)) == 7
    assert len({lab.sysfs.group(vf) for vf in vfs}) == 7
    assert all(lab.sysfs.bound_driver(vf) is None for vf in vfs)
    lab.raw(lab.sysfs.device(lab.pf, "sriov_numvfs"), "0")
    assert not any(Path(lab.sysfs.device(vf)).exists() for vf in vfs)


def test_autoprobe_takes_a_truth_value(lab: Lab) -> None:
    path = lab.sysfs.device(lab.pf, "sriov_drivers_autoprobe")
    assert [lab.errno(path, value) for value in ("0", "y", "n", "1", "2", "x")] == [0, 0, 0, 0, EINVAL, EINVAL]


def test_with_autoprobe_vfs_come_on_their_network_driver(lab: Lab) -> None:
    lab.machine.modules.load("igbvf", 30)
    (vf,) = lab.make(lab.pf, 1, autoprobe=True)
    assert lab.sysfs.bound_driver(vf) == "igbvf"


def override(lab: Lab, vf: PciAddress) -> object:
    return overrides_of(lab.sysfs, [vf], None)[vf]


def test_an_empty_write_clears_no_override_and_a_newline_does(lab: Lab) -> None:
    (vf,) = lab.make(lab.pf, 1)
    path = lab.sysfs.device(vf, "driver_override")
    assert override(lab, vf) is None
    lab.raw(path, "anything")
    lab.raw(path, "")
    assert override(lab, vf) == "anything"
    lab.raw(path, "\n")
    assert override(lab, vf) is None
    assert lab.errno(path, "x" * 5000) == EINVAL


def test_an_override_does_not_outlive_its_vf(lab: Lab) -> None:
    (vf,) = lab.make(lab.pf, 1)
    lab.raw(lab.sysfs.device(vf, "driver_override"), "vfio-pci")
    lab.raw(lab.sysfs.device(lab.pf, "sriov_numvfs"), "0")
    (vf,) = lab.make(lab.pf, 1)
    assert override(lab, vf) is None


def test_bind_needs_a_driver_that_is_loaded_and_asked_for(lab: Lab) -> None:
    (vf,) = lab.make(lab.pf, 1)
    assert lab.errno(lab.sysfs.driver("no-such-driver", "bind"), str(vf)) == ENOENT
    lab.machine.modules.load("vfio-pci", 30)
    bind = lab.sysfs.driver("vfio-pci", "bind")
    assert lab.errno(bind, str(vf)) == ENODEV, "no override"
    lab.raw(lab.sysfs.device(vf, "driver_override"), "igbvf")
    assert lab.errno(bind, str(vf)) == ENODEV, "another driver's override"
    assert lab.errno(bind, "0000:ff:1f.7") == ENODEV, "no such device"
    lab.raw(lab.sysfs.device(vf, "driver_override"), "vfio-pci")
    assert lab.errno(bind, str(vf)) == 0
    assert lab.errno(bind, str(vf)) == EBUSY, "bound already"
    assert lab.sysfs.vfio_bound(vf)


def test_unbind_knows_its_own_devices_only(lab: Lab) -> None:
    (vf,) = lab.make(lab.pf, 1)
    lab.to_vfio(vf)
    assert lab.errno(lab.sysfs.driver("igb", "unbind"), str(vf)) == ENODEV
    assert lab.errno(lab.sysfs.device(vf, "driver/unbind"), str(vf)) == 0
    assert lab.errno(lab.sysfs.device(vf, "driver/unbind"), str(vf)) == ENOENT


def test_drivers_probe_says_yes_when_nothing_was_bound(lab: Lab) -> None:
    """Why virtfn binds by name and looks at the link."""
    (vf,) = lab.make(lab.pf, 1)
    assert lab.errno(lab.sysfs.sys / "bus/pci/drivers_probe", str(vf)) == 0
    assert lab.sysfs.bound_driver(vf) is None


def test_a_numvfs_write_to_a_path_that_is_not_there_makes_no_file(lab: Lab) -> None:
    assert lab.errno(lab.sysfs.device(lab.pf, "sriov_numvf"), "1") == ENOENT
    assert not Path(lab.sysfs.device(lab.pf, "sriov_numvf")).exists()

"""What the device plugin sees of a function: the device nodes of a pod exist, and a program that uses it shows."""

from hardware import Lab

from virtfn_deviceplugin.grant.functions import shown, used_by
from virtfn_host.core.values.address import PciAddress


def test_a_vf_on_vfio_has_its_groups_node_and_the_container_node_beside_it(lab: Lab) -> None:
    """Both are the devices that sysfs says they are."""
    (vf,) = lab.make(lab.pf, 1)
    assert shown(lab.sysfs, vf).group_node is None
    lab.to_vfio(vf)
    now = shown(lab.sysfs, vf)
    assert (now.driver, now.vfio_bound, now.lacks) == ("vfio-pci", True, "")
    assert now.group_node == lab.sysfs.group_node(lab.sysfs.group(vf) or 0)
    lab.off_vfio(vf)
    assert shown(lab.sysfs, vf).group_node is None


def test_whoever_has_a_vf_open_through_vfio_shows_and_nobody_else(lab: Lab) -> None:
    first, second = lab.make(lab.pf, 2)
    for vf in (first, second):
        lab.to_vfio(vf)
    with lab.used(first):
        assert (used_by(lab.sysfs, first), used_by(lab.sysfs, second)) == (first, None)
    assert used_by(lab.sysfs, first) is None


def test_whoever_has_one_of_a_group_open_has_the_others_too(lab: Lab, pair: tuple[PciAddress, PciAddress]) -> None:
    on_vfio, other = pair
    assert used_by(lab.sysfs, other) is None
    with lab.used(on_vfio):
        assert used_by(lab.sysfs, other) == on_vfio

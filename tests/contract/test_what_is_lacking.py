"""The parts of a function that a container needs are seen where they are, and missed where they are not."""

from pathlib import Path

from hardware import Lab

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.model import Function, Inventory
from virtfn_host.core.values.parts import OF_LINK, OF_VFIO, Part
from virtfn_host.linux.look.inventory import read_inventory
from virtfn_host.linux.read.parts import vfio_nodes


def seen(lab: Lab, address: PciAddress) -> Function:
    found = look(lab).find(address)
    assert found is not None
    return found


def look(lab: Lab) -> Inventory:
    return read_inventory(lab.sysfs)


def nodes_away(lab: Lab, vf: PciAddress) -> list[Part]:
    """Return the nodes that every container needs and that are away. Some kernels have iommufd and make no cdevs."""
    return [part for part in seen(lab, vf).lacks if part is not Part.CDEV]


def test_a_vf_on_vfio_lacks_nothing_and_each_node_is_missed_when_it_is_away(lab: Lab) -> None:
    (vf,) = lab.make(lab.pf, 1)
    lab.to_vfio(vf)
    assert nodes_away(lab, vf) == []
    paths = [Path(f"{lab.sysfs.dev}{path.removeprefix('/dev')}") for path in vfio_nodes(lab.sysfs, vf).paths]
    assert len(paths) == 2
    for path in paths:
        path.rename(path.with_name("away"))
        try:
            (part,) = nodes_away(lab, vf)
        finally:
            path.with_name("away").rename(path)
        assert part in OF_VFIO
    assert nodes_away(lab, vf) == []


def test_a_node_that_is_no_device_is_none(lab: Lab) -> None:
    (vf,) = lab.make(lab.pf, 1)
    lab.to_vfio(vf)
    node = Path(f"{lab.sysfs.dev}{vfio_nodes(lab.sysfs, vf).paths[1].removeprefix('/dev')}")
    node.rename(node.with_name("away"))
    try:
        node.mkdir()
        assert nodes_away(lab, vf) == [Part.NODE]
        node.rmdir()
        node.symlink_to(node)
        (lost,) = look(lab).unreadable
        assert (lost.device, lost.path, lost.part) == (vf, str(node), Part.NODE)
    finally:
        if node.is_symlink():
            node.unlink()
        node.with_name("away").rename(node)


def test_a_vf_on_its_network_driver_has_a_netdev(lab: Lab) -> None:
    (vf,) = lab.make(lab.pf, 1, autoprobe=True)
    assert seen(lab, vf).driver is not None
    assert seen(lab, vf).lacks == ()


def test_a_pf_shows_whether_it_is_up(lab: Lab) -> None:
    lab.set_up(lab.pf, False)
    assert Part.UP in seen(lab, lab.pf).lacks
    lab.set_up(lab.pf, True)
    try:
        assert Part.UP not in seen(lab, lab.pf).lacks
        assert set(seen(lab, lab.pf).lacks) <= set(OF_LINK)  # the carrier comes a moment later
    finally:
        lab.set_up(lab.pf, False)


def test_with_an_iommu_no_group_is_vfios_own(lab: Lab) -> None:
    (vf,) = lab.make(lab.pf, 1)
    lab.to_vfio(vf)
    assert look(lab).noiommu_groups == ()
    assert not look(lab).unprotected(seen(lab, vf))

"""Which IOMMU groups VFIO will hand out. A group is the unit: one wrong member spoils it for all."""

from collections.abc import Set

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.model import GroupMember, IommuGroup

HARMLESS_DRIVERS = frozenset({"pcieport", "pci-stub"})
"""Drivers that leave DMA ownership alone (`driver_managed_dma`); measured against the kernel's own answer."""


def spoilers(group: IommuGroup | None, exempt: Set[PciAddress]) -> tuple[GroupMember, ...]:
    """Members whose driver keeps VFIO from using the group; `exempt` are those that will be on a vfio driver.

    Binding a VF of such a group succeeds; the pod's VFIO_GROUP_SET_CONTAINER then fails with EPERM (measured).
    """
    if group is None:
        return ()
    return tuple(
        member
        for member in group.members
        if member.driver is not None
        and not member.vfio_bound
        and member.driver not in HARMLESS_DRIVERS
        and member.address not in exempt
    )

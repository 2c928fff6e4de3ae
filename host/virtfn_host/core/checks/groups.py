"""Whether VFIO hands out an IOMMU group. It hands out whole groups: one member on a wrong driver spoils the group."""

from collections.abc import Set

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.model import GroupMember, IommuGroup

HARMLESS_DRIVERS = frozenset({"pcieport", "pci-stub"})
"""Drivers that leave DMA ownership alone (`driver_managed_dma`; measured by hand: VFIO accepts groups with them)."""


def spoilers(group: IommuGroup | None, exempt: Set[PciAddress]) -> tuple[GroupMember, ...]:
    """Return the members whose driver keeps VFIO from using the group; `exempt` will be on a vfio driver.

    Binding a VF of such a group succeeds, but the pod's VFIO_GROUP_SET_CONTAINER fails with EPERM (measured by hand).
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

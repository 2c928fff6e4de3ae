"""Machines for hypothesis to draw, with any mixture of what can be in the way of a function."""

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from inventories import DRIVERS, a_pf, a_plain, a_pod, a_vf, an_inventory

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.holders import Cause, Holder
from virtfn_host.core.values.model import (
    Function,
    GroupMember,
    InUse,
    Inventory,
    IommuGroup,
    Unreadable,
    Vf,
)
from virtfn_host.core.values.parts import OF_VFIO, Part

VARIANT = "mlx5_vfio_pci"
_GROUPS = st.sampled_from([None, 1, 1, 2, 3])
_STRANGERS = st.sampled_from(["", "", "", "e1000e", "pcieport", "vfio-pci", None])


def _rarely(draw: st.DrawFn) -> bool:
    return draw(st.integers(0, 5)) == 5


@st.composite
def odd_machines(draw: st.DrawFn) -> Inventory:
    """Draw a machine of one or two cards; groups are shared at random, also with other devices and PCI ports."""
    pfs = tuple(_pf(draw, number) for number in range(draw(st.integers(1, 2))))
    every = [member for pf in pfs for member in pf.family]
    bound = {function.driver for function in every if function.driver is not None}
    drivers = {*DRIVERS, *bound} - ({"vfio-pci"} - bound if draw(st.booleans()) else set())
    lost = [f for f in every if _rarely(draw)]
    lost_nodes = [f for f in every if f.vfio_bound and _rarely(draw)]
    return an_inventory(
        *pfs,
        groups=tuple(_group(draw, number, every) for number in (1, 2, 3)),
        drivers=tuple(sorted(drivers)),
        loadable=draw(st.sampled_from([None, (), (VARIANT,), (VARIANT, "vfio-pci")])),
        unreadable=(
            *(Unreadable(device=f.address, path="driver_override", error="timed out") for f in lost),
            *(Unreadable(device=f.address, path="vfio/1", error="loop", part=Part.NODE) for f in lost_nodes),
        ),
        noiommu=draw(st.sampled_from([None, False, True])),
        noiommu_groups=draw(st.sampled_from([(), (), (3,)])),
    )


def _pf(draw: st.DrawFn, number: int) -> Function:
    driver = draw(st.sampled_from(["igb", "igb", "igb", None, "vfio-pci", VARIANT]))
    total = draw(st.sampled_from([None, 0, 7, 7]))
    vfs = draw(st.integers(0, 2)) if total else 0
    own: dict[str, Any] = {
        "driver": driver,
        "vfio_bound": driver in ("vfio-pci", VARIANT),
        "driver_override": draw(st.sampled_from([None, driver])),
        "iommu_group": draw(_GROUPS),
    }
    own["lacks"] = _lacks(draw, vfio=own["vfio_bound"])
    ready = draw(st.booleans())
    made = tuple(_vf(draw, number, index, ready=ready) for index in range(vfs))
    own["needed_for"] = "the default route goes through it" if _rarely(draw) else None
    return a_plain(number, **own) if total is None else replace(a_pf(number), **own, total_vfs=total, vfs=made)


def _vf(draw: st.DrawFn, number: int, index: int, *, ready: bool) -> Vf:
    """Draw a VF; one that is `ready` is as a policy wants it."""
    driver = "vfio-pci" if ready else draw(st.sampled_from([None, "igbvf", "igbvf", "vfio-pci", VARIANT]))
    vf = a_vf(number, index, driver, driver if ready else draw(st.sampled_from([None, driver])))
    bound = driver in ("vfio-pci", VARIANT)
    return replace(vf, vfio_bound=bound, iommu_group=draw(_GROUPS), lacks=_lacks(draw, vfio=bound))


def _lacks(draw: st.DrawFn, *, vfio: bool) -> tuple[Part, ...]:
    if not _rarely(draw):
        return ()
    return (draw(st.sampled_from(OF_VFIO if vfio else (Part.NETDEV, Part.UP, Part.CARRIER, Part.GUID))),)


def _group(draw: st.DrawFn, number: int, every: list[Function]) -> IommuGroup:
    members = [
        GroupMember(address=f.address, driver=f.driver, vfio_bound=f.vfio_bound)
        for f in every
        if f.iommu_group == number
    ]
    if (driver := draw(_STRANGERS)) != "":
        there = PciAddress(0, 0x20, number, 0)
        members.append(GroupMember(address=there, driver=driver, vfio_bound=driver == "vfio-pci"))
    return IommuGroup(number=number, members=tuple(members))


@st.composite
def users_of(draw: st.DrawFn, inventory: Inventory) -> InUse:
    """Draw holders of its functions: pods, the machine itself, and unknown ones."""
    found = []
    for address in (f.address for f in inventory.every):
        if _rarely(draw):
            unknown = Holder(address=address, cause=Cause.NO_ENABLE_COUNT)
            route = Holder(address=address, cause=Cause.NEEDED, said="the default route goes through it")
            found.append(draw(st.sampled_from([a_pod(address), unknown, route])))
    return InUse(holders=tuple(found))

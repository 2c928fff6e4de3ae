"""pools(...) -> PoolSet: the functions that pods of this node are offered, from a fresh inventory.

Two laws keep the kubelet's view correct. A function that a pod may hold never leaves its pool: it becomes unhealthy,
and leaves when it is free and the kubelet does not offer it any more: no two pods get it out of two pools. A PF whose
change waits, for a holder or its turn, keeps its functions on offer as they were: nothing has changed yet.

A function is healthy only if a pod could use it (`checks/healthy.py`), and of an IOMMU group only one function is
(`checks/sharing.py`).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from dataclasses import replace

from virtfn_host.core.checks.healthy import in_place, usable
from virtfn_host.core.checks.mtu import short_of
from virtfn_host.core.checks.sharing import Offer, withheld
from virtfn_host.core.checks.usable import Hindrance, first
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.choice import ANY
from virtfn_host.core.values.desired import Desired, DesiredFunction, DesiredPf, DesiredVf
from virtfn_host.core.values.extras import NOTHING
from virtfn_host.core.values.link import unmet
from virtfn_host.core.values.model import Function, InUse, Inventory, Vf, vfs_of
from virtfn_host.core.values.offered import DevicePool, PoolDevice, PoolSet, offer, with_reason
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.steps import PfPlan, Plan

TOLD = 2048
"""Devices of a pool with a message: the pool file must stay under 4 MiB."""

_NOT_AS_IT_WAS = frozenset({Reason.DRIFTED, Reason.BIND_FAILED, Reason.UNREADABLE, Reason.POOL_FILE_UNREADABLE})
"""Reasons of devices whose driver may be another than the one with which pods were offered them."""


def pools(
    *,
    desired: Desired,
    inventory: Inventory,
    in_use: InUse,
    plan: Plan,
    previous: PoolSet,
    withdrawn: Set[PciAddress],
    left: Set[PciAddress] = frozenset(),
) -> PoolSet:
    """Decide which functions to publish.

    Args:
        plan: the steps that remain. PFs that it blocks, or that it still has to change, keep their offer in `previous`.
        previous: the last published pools; ignored if they are of another boot.
        withdrawn: functions that a change is about to touch: offered as unhealthy, reason Reconfiguring.
        left: functions that were published as unhealthy, and that the kubelet had stopped to offer before `in_use` was
            read. Only these leave their pool: a pod that no look has shown yet may be given any other.
    """
    before = _by_address(previous if previous.boot_id == inventory.boot_id else _nothing(inventory))
    offers: dict[str, dict[PciAddress, PoolDevice]] = defaultdict(dict)
    for pf in inventory.functions:
        wanted = desired.pf(pf.address)
        frozen = wanted is not None and (wanted.refused or (_to_come(plan.pf(pf.address)) and not wanted.given_back))
        for function, claim in _claims(pf, wanted):
            address, resource = function.address, claim.resource_name if claim else None
            old_resource, old = before.get(address, (None, None))
            held, gone = bool(in_use.of(address)), address in withdrawn
            if old_resource is not None and old is not None:
                moves = old_resource != resource
                stays = moves and (held or gone or address not in left)
                if stays or (frozen and (moves or _waits(claim, function, old))):
                    if wanted is not None and wanted.refused:
                        old = replace(old, no_iommu=False)  # no policy accepts anything of it any more
                    offers[old_resource][address] = _kept(
                        old, function, inventory, withdrawn=gone or not frozen, held=held and not frozen
                    )
                    continue
            if claim is not None and resource is not None:
                offers[resource][address] = _offered(claim, function, inventory, withdrawn=gone)
    served = (a for a, (_, device) in before.items() if device.healthy or device.reason is Reason.POOL_FILE_UNREADABLE)
    _share_out(offers, inventory, in_use, frozenset(served))
    for address, (resource, device) in _out_of_sight(before, inventory).items():
        offers[resource][address] = replace(device, healthy=False, reason=Reason.UNREADABLE)
    published = tuple(_pool(name, offers[name].values(), desired) for name in sorted(offers))
    return PoolSet(boot_id=inventory.boot_id, pools=published)


def _share_out(
    offers: Mapping[str, dict[PciAddress, PoolDevice]], inventory: Inventory, in_use: InUse, served: Set[PciAddress]
) -> None:
    """Withhold all but one function of each IOMMU group, whatever pools they are in."""
    functions = {function.address: function for function in inventory.every}
    every = [
        Offer(function=functions[address], resource_name=name, healthy=device.healthy, served=address in served)
        for name, devices in offers.items()
        for address, device in devices.items()
    ]
    pool_of = {offer.function.address: offer.resource_name for offer in every}
    for address, found in withheld(every, inventory, in_use).items():
        device = offers[pool_of[address]][address]
        if device.healthy:
            offers[pool_of[address]][address] = with_reason(device, found.reason, found.text)


def _to_come(part: PfPlan | None) -> bool:
    """Return whether a PF still has to change as a whole. Link settings that wait do not count, nor what a driver made
    otherwise than asked: that stays as it is."""
    if part is None:
        return False
    waits = [b for b in part.blocked if not b.only_links and b.reason is not Reason.DRIVER_MADE_OTHER]
    return bool(part.displaces) or any(b.device == part.pf for b in waits)


def _waits(claim: DesiredFunction | None, function: Function, old: PoolDevice) -> bool:
    """Return whether a function is on the driver with which it was on offer, and its policy asks for another now. One
    that another program rebound is on another driver than it was, or was published as unhealthy for that."""
    as_it_was = function.driver == old.driver and old.reason not in _NOT_AS_IT_WAS
    return as_it_was and claim is not None and not in_place(claim, function)


def _out_of_sight(
    before: Mapping[PciAddress, tuple[str, PoolDevice]], inventory: Inventory
) -> dict[PciAddress, tuple[str, PoolDevice]]:
    """Return earlier offers that are missing while some function cannot be read: they may still be in use by a pod."""
    seen = {function.address for function in inventory.every}
    if all(lost.device in seen for lost in inventory.unreadable):
        return {}
    return {address: offer for address, offer in before.items() if address not in seen}


def _claims(pf: Function, wanted: DesiredPf | None) -> list[tuple[Function, DesiredFunction | None]]:
    """Return the PF itself and its VFs, each with its desired state."""
    own: list[tuple[Function, DesiredFunction | None]] = [(pf, wanted.own if wanted else None)]
    return own + [(vf, wanted.vf(vf.index) if wanted else None) for vf in vfs_of(pf)]


def _pool(resource_name: str, devices: Iterable[PoolDevice], desired: Desired) -> DevicePool:
    listed = sorted(devices, key=lambda device: device.address)
    told = (*listed[:TOLD], *map(_in_a_word, listed[TOLD:]))
    return DevicePool(
        resource_name=resource_name,
        devices=told,
        choice=desired.choices.get(resource_name, ANY),
        extras=desired.extras.get(resource_name, NOTHING),
    )


def _in_a_word(device: PoolDevice) -> PoolDevice:
    return replace(device, message=None)


def _offered(claim: DesiredFunction, function: Function, inventory: Inventory, *, withdrawn: bool) -> PoolDevice:
    found = first(*usable(claim, function, inventory), _unmet(claim, function), _short(claim, function, inventory))
    driver = function.driver or claim.driver or ""
    rdma = tuple(device.name for device in function.rdma) if claim.extras.rdma else ()
    return replace(_device(function, driver, found, withdrawn=withdrawn), no_iommu=claim.unsafe_no_iommu, rdma=rdma)


def _unmet(claim: DesiredFunction, function: Function) -> Hindrance | None:
    """A pod that asks for a VLAN must not get a VF without it."""
    if not isinstance(claim, DesiredVf) or not isinstance(function, Vf) or not unmet(claim.link, function):
        return None
    text = "its link settings are not as its policy asks"
    return Hindrance(reason=Reason.LINK_SETTING_REFUSED, message=text, remedy="the conditions of the node say why")


def _short(claim: DesiredFunction, function: Function, inventory: Inventory) -> Hindrance | None:
    if not isinstance(claim, DesiredVf) or not isinstance(function, Vf):
        return None
    return short_of(claim, function, inventory.pf(function.pf))


def _kept(old: PoolDevice, function: Function, inventory: Inventory, *, withdrawn: bool, held: bool) -> PoolDevice:
    """Keep an earlier offer. It, too, is healthy only if a pod could use it."""
    was = DesiredFunction(
        driver=old.driver,
        driver_override=None,
        resource_name=None,
        policy=None,
        unsafe_no_iommu=old.no_iommu,
    )
    found = first(*usable(was, function, inventory))
    if held:
        text, remedy = "is no longer in this pool, but something still uses it", "it leaves when it is free"
        found = Hindrance(reason=Reason.VFS_IN_USE, message=text, remedy=remedy)
    return replace(_device(function, old.driver, found, withdrawn=withdrawn), no_iommu=old.no_iommu, rdma=old.rdma)


def _device(function: Function, driver: str, found: Hindrance | None, *, withdrawn: bool) -> PoolDevice:
    if found is None and withdrawn:
        return offer(function, driver, Reason.RECONFIGURING)
    return offer(function, driver) if found is None else offer(function, driver, found.reason, found.text)


def _by_address(published: PoolSet) -> dict[PciAddress, tuple[str, PoolDevice]]:
    return {device.address: (pool.resource_name, device) for pool in published.pools for device in pool.devices}


def _nothing(inventory: Inventory) -> PoolSet:
    return PoolSet(boot_id=inventory.boot_id, pools=())

"""pools(...) -> PoolSet: the functions that pods of this node are offered, from a fresh inventory.

Two laws keep the kubelet's view correct. A function that a pod may hold never leaves its pool: it becomes unhealthy
and leaves when it is free. A PF whose resize waits for a holder keeps its functions on offer: nothing has changed yet.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from dataclasses import replace

from virtfn_host.core.checks.usable import on_vfio
from virtfn_host.core.turn.plan import in_place
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import KERNEL_DRIVER, Desired, DesiredFunction, DesiredPf, DesiredVf
from virtfn_host.core.values.link import unmet
from virtfn_host.core.values.model import Function, InUse, Inventory, Vf, vfs_of
from virtfn_host.core.values.offered import DevicePool, PoolDevice, PoolSet, offer
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.steps import PfPlan, Plan


def pools(
    *,
    desired: Desired,
    inventory: Inventory,
    in_use: InUse,
    plan: Plan,
    previous: PoolSet,
    withdrawn: Set[PciAddress],
) -> PoolSet:
    """Decide which functions to publish.

    Args:
        plan: the steps that remain. PFs that it blocks, or that it still has to change, keep their offer in `previous`.
        previous: the last published pools; ignored if they are of another boot.
        withdrawn: functions that a change is about to touch: offered as unhealthy, reason Reconfiguring.
    """
    before = _by_address(previous if previous.boot_id == inventory.boot_id else _nothing(inventory))
    offers: dict[str, dict[PciAddress, PoolDevice]] = defaultdict(dict)
    for pf in inventory.functions:
        wanted = desired.pf(pf.address)
        frozen = wanted is not None and (wanted.refused or (_to_come(plan.pf(pf.address)) and not wanted.given_back))
        for function, claim in _claims(pf, wanted):
            address, resource = function.address, claim.resource_name if claim else None
            old_resource, old = before.get(address, (None, None))
            if old_resource is not None and old is not None and old_resource != resource:
                held = bool(in_use.of(address))
                if frozen or held or address in withdrawn:
                    offers[old_resource][address] = _kept(old, function, withdrawn, leaving=held and not frozen)
                    continue
            if claim is not None and resource is not None:
                offers[resource][address] = _offered(claim, function, inventory, withdrawn)
    for address, (resource, device) in _out_of_sight(before, inventory).items():
        offers[resource][address] = replace(device, healthy=False, reason=Reason.UNREADABLE)
    published = tuple(_pool(name, offers[name].values()) for name in sorted(offers))
    return PoolSet(boot_id=inventory.boot_id, pools=published)


def _to_come(part: PfPlan | None) -> bool:
    """Return whether a PF still has to change as a whole. Link settings that wait do not count."""
    if part is None:
        return False
    return bool(part.displaces) or any(b.device == part.pf and not b.only_links for b in part.blocked)


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


def _pool(resource_name: str, devices: Iterable[PoolDevice]) -> DevicePool:
    return DevicePool(resource_name=resource_name, devices=tuple(sorted(devices, key=lambda d: d.address)))


def _offered(
    claim: DesiredFunction, function: Function, inventory: Inventory, withdrawn: Set[PciAddress]
) -> PoolDevice:
    reason = None
    if not in_place(claim, function):
        reason = Reason.DRIFTED if function.driver is not None else Reason.BIND_FAILED
    elif claim.driver != KERNEL_DRIVER and (hindrance := on_vfio(function, inventory)) is not None:
        reason = hindrance.reason
    elif isinstance(claim, DesiredVf) and isinstance(function, Vf) and unmet(claim.link, function):
        # A pod that asks for a VLAN must not get a VF without it.
        reason = Reason.LINK_SETTING_REFUSED
    return _device(function, driver=function.driver or claim.driver or "", reason=reason, withdrawn=withdrawn)


def _kept(old: PoolDevice, function: Function, withdrawn: Set[PciAddress], *, leaving: bool) -> PoolDevice:
    reason = Reason.VFS_IN_USE if leaving else Reason.DRIFTED if function.driver != old.driver else None
    return _device(function, driver=old.driver, reason=reason, withdrawn=withdrawn)


def _device(function: Function, *, driver: str, reason: Reason | None, withdrawn: Set[PciAddress]) -> PoolDevice:
    if reason is None and function.address in withdrawn:
        reason = Reason.RECONFIGURING
    return offer(function, driver, reason)


def _by_address(published: PoolSet) -> dict[PciAddress, tuple[str, PoolDevice]]:
    return {device.address: (pool.resource_name, device) for pool in published.pools for device in pool.devices}


def _nothing(inventory: Inventory) -> PoolSet:
    return PoolSet(boot_id=inventory.boot_id, pools=())

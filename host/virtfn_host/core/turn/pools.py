"""pools(...) -> PoolSet: the functions that pods of this node are offered, from a fresh inventory.

Two laws keep the kubelet's view correct. A function that a pod may hold never leaves its pool: it becomes unhealthy,
and leaves when it is free and the kubelet does not offer it any more: no two pods get it out of two pools. A PF whose
change waits, for a holder or its turn, keeps its functions on offer as they were: nothing has changed yet.

A function is healthy only if a pod could use it (`checks/healthy.py`), and of an IOMMU group only one function is
(`checks/sharing.py`).
"""

from collections import defaultdict
from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from typing import Any

from virtfn_host.core.checks.healthy import in_place, usable
from virtfn_host.core.checks.mtu import short_of
from virtfn_host.core.checks.sharing import Offer, withheld
from virtfn_host.core.checks.usable import Hindrance, first, open_outside
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.choice import ANY
from virtfn_host.core.values.desired import KERNEL_DRIVER, Desired, DesiredFunction, DesiredPf, DesiredVf
from virtfn_host.core.values.extras import NOTHING, Extras
from virtfn_host.core.values.link import as_kept, unmet
from virtfn_host.core.values.model import Function, InUse, Inventory, Vf, vfs_of
from virtfn_host.core.values.offered import DevicePool, PoolDevice, PoolSet, offer, with_reason
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.steps import PfPlan, Plan

TOLD = 2048
"""Devices of a pool with a message: the pool file must stay under 4 MiB."""

_TERMS_LOST = frozenset({Reason.POOL_FILE_UNREADABLE, Reason.RESOURCE_MISMATCH})
"""Reasons of devices of which it is not known any more what their containers got."""

_UNKNOWN = frozenset({Reason.UNREADABLE, Reason.POOL_FILE_UNREADABLE})
"""Reasons of devices that may have been healthy."""

_LEAVES = frozenset({Reason.VFS_IN_USE, Reason.RECONFIGURING})
"""Reasons of devices that go as soon as they are free."""

_NOT_AS_IT_WAS = _UNKNOWN | _TERMS_LOST | {Reason.DRIFTED, Reason.BIND_FAILED}
"""Reasons of devices that may be otherwise than they were when pods were offered them."""


def pools(
    *,
    desired: Desired,
    inventory: Inventory,
    in_use: InUse,
    plan: Plan,
    previous: PoolSet,
    withdrawn: Set[PciAddress],
    left: Set[PciAddress] = frozenset(),
    taken: Set[PciAddress] = frozenset(),
) -> PoolSet:
    """Decide which functions to publish.

    Args:
        plan: the steps that remain. PFs that it blocks, or that it still has to change, keep their offer in `previous`.
        previous: the last published pools; ignored if they are of another boot.
        withdrawn: functions that a change is about to touch: offered as unhealthy, reason Reconfiguring.
        left: functions that were published as unhealthy, and that the kubelet had stopped to offer before `in_use` was
            read. Only these leave their pool: a pod that no look has shown yet may be given any other.
        taken: functions that a process of no pod has had open for longer than one look: offered as unhealthy.
    """
    previous = previous if previous.boot_id == inventory.boot_id else _nothing(inventory)
    terms = {pool.resource_name: pool for pool in previous.pools}
    look = _Look(
        inventory=inventory,
        in_use=in_use,
        before=_by_address(previous),
        terms=terms,
        withdrawn=withdrawn,
        left=left,
        taken=taken,
    )
    offers: dict[str, dict[PciAddress, PoolDevice]] = defaultdict(dict)
    kept: set[PciAddress] = set()
    for pf in inventory.functions:
        wanted = desired.pf(pf.address)
        waits = wanted is not None and (wanted.refused or (_to_come(plan.pf(pf.address)) and not wanted.given_back))
        for function, claim in claims_on(pf, wanted):
            if (old := look.stays(function, claim, wanted, waits=waits)) is not None:
                resource, device = old
                offers[resource][function.address] = device
                kept.add(function.address)
            elif claim is not None and claim.resource_name is not None:
                offers[claim.resource_name][function.address] = look.offered(claim, function)
    served = (a for a, (_, device) in look.before.items() if device.healthy or device.reason in _UNKNOWN)
    _share_out(offers, inventory, in_use, frozenset(served))
    for address, (resource, device) in _out_of_sight(look.before, inventory).items():
        offers[resource][address] = replace(device, healthy=False, reason=Reason.UNREADABLE)
        kept.add(address)
    published = tuple(_pool(name, offers[name], kept, terms.get(name), desired) for name in sorted(offers))
    return PoolSet(boot_id=inventory.boot_id, pools=published)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What one look shows of the functions, and what pods were offered before it."""

    inventory: Inventory
    in_use: InUse
    before: Mapping[PciAddress, tuple[str, PoolDevice]]
    """Each function with the resource name that it was offered by."""
    terms: Mapping[str, DevicePool]
    withdrawn: Set[PciAddress]
    left: Set[PciAddress]
    taken: Set[PciAddress]

    def stays(
        self, function: Function, claim: DesiredFunction | None, wanted: DesiredPf | None, *, waits: bool
    ) -> tuple[str, PoolDevice] | None:
        """Return the pool that a function stays in and how it is offered there; None where its policy decides.

        Args:
            claim: what its policy asks of it.
            wanted: what is asked of its PF.
            waits: whether that is refused, or waits for a holder or its turn.
        """
        if (offered := self.before.get(function.address)) is None:
            return None
        resource, old = offered
        moves = claim is None or resource != claim.resource_name
        # Nothing of it has changed yet, so what pods are offered does not either.
        frozen = waits and not _given_up(resource, wanted, function, claim)
        held, gone = bool(self.in_use.of(function.address)), function.address in self.withdrawn
        # A pod has it, or may get it in this very moment.
        in_hand = moves and (held or gone or function.address not in self.left)
        if not in_hand and not (frozen and (moves or _is_to_change(claim, function, old))):
            return None
        if wanted is not None and wanted.refused:
            old = replace(old, no_iommu=False)  # no policy accepts anything of it any more
        if frozen and old.reason in _TERMS_LOST:
            return resource, old
        gone, held = gone or not frozen, held and not frozen
        return resource, self._kept(old, self.terms[resource].extras, function, withdrawn=gone, held=held)

    def offered(self, claim: DesiredFunction, function: Function) -> PoolDevice:
        """Return a function as its policy asks to offer it."""
        found = self._hindrance(claim, function)
        # The driver with which pods may have it: while it waits, it must not be offered on what another program bound.
        driver = (function.driver if in_place(claim, function) else None) or claim.driver or ""
        device = _device(function, driver, found, withdrawn=function.address in self.withdrawn)
        return replace(device, rdma=_rdma(function, claim.extras), **asked_of(claim))

    def _kept(self, old: PoolDevice, extras: Extras, function: Function, *, withdrawn: bool, held: bool) -> PoolDevice:
        """Keep an earlier offer. It, too, is healthy only if a pod could use it."""
        was = DesiredVf(
            index=function.index if isinstance(function, Vf) else 0,
            driver=old.driver,
            driver_override=None,
            resource_name=None,
            policy=None,
            unsafe_no_iommu=old.no_iommu,
            require_link=old.require_link,
            extras=extras,
            link=None if old.link is None or not isinstance(function, Vf) else as_kept(old.link, function.link),
            mtu=old.mtu,
        )
        found = self._hindrance(was, function)
        if held:
            text, remedy = "is no longer in this pool, but something still uses it", "it leaves when it is free"
            found = Hindrance(reason=Reason.VFS_IN_USE, message=text, remedy=remedy)
        driver = function.driver if found is None and old.driver == KERNEL_DRIVER and function.driver else old.driver
        device = _device(function, driver, found, withdrawn=withdrawn)
        return replace(device, rdma=_rdma(function, extras), **asked_of(was))

    def _hindrance(self, claim: DesiredFunction, function: Function) -> Hindrance | None:
        unlike = _unmet(claim, function), _short(claim, function, self.inventory)
        return first(*usable(claim, function, self.inventory), *unlike, self._outside(function))

    def _outside(self, function: Function) -> Hindrance | None:
        return open_outside(self.in_use.of(function.address)) if function.address in self.taken else None


def asked_of(claim: DesiredFunction) -> dict[str, Any]:
    """Return the fields of a `PoolDevice` that say what its policy asks of it."""
    of_vf = {"link": claim.link, "mtu": claim.mtu} if isinstance(claim, DesiredVf) else {}
    return {"no_iommu": claim.unsafe_no_iommu, "require_link": claim.require_link, **of_vf}


def _names(wanted: DesiredPf | None) -> frozenset[str | None]:
    """The resource names by which VFs of a PF are to be offered."""
    return frozenset(vf.resource_name for vf in wanted.vfs) if wanted else frozenset()


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


def _is_to_change(claim: DesiredFunction | None, function: Function, old: PoolDevice) -> bool:
    """Return whether a function is on the driver with which it was on offer, and its policy asks for another now. One
    that another program rebound is on another driver than it was, or was published as unhealthy for that."""
    as_it_was = function.driver == old.driver and old.reason not in _NOT_AS_IT_WAS
    return as_it_was and claim is not None and not in_place(claim, function)


def _given_up(resource: str, wanted: DesiredPf | None, function: Function, claim: DesiredFunction | None) -> bool:
    """Return whether no policy claims a VF any more: its policy ended, or it stays and nothing of its pool is left."""
    if wanted is None or wanted.refused or not isinstance(function, Vf):
        return False
    if claim is not None and claim.policy is not None:
        return False
    ends = wanted.num_vfs is not None and function.index >= wanted.num_vfs
    # An edit of a policy's own indexes leaves the name to others of its VFs, and they wait for their turn.
    return wanted.ended or (not ends and resource not in _names(wanted))


def _out_of_sight(
    before: Mapping[PciAddress, tuple[str, PoolDevice]], inventory: Inventory
) -> dict[PciAddress, tuple[str, PoolDevice]]:
    """Return earlier offers that are missing while some function cannot be read: they may still be in use by a pod."""
    seen = {function.address for function in inventory.every}
    if all(lost.device in seen for lost in inventory.unreadable):
        return {}
    return {address: offer for address, offer in before.items() if address not in seen}


def claims_on(pf: Function, wanted: DesiredPf | None) -> list[tuple[Function, DesiredFunction | None]]:
    """Return the PF itself and its VFs, each with its desired state."""
    own: list[tuple[Function, DesiredFunction | None]] = [(pf, wanted.own if wanted else None)]
    return own + [(vf, wanted.vf(vf.index) if wanted else None) for vf in vfs_of(pf)]


def _pool(
    resource_name: str,
    devices: Mapping[PciAddress, PoolDevice],
    kept: Set[PciAddress],
    before: DevicePool | None,
    desired: Desired,
) -> DevicePool:
    """Return a pool on the terms that its policies ask for; while all that it has to offer is kept, on those of before.

    A pool has one grant, so a function that is kept is withheld where that is another one now.
    """
    choice, extras = desired.choices.get(resource_name, ANY), desired.extras.get(resource_name, NOTHING)
    if before is not None and devices.keys() & kept:
        if not any(device.healthy for address, device in devices.items() if address not in kept):
            choice, extras = before.choice, before.extras
        elif before.extras != extras:
            on_others = {a for a, d in devices.items() if a in kept and d.reason not in _LEAVES}
            devices = {a: _on_other_terms(d) if a in on_others else d for a, d in devices.items()}
    listed = [devices[address] for address in sorted(devices)]
    told = (*listed[:TOLD], *map(_in_a_word, listed[TOLD:]))
    return DevicePool(resource_name=resource_name, devices=told, choice=choice, extras=extras)


def _on_other_terms(device: PoolDevice) -> PoolDevice:
    text = (
        "waits for a change, and its pool gives containers something else by now; it is offered again after the change"
    )
    return with_reason(device, Reason.RESOURCE_MISMATCH, text)


def _in_a_word(device: PoolDevice) -> PoolDevice:
    return replace(device, message=None)


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


def _rdma(function: Function, extras: Extras) -> tuple[str, ...]:
    return tuple(device.name for device in function.rdma) if extras.rdma else ()


def _device(function: Function, driver: str, found: Hindrance | None, *, withdrawn: bool) -> PoolDevice:
    if found is None and withdrawn:
        return offer(function, driver, Reason.RECONFIGURING)
    return offer(function, driver) if found is None else offer(function, driver, found.reason, found.text)


def _by_address(published: PoolSet) -> dict[PciAddress, tuple[str, PoolDevice]]:
    return {device.address: (pool.resource_name, device) for pool in published.pools for device in pool.devices}


def _nothing(inventory: Inventory) -> PoolSet:
    return PoolSet(boot_id=inventory.boot_id, pools=())

"""plan(inventory, desired, in_use) -> Plan: the ordered steps from the present state to the desired one.

Laws, each with a property test: the same input gives the same plan; a converged machine gives no steps; a held VF is
never a target; the number of VFs changes through 0 in two visible steps. Order inside one PF, as in libvirt: detach
all, resize, settle, then every driver override, then every bind. Consecutive steps of one kind are carried out in
parallel. A write of 0 detaches the VFs itself, all under one lock (docs/decisions/0004): with single steps, a process
could open a VF between two of them.
"""

from collections.abc import Sequence, Set
from dataclasses import replace

from virtfn_host.core.checks.drivers import wanted_driver_trouble
from virtfn_host.core.checks.healthy import in_place
from virtfn_host.core.checks.usable import (
    Hindrance,
    first,
    held,
    names_of,
    netdev_unread,
    no_iommu,
    out_of_sight,
    shared_group,
    unreadable,
    vf_token,
)
from virtfn_host.core.turn.mtu_plan import add_mtu_steps
from virtfn_host.core.turn.noting import noted, only_notes
from virtfn_host.core.turn.policy import indexes_text
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import KERNEL_DRIVER, Desired, DesiredFunction, DesiredPf, DesiredVf
from virtfn_host.core.values.holders import Holder
from virtfn_host.core.values.link import differing, groups_of, is_rate, limits, link_text, mentioned
from virtfn_host.core.values.model import (
    Function,
    InUse,
    Inventory,
    Pf,
    Vf,
    VfLink,
)
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.steps import (
    Bind,
    Blocked,
    Forget,
    FunctionRef,
    LoadModule,
    PfPlan,
    Plan,
    Probe,
    SetAutoprobe,
    SetDriverOverride,
    SetLink,
    SetNumVfs,
    Settle,
    Step,
    Unbind,
)


def plan(inventory: Inventory, desired: Desired, in_use: InUse) -> Plan:
    """Return the steps to `desired` that touch no function in use; changes that must wait are `blocked`."""
    for_vfio = _bound_for_vfio(desired, inventory)
    made = (noted(_Draft(inventory, wanted, in_use, for_vfio).decided(), desired) for wanted in desired.pfs)
    parts = [part for part in made if part.steps or part.blocked]
    return Plan(pfs=tuple(sorted([*parts, *only_notes(desired)], key=lambda part: part.pf)))


class _Draft:
    """The plan of one PF while it is made."""

    def __init__(self, inventory: Inventory, wanted: DesiredPf, in_use: InUse, for_vfio: Set[PciAddress]) -> None:
        self.inventory = inventory
        self.wanted = wanted
        self.in_use = in_use
        self.for_vfio = for_vfio
        self.loading: set[str] = set()
        self.detach: list[Step] = []
        self.resize: list[Step] = []
        self.overrides: list[Step] = []
        self.binds: list[Step] = []
        self.cleared: list[Step] = []
        self.own: list[Step] = []
        self.last: list[Step] = []
        # Before any unbind or bind: a bound VF's netdev takes a new MAC only at the next bind (measured by hand).
        self.links: list[Step] = []
        self.new_links: list[Step] = []
        self.rates: list[Step] = []
        self.raised: list[Step] = []
        self.mtus: list[Step] = []
        self.lowered: list[Step] = []
        self.blocked: list[Blocked] = []
        self.blocked_links: list[Blocked] = []
        self.displaces: list[PciAddress] = []

    @property
    def steps(self) -> list[Step]:
        """All steps in order. Modules come first: if one does not load, nothing has changed."""
        vfs = [*self.links, *self.detach, *self.resize, *self.new_links, *self.overrides, *self.binds, *self.cleared]
        vfs += [*self.rates, *self.mtus, *self.lowered]
        parts = [*self.own, *vfs] if self._returns else [*vfs, *self.own]
        return [*self._modules(), *self.raised, *parts, *self.last]

    @property
    def _returns(self) -> bool:
        """Whether the PF itself is given back. It then comes first: it needs its own driver to make VFs."""
        return self.wanted.own is not None and self.wanted.own.policy is None

    def decided(self) -> PfPlan:
        """Return the finished plan of this PF."""
        self._decide()
        return PfPlan(
            pf=self.wanted.address,
            steps=tuple(self.steps),
            blocked=(*self.blocked, *self.blocked_links),
            displaces=tuple(self.displaces),
            cause=self.wanted.cause,
        )

    def _decide(self) -> None:
        pf = self.inventory.find(self.wanted.address)
        if pf is None:
            gone = Hindrance(reason=Reason.DEVICE_GONE, message="is gone", remedy="check whether the card was removed")
            found = out_of_sight(self.inventory).get(self.wanted.address, gone)
            self._block(self.wanted.address, found.reason, found.text)
            return
        lost = next((hindrance for _, hindrance in unreadable(self.inventory, pf)), None)
        if (trouble := lost or wanted_driver_trouble(self.inventory, self.wanted)) is not None:
            self._block(pf.address, trouble.reason, trouble.text)
            return
        parts = [self._decide_own, self._decide_vfs] if self._returns else [self._decide_vfs, self._decide_own]
        for part in parts:
            # The second part builds on the first: no VFs are made while a process still holds the PF as a whole.
            if not self.blocked:
                part(pf)
        if not self.blocked:
            add_mtu_steps(self, pf)
            self._finish(pf)

    def _decide_own(self, pf: Function) -> None:
        if self.wanted.own is not None:
            self._arrange(pf, FunctionRef(pf=pf.address, index=None, address=pf.address), self.wanted.own)

    def _decide_vfs(self, pf: Function) -> None:
        if not isinstance(pf, Pf):
            if self.wanted.num_vfs:  # to be given back to a card whose SR-IOV was switched off meanwhile
                text = (
                    f"cannot have {self.wanted.num_vfs} VFs again: it has no SR-IOV now; switch it on in its firmware"
                )
                self._block(pf.address, Reason.SRIOV_UNSUPPORTED, text)
        elif self.wanted.num_vfs not in (None, pf.num_vfs):
            self._recreate(pf)
        else:
            self._rearrange(pf)
            self._set_links(pf, [(wanted, vf) for wanted in self.wanted.vfs if (vf := pf.vf(wanted.index))])

    def _recreate(self, pf: Pf) -> None:
        """Change n VFs to m through 0. Every VF of the PF is removed, so all must be free."""
        holders = [holder for vf in pf.vfs for holder in self._holders(vf)]
        number = self.wanted.num_vfs or 0
        vfs = [vf.address for vf in pf.vfs]
        if holders:
            text = f"cannot go from {pf.num_vfs} to {number} VFs while {names_of(holders)}"
            self._block(pf.address, Reason.VFS_IN_USE, text, holders, vfs)
            return
        self.displaces += vfs
        if pf.vfs:
            self.resize.append(SetNumVfs(pf=pf.address, value=0, expects=pf.num_vfs))
        if number:
            if pf.autoprobe:
                self.resize.append(SetAutoprobe(pf=pf.address, value=False, expects=True))
            self.resize.append(SetNumVfs(pf=pf.address, value=number, expects=0))
            self.resize.append(Settle(pf=pf.address, num_vfs=number))
        for vf in self.wanted.vfs:
            self._attach(FunctionRef(pf=pf.address, index=vf.index, address=None), vf, override=None)
        self._set_links(pf, [(wanted, None) for wanted in self.wanted.vfs])

    def _rearrange(self, pf: Pf) -> None:
        """Keep the number of VFs and touch only VFs on a wrong driver or override."""
        for wanted in self.wanted.vfs:
            vf = pf.vf(wanted.index)
            if vf is not None:
                self._arrange(vf, _ref(pf, vf), wanted)

    def _arrange(self, function: Function, ref: FunctionRef, wanted: DesiredFunction) -> None:
        """Bring one existing function to its wanted driver and override."""
        override = function.driver_override
        if in_place(wanted, function):
            self._override(self.overrides, ref, wanted.driver_override, override)
        elif not self._hindered(function, wanted):
            if function.driver is not None:
                (self.own if ref.index is None else self.detach).append(Unbind(function=ref, expects=function.driver))
                self.displaces.append(function.address)
            self._attach(ref, wanted, override)

    def _hindered(self, function: Function, wanted: DesiredFunction) -> bool:
        displaces = [] if function.driver is None else [function.address]
        if (hindrance := self._no_vfio(function, wanted)) is not None:
            self._block(function.address, hindrance.reason, hindrance.text, displaces=displaces)
            return True
        holders = self._holders(function)
        if (hindrance := held(holders, function.driver, wanted.driver)) is not None:
            self._block(function.address, hindrance.reason, hindrance.message, holders, displaces)
            return True
        return False

    def _no_vfio(self, function: Function, wanted: DesiredFunction) -> Hindrance | None:
        """Before its users: once they had ended it, this would still be in the way."""
        if wanted.driver in (None, KERNEL_DRIVER) or wanted.policy is None:
            return None
        group = self.inventory.group(function.iommu_group)
        is_vf = isinstance(function, Vf)
        return first(
            no_iommu(function.iommu_group, self.inventory, allowed=wanted.unsafe_no_iommu),
            vf_token(function, self.inventory) if is_vf else None,
            shared_group(function.address, group, self.for_vfio, is_vf=is_vf),
        )

    def _attach(self, ref: FunctionRef, wanted: DesiredFunction, override: str | None) -> None:
        """Bring a function without driver to the wanted driver, and its override to the wanted final value."""
        overrides, binds, cleared = self.overrides, self.binds, self.cleared
        if ref.index is None:
            overrides = binds = cleared = self.own  # one function has no steps to run in parallel
        if wanted.driver in (None, KERNEL_DRIVER):
            override = self._override(overrides, ref, None, override)
            if wanted.driver == KERNEL_DRIVER:
                binds.append(Probe(function=ref))
        elif wanted.driver is not None:
            # With autoprobe off, a bind without override gives ENODEV (measured: tests/contract/test_writes.py). So
            # the override is set for the bind even if it is cleared afterwards.
            override = self._override(overrides, ref, wanted.driver, override)
            self.loading.add(wanted.driver)
            binds.append(Bind(function=ref, driver=wanted.driver))
        self._override(cleared, ref, wanted.driver_override, override)

    def _override(self, steps: list[Step], ref: FunctionRef, value: str | None, expects: str | None) -> str | None:
        if value != expects:
            steps.append(SetDriverOverride(function=ref, value=value, expects=expects))
        return value

    def _finish(self, pf: Function) -> None:
        if isinstance(pf, Pf):
            self._finish_autoprobe(pf)
        if self.wanted.given_back and not self.blocked_links:
            self.last.append(Forget(pf=pf.address))

    def _finish_autoprobe(self, pf: Pf) -> None:
        recreated = self.wanted.num_vfs not in (None, pf.num_vfs)
        current = False if recreated and self.wanted.num_vfs else pf.autoprobe
        if self.wanted.autoprobe not in (None, current):
            step = SetAutoprobe(pf=pf.address, value=bool(self.wanted.autoprobe), expects=current)
            (self.last if self.wanted.given_back else self.resize).append(step)

    def _set_links(self, pf: Pf, vfs: list[tuple[DesiredVf, Vf | None]]) -> None:
        """Set the link settings of existing VFs, or (None) of VFs that this plan makes: they end with each VF."""
        unseen: list[int] = []
        without_rate: list[int] = []
        for wanted, vf in vfs:
            if wanted.link is None:
                continue
            # A PF that is given back from vfio gets its netdev with its driver, before these steps.
            shown = vf.link if vf is not None else self._returns or pf.netdev_up
            if shown is None:
                if vf is not None and (lost := netdev_unread(self.inventory, vf)) is not None:
                    self.block_link(vf.address, lost.reason, lost.text)
                else:
                    unseen.append(wanted.index)
                continue
            groups = self._to_set(wanted.link, vf)
            # A PF that is down refuses a rate (measured: tests/contract/test_links.py). A new VF has no rate anyway.
            rates = [group for group in groups if is_rate(group) and (vf is not None or limits(group))]
            if rates and pf.netdev_up is False:
                without_rate.append(wanted.index)
                groups = [group for group in groups if not is_rate(group)]
            for group in groups:
                self._set_link(pf, wanted, vf, group)
        if unseen:
            text = f"cannot set link settings of VF {indexes_text(unseen)}: the PF's driver {pf.driver} shows none"
            if not pf.netdevs:
                text = (
                    f"cannot set link settings of VF {indexes_text(unseen)}: PF has no netdev in the host's namespace"
                )
            self.block_link(pf.address, Reason.LINK_SETTING_REFUSED, text)
        if without_rate:
            name = pf.netdevs[0] if pf.netdevs else "its netdev"
            text = f"cannot set the rate of VF {indexes_text(without_rate)} while {name} is down"
            self.block_link(pf.address, Reason.LINK_SETTING_REFUSED, f"{text}; run `ip link set {name} up`")

    def _to_set(self, link: VfLink, vf: Vf | None) -> list[VfLink]:
        if vf is None:
            return list(groups_of(link))
        groups = list(differing(link, vf.link)) if vf.link is not None else []
        if groups and (holders := list(self.in_use.of(vf.address))):
            # A new VLAN or MAC would cut a running pod off.
            text = f"cannot set {', '.join(map(link_text, groups))} while {names_of(holders)}"
            self.block_link(vf.address, Reason.VFS_IN_USE, text, holders)
            return []
        return groups

    def _set_link(self, pf: Pf, wanted: DesiredVf, vf: Vf | None, group: VfLink) -> None:
        ref = FunctionRef(pf=pf.address, index=wanted.index, address=vf.address if vf else None)
        expects = mentioned(vf.link, group) if vf is not None and vf.link is not None else None
        steps = self.rates if is_rate(group) else self.links if vf is not None else self.new_links
        steps.append(SetLink(function=ref, value=group, expects=expects))

    def block_link(self, device: PciAddress, reason: Reason, text: str, holders: Sequence[Holder] = ()) -> None:
        """Record a link setting that must wait. It is kept apart, because nothing else of the PF waits for it."""
        self.blocked_links.append(replace(_blocked(device, reason, text, holders), only_links=True))

    def _modules(self) -> list[Step]:
        missing = sorted(self.loading - set(self.inventory.drivers))
        return [LoadModule(pf=self.wanted.address, module=driver) for driver in missing]

    def _holders(self, function: Function) -> list[Holder]:
        """Return the holders of the function and, if it is on vfio, of its group's members on vfio drivers."""
        group = self.inventory.group(function.iommu_group) if function.vfio_bound else None
        siblings = {m.address for m in group.members if m.vfio_bound} if group else set()
        return [holder for address in sorted({function.address} | siblings) for holder in self.in_use.of(address)]

    def _block(
        self,
        device: PciAddress,
        reason: Reason,
        text: str,
        holders: Sequence[Holder] = (),
        displaces: Sequence[PciAddress] = (),
    ) -> None:
        self.blocked.append(replace(_blocked(device, reason, text, holders), displaces=tuple(displaces)))


def _blocked(device: PciAddress, reason: Reason, text: str, holders: Sequence[Holder]) -> Blocked:
    once = tuple(dict.fromkeys(holders))  # VFs of one IOMMU group have the same holders
    return Blocked(device=device, reason=reason, message=f"{device}: {text}", holders=once)


def _ref(pf: Pf, vf: Vf) -> FunctionRef:
    return FunctionRef(pf=pf.address, index=vf.index, address=vf.address)


def _bound_for_vfio(desired: Desired, inventory: Inventory) -> set[PciAddress]:
    """Return the functions that will be on a vfio driver and so do not spoil their group."""
    found = {pf.address for pf in desired.pfs if pf.own and pf.own.policy and pf.own.driver != KERNEL_DRIVER}
    for wanted in desired.pfs:
        pf = inventory.pf(wanted.address)
        for vf in wanted.vfs:
            there = pf.vf(vf.index) if pf else None
            if there is not None and vf.policy is not None and vf.driver not in (None, KERNEL_DRIVER):
                found.add(there.address)
    return found

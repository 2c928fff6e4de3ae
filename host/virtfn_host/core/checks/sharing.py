"""withheld(offers, ...) -> reasons: of each IOMMU group one function is on offer, and to one pod only. Pure.

vfio hands out whole groups: a pod that opens one function of a group has all of them, and a second pod finds the group
busy. So of functions that share a group one is offered, whatever pools they are in, and the others are withheld with
the reason. Which one must not change without need: a pod may get a function while this is decided. In order: one that
is held, one that can be used, one that was offered before, the lowest address.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from virtfn_host.core.checks.usable import Hindrance
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.holders import Holder, holder_text
from virtfn_host.core.values.model import Function, InUse, Inventory
from virtfn_host.core.values.reasons import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A function on offer, before its group is looked at."""

    function: Function
    resource_name: str
    healthy: bool
    served: bool
    """Whether it was offered as healthy until now."""


def withheld(offers: Iterable[Offer], inventory: Inventory, in_use: InUse) -> Mapping[PciAddress, Hindrance]:
    """Return the functions that no new pod may get because of others in their IOMMU group."""
    return dict(_withheld(_by_group(offers), inventory, in_use))


def _withheld(
    groups: Mapping[int, list[Offer]], inventory: Inventory, in_use: InUse
) -> Iterator[tuple[PciAddress, Hindrance]]:
    for number, offers in groups.items():
        chosen = min(offers, key=lambda offer: _rank(offer, in_use))
        for offer in offers:
            if offer is not chosen:
                yield offer.function.address, _shares(number, chosen)
        if not _own(chosen.function.address, in_use) and (user := _outsider(number, offers, inventory, in_use)):
            yield chosen.function.address, _used(number, *user)


def _by_group(offers: Iterable[Offer]) -> dict[int, list[Offer]]:
    found: dict[int, list[Offer]] = defaultdict(list)
    for offer in offers:
        if offer.function.vfio_bound and offer.function.iommu_group is not None:
            found[offer.function.iommu_group].append(offer)
    return found


def _rank(offer: Offer, in_use: InUse) -> tuple[bool, bool, bool, PciAddress]:
    address = offer.function.address
    return not _own(address, in_use), not offer.healthy, not offer.served, address


def _own(address: PciAddress, in_use: InUse) -> tuple[Holder, ...]:
    """The known holders of the function itself, without those of other members of its group."""
    return tuple(holder for holder in in_use.of(address) if holder.member is None and not holder.unknown)


def _outsider(
    number: int, offers: list[Offer], inventory: Inventory, in_use: InUse
) -> tuple[PciAddress, Holder] | None:
    """A member of the group that is on vfio, on offer in no pool, and in use; and what uses it."""
    group = inventory.group(number)
    ours = {offer.function.address for offer in offers}
    for member in () if group is None else group.members:
        if member.vfio_bound and member.address not in ours and (found := _own(member.address, in_use)):
            return member.address, found[0]
    return None


def _shares(number: int, chosen: Offer) -> Hindrance:
    text = f"shares IOMMU group {number} with {chosen.function.address}, which {chosen.resource_name} offers"
    remedy = "VFIO hands out a group as a whole, to one pod: a slot with ACS gives each function its own group"
    return Hindrance(reason=Reason.NOT_USABLE, message=text, remedy=remedy)


def _used(number: int, member: PciAddress, holder: Holder) -> Hindrance:
    text = f"is in IOMMU group {number}, which is in use through {member} ({holder_text(holder)})"
    return Hindrance(reason=Reason.VFS_IN_USE, message=text, remedy="end that use, or take that function off vfio")

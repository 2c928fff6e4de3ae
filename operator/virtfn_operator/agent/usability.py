"""What the status says of functions that no new pod gets, and notes on those that pods do get. Pure."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from virtfn_host.core.checks.healthy import link_trouble
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import DesiredPf
from virtfn_host.core.values.model import Function, Inventory
from virtfn_host.core.values.offered import DevicePool, PoolDevice, PoolSet
from virtfn_host.core.values.reasons import Reason
from virtfn_operator.api.conditions import Condition
from virtfn_operator.api.node_status import PoolStatus, WithheldStatus

NAMED = 8
"""Addresses of withheld functions with one reason."""

ENTRIES = 48
"""Entries for all pools together, so that the status of a node with 2,048 VFs stays below 64 KiB. Each pool has one,
even if that makes more."""

UNSAFE = (
    "UNSAFE: vfio hands it out without an IOMMU (allowUnsafeNoIommu), so a pod with it can read and write all memory "
    "of this machine"
)


def pool_statuses(
    published: PoolSet, held: Collection[PciAddress], offered: Mapping[str, int]
) -> tuple[PoolStatus, ...]:
    """Return the pools of a status, each with the functions that no new pod gets, and why.

    Args:
        offered: how many functions the kubelet offers of each resource name, as far as it has answered.
    """
    every = [_withheld(pool) for pool in published.pools]
    return tuple(
        PoolStatus(
            resource_name=pool.resource_name,
            capacity=len(pool.devices),
            healthy=sum(device.healthy for device in pool.devices),
            offered=offered.get(pool.resource_name),
            in_use=sum(device.address in held for device in pool.devices),
            withheld=_cut(withheld, number),
        )
        for pool, withheld, number in zip(published.pools, every, _shares(list(map(len, every))), strict=True)
    )


def _shares(asked: list[int]) -> list[int]:
    """Return how many entries each pool gets: equally many, but none more than it has; the first get what is left."""
    shares = [min(number, 1) for number in asked]
    while (left := ENTRIES - sum(shares)) > 0 and (more := [n for n, has in enumerate(asked) if has > shares[n]]):
        for n in more[:left]:
            shares[n] += 1
    return shares


def _cut(entries: tuple[WithheldStatus, ...], number: int) -> tuple[WithheldStatus, ...]:
    """Return the first entries; the message of the last one says what is left out."""
    if not (rest := entries[number:]):
        return entries
    last, many = entries[number - 1], sum(entry.number for entry in rest)
    text = f"{last.message} (not listed: {many} more of this pool, for {len(rest)} other causes)"
    return (*entries[: number - 1], replace(last, message=text))


def _withheld(pool: DevicePool) -> tuple[WithheldStatus, ...]:
    alike: dict[tuple[Reason, str], list[PoolDevice]] = defaultdict(list)
    for device in pool.devices:
        if not device.healthy:
            alike[device.reason or Reason.UNREADABLE, device.message or ""].append(device)
    return tuple(
        WithheldStatus(
            devices=tuple(str(device.address) for device in devices[:NAMED]),
            number=len(devices),
            reason=reason,
            message=message,
        )
        for (reason, message), devices in alike.items()
    )


def with_withheld(verdict: Condition, pools: Sequence[PoolStatus]) -> Condition:
    """Return the Ready condition; where all is as asked it says, too, what is withheld for good."""
    found = [entry for pool in pools for entry in pool.withheld if entry.reason == Reason.NOT_USABLE]
    if verdict.reason != Reason.CONVERGED or not found:
        return verdict
    number, first = sum(entry.number for entry in found), found[0]
    text = f"{number} of the functions in pools are withheld (status.pools): {first.devices[0]} {first.message}"
    return replace(verdict, message=f"{verdict.message}; {text}")


def without_empty(status: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON of a status without `withheld` and `notes` where there is nothing to say."""
    for name, told in (("pools", "withheld"), ("functions", "notes")):
        status[name] = [{key: value for key, value in it.items() if key != told or value} for it in status[name]]
    return status


def notes(function: Function, wanted: DesiredPf | None, inventory: Inventory) -> tuple[str, ...]:
    """Return what should be known of a function that a policy claims, and of its VFs, and hinders nothing."""
    if wanted is None or wanted.given_back:
        return ()
    found = [UNSAFE] if any(inventory.unprotected(member) for member in function.family) else []
    if (trouble := link_trouble(function)) is not None:
        found.append(f"{'its VFs have' if function.num_vfs else 'it has'} no link: {'; '.join(trouble)}")
    return tuple(found)

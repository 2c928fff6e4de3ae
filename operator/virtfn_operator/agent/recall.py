"""What pods were offered before this process started, read from the node's status. Pure.

A restarted agent may find no pool file. The status is not trusted, because another program may have written it: an
entry that cannot be read is skipped, a function belongs to the first pool that names it, and the work is bounded by
the number of functions of the machine.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from virtfn_host.core.turn.pools import asked_of, claims_on
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import Desired, DesiredFunction, NodeConfig, PoolRequest, WholeRequest
from virtfn_host.core.values.fields import PolicyError, shown
from virtfn_host.core.values.indexes import read_indexes
from virtfn_host.core.values.model import Function, Inventory, Vf, vfs_of
from virtfn_host.core.values.offered import DevicePool, PoolDevice, PoolSet, offer, with_reason
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.resource_names import resource_name
from virtfn_operator.api.foreign import entries, text
from virtfn_operator.api.node_state import not_understood

TEXT_LIMIT, RANGE_LIMIT = 16384, 8192
"""Characters and ranges of a run's indexes: the schema's bound, and one range for every second VF of a PF."""

DRIVER_LIMIT = 128

FILE_GONE = "was on offer before the agent was started anew; the pool file, which said what its containers get, is gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """What pods were offered, and the entries that could not be read."""

    pools: PoolSet | None
    """None where the status is of another boot or has no functions."""
    unread: tuple[str, ...] = ()


@dataclass(slots=True)
class _Offers:
    pools: dict[str, list[PoolDevice]] = field(default_factory=lambda: defaultdict(list))
    unread: list[str] = field(default_factory=list)

    def add(self, pool: object, function: Function, driver: object) -> None:
        """Add a function to a pool; raise PolicyError for an invalid pool name."""
        self.pools[resource_name(pool, "pool")].append(offer(function, text(driver, DRIVER_LIMIT)))


def recalled(old: Mapping[str, Any], inventory: Inventory) -> Recalled:
    """Read from a status what was published."""
    if why := not_understood(old):
        return Recalled(pools=None, unread=(why,))
    functions = entries(old.get("functions"), 2 * len(inventory.functions) + 64)
    if old.get("bootId") != inventory.boot_id or not functions:
        return Recalled(pools=None)
    there = {str(pf.address): pf for pf in inventory.functions}
    offers = _Offers()
    for function in functions:
        pf = there.pop(text(function.get("address")), None)  # the first entry of a function counts
        if pf is not None:
            _function(pf, function, offers)
    pools = (
        DevicePool(resource_name=name, devices=tuple(sorted(devices, key=lambda d: d.address)))
        for name, devices in sorted(offers.pools.items())
    )
    return Recalled(pools=PoolSet(boot_id=inventory.boot_id, pools=tuple(pools)), unread=tuple(offers.unread))


def unsure(pools: PoolSet, config: NodeConfig, desired: Desired, inventory: Inventory) -> PoolSet:
    """Return recalled pools to decide by. The status says neither how a function was on offer nor what its containers
    got: that is taken from the policies that ask for the pool now, and is unknown where none does. Nor does it say what
    was asked of the function itself: that is taken from its claim. Without one it is unknown if its pool asks for some.
    """
    requests = [(policy, one) for policy in config.policies for one in (*policy.pools, policy.whole) if one is not None]
    asked = {one.resource_name for _, one in requests}
    strict = {one.resource_name for policy, one in requests if policy.mtu is not None or _asks_more(one)}
    claims = {
        function.address: claim
        for pf in inventory.functions
        for function, claim in claims_on(pf, desired.pf(pf.address))
        if claim is not None
    }
    return replace(
        pools,
        pools=tuple(_unsure(pool, desired, claims, known=pool.resource_name in asked - strict) for pool in pools.pools),
    )


def _unsure(
    pool: DevicePool, desired: Desired, claims: Mapping[PciAddress, DesiredFunction], *, known: bool
) -> DevicePool:
    def as_asked(device: PoolDevice) -> PoolDevice:
        claim = claims.get(device.address)
        if claim is not None and claim.resource_name == pool.resource_name:
            return with_reason(replace(device, **asked_of(claim)), Reason.UNREADABLE, FILE_GONE)
        return with_reason(device, Reason.UNREADABLE if known else Reason.POOL_FILE_UNREADABLE, FILE_GONE)

    return replace(
        pool,
        devices=tuple(map(as_asked, pool.devices)),
        choice=desired.choices.get(pool.resource_name, pool.choice),
        extras=desired.extras.get(pool.resource_name, pool.extras),
    )


def _asks_more(request: PoolRequest | WholeRequest) -> bool:
    return request.require_link or (isinstance(request, PoolRequest) and request.link is not None)


def _function(pf: Function, function: Mapping[str, Any], offers: _Offers) -> None:
    if function.get("pool"):
        try:
            offers.add(function["pool"], pf, function.get("driver"))
        except PolicyError as error:
            offers.unread.append(f"{pf.address}: {error}")
    vfs = {vf.index: vf for vf in vfs_of(pf)}
    for run in entries(function.get("vfs"), len(vfs)):
        if not run.get("pool"):
            continue
        try:
            name = resource_name(run["pool"], "pool")
            for vf in _taken(run.get("indexes"), vfs):
                offers.add(name, vf, run.get("driver"))
        except PolicyError as error:
            offers.unread.append(f"{pf.address}: VFs {shown(run.get('indexes'))}: {error}")


def _taken(indexes: object, vfs: dict[int, Vf]) -> list[Vf]:
    """The VFs that this run names and no earlier run did."""
    left, found = sorted(vfs), []
    for first, last in read_indexes(indexes, text_limit=TEXT_LIMIT, range_limit=RANGE_LIMIT).ranges:
        found += [vfs.pop(index) for index in left[bisect_left(left, first) : bisect_left(left, last + 1)]]
    return found

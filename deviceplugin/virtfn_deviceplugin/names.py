"""Chooses the pools of the pool file that may be served. Pure.

Another process writes the pool file. A pool is refused, and the others are served, if the kubelet would refuse its
name, if the name's domain is not allowed, or if the name gives the same environment variables as another pool's name. A
pool with a function of another pool is refused, too: the kubelet would take it for two devices and give it to two pods.
So is one that asks for CDI where there is no folder for specs: each of its pods would fail.
"""

from collections.abc import Iterable, Set
from dataclasses import dataclass, replace

from virtfn_deviceplugin.grant.cdi import NO_FOLDER
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.fields import PolicyError, shown
from virtfn_host.core.values.offered import MOST_POOLS, DevicePool, PoolSet
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.resource_names import Domains, environment_keys, resource_name


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedPool:
    """A pool that is not served, with the reason."""

    resource_name: str
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The pools to serve, and the refused ones."""

    pools: PoolSet
    refused: tuple[RefusedPool, ...]


def chosen(published: PoolSet, serving: Set[str], domains: Domains | None, *, cdi: bool) -> Chosen:
    """Decide pool by pool.

    Args:
        serving: names that are served now; a new pool cannot displace them.
        domains: domains of names that are allowed beside virtfn.dev; None: all.
        cdi: whether there is a folder for CDI specs.
    """
    taken: dict[str, str] = {}
    owners: dict[PciAddress, str] = {}
    good: list[DevicePool] = []
    refused: list[RefusedPool] = []
    for pool in sorted(published.pools, key=lambda p: (p.resource_name not in serving, p.resource_name)):
        trouble = _trouble(pool.resource_name, taken, domains, len(good)) or _shared(pool, owners)
        if trouble is None and pool.extras.cdi is not None and not cdi:
            trouble = _no_folder(pool.resource_name)
        if trouble is None:
            good.append(pool)
            taken |= dict.fromkeys(environment_keys(pool.resource_name), pool.resource_name)
            owners |= dict.fromkeys((device.address for device in pool.devices), pool.resource_name)
        else:
            refused.append(trouble)
    pools = tuple(sorted(good, key=lambda pool: pool.resource_name))
    return Chosen(pools=replace(published, pools=pools), refused=tuple(refused))


def _trouble(name: str, taken: dict[str, str], domains: Domains | None, served: int) -> RefusedPool | None:
    try:
        full = resource_name(name, "resource name", domains)
    except PolicyError as error:
        return RefusedPool(resource_name=name, reason=Reason.INVALID_POLICY, message=f"not served: {error}")
    if full != name:
        text = f"not served: {shown(name)} has no domain"
        return RefusedPool(resource_name=name, reason=Reason.INVALID_POLICY, message=text)
    if (other := _first(taken, environment_keys(name))) is not None:
        text = f"{name} is not served: {_clash(name, other)}; rename one of the two"
        return RefusedPool(resource_name=name, reason=Reason.NAME_TAKEN, message=text)
    if served >= MOST_POOLS:
        text = f"{name} is not served: only {MOST_POOLS} pools can be"
        return RefusedPool(resource_name=name, reason=Reason.TOO_LARGE, message=text)
    return None


def _shared(pool: DevicePool, owners: dict[PciAddress, str]) -> RefusedPool | None:
    name = pool.resource_name
    address = next((device.address for device in pool.devices if device.address in owners), None)
    if address is None:
        return None
    text = f"{name} is not served: {owners[address]} has {address}, too, so two pods could get it"
    return RefusedPool(resource_name=name, reason=Reason.FUNCTION_TAKEN, message=text)


def _no_folder(name: str) -> RefusedPool:
    text = f"{name} is not served: {NO_FOLDER}"
    return RefusedPool(resource_name=name, reason=Reason.INVALID_POLICY, message=text)


def _first(taken: dict[str, str], keys: Iterable[str]) -> str | None:
    return next((taken[key] for key in keys if key in taken), None)


def _clash(name: str, other: str) -> str:
    if name == other:
        return "the pool file has this name twice"
    return f"it has the same name as {other} in a container's environment"

"""Decides what the containers of one request get: everything that they ask for, or a refusal. Pure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from virtfn_deviceplugin.grant import cdi
from virtfn_deviceplugin.grant.device_info import device_info
from virtfn_deviceplugin.grant.environment import environment
from virtfn_deviceplugin.grant.offer import PoolOffer
from virtfn_deviceplugin.grant.shown import GrantedFunction, Shown, not_as_promised
from virtfn_host.core.checks.beside import paths_beside
from virtfn_host.core.checks.vfio_nodes import in_container
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.offered import DevicePool, PoolDevice
from virtfn_host.core.values.rdma import nodes_of
from virtfn_host.core.values.strict_json import clipped

PERMISSIONS = "mrw"
_LONGEST = 120
"""Most characters of a request that are repeated in a message: a few addresses."""


class AllocateRefusedError(Exception):
    """The plugin refuses a request of the kubelet; the message names the function and the cause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceNode:
    """A device node of the host, and its path in the container."""

    host_path: str
    container_path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """What one container gets of one resource."""

    resource_name: str
    functions: tuple[GrantedFunction, ...]
    """By address."""
    environment: dict[str, str]
    beside: tuple[str, ...] = ()
    """Device nodes that are not of one function."""
    by_cdi: bool = False
    """Whether the container runtime finds the nodes by CDI specs."""

    @property
    def addresses(self) -> tuple[PciAddress, ...]:
        """The addresses of its functions."""
        return tuple(function.address for function in self.functions)

    @property
    def nodes(self) -> tuple[DeviceNode, ...]:
        """The device nodes of its functions, each once, and those beside; none where CDI specs have them."""
        if self.by_cdi:
            return ()
        own = dict.fromkeys(path for function in self.functions for path in function.nodes)
        paths = (*own, *self.beside)
        return tuple(DeviceNode(host_path=path, container_path=in_container(path)) for path in paths)

    @property
    def cdi_names(self) -> tuple[str, ...]:
        """The names by which the container runtime finds the nodes."""
        return cdi.names(function.address for function in self.functions if function.specs)

    @property
    def annotations(self) -> dict[str, str]:
        """The same names for older container runtimes."""
        return cdi.annotation(self.resource_name, self.cdi_names)


def grant_all(
    offer: PoolOffer, containers: Sequence[Sequence[str]], shown: Callable[[PciAddress], Shown]
) -> tuple[Granted, ...]:
    """Decide a whole request, which may be for several containers. If one of them is refused, all are refused.

    Raises:
        AllocateRefusedError: see `grant`; or two containers ask for the same device.
    """
    seen: set[str] = set()
    for ids in containers:
        if twice := seen.intersection(ids):
            text = f"two containers of one request ask for {_short(min(twice))}"
            raise AllocateRefusedError(f"{offer.pool.resource_name}: {text}")
        seen.update(ids)
    return tuple(grant(offer, ids, shown) for ids in containers)


def grant(offer: PoolOffer, ids: Sequence[str], shown: Callable[[PciAddress], Shown]) -> Granted:
    """Decide what a container that was given these device ids gets.

    The kubelet does not say for which pod it asks. It may ask twice for one pod before a container of the pod runs (a
    container takes over the devices of an init container). So a function that no program has open is allocated each
    time. A function that a program has open belongs to another pod: kubelets up to 1.37 may give one device to two pods
    (kubernetes#137534).

    Raises:
        AllocateRefusedError: an id is unknown, appears twice, or names a function that is unhealthy, in use, or not as
            the pool promises it.
    """
    pool = offer.pool
    if not ids:
        raise AllocateRefusedError(f"{pool.resource_name}: asked for no device at all")
    if len(set(ids)) != len(ids):
        raise AllocateRefusedError(f"{pool.resource_name}: asked for a device twice: {_short(', '.join(ids))}")
    now: dict[PciAddress, Shown] = {}
    for name in ids:
        device = _on_offer(offer, name)
        now[device.address] = shown(device.address)
        _expect_usable(pool, device, now[device.address])
    functions = tuple(_granted(pool, offer.devices[str(address)], now[address]) for address in sorted(now))
    return Granted(
        resource_name=pool.resource_name,
        functions=functions,
        environment=environment(pool.resource_name, functions, paths_beside(pool.extras)),
        beside=paths_beside(pool.extras),
        by_cdi=pool.extras.cdi is not None,
    )


def expect_on_offer(offer: PoolOffer, now: PoolOffer | None, granted: Iterable[Granted]) -> None:
    """Compare the offer by which a request was decided with the present one (`effects.py`).

    Raises:
        AllocateRefusedError: a function was withdrawn meanwhile, or is offered otherwise.
    """
    name = offer.pool.resource_name
    if now is None:
        raise AllocateRefusedError(f"{name} is withdrawn: it is not on offer any more")
    for address in (address for one in granted for address in one.addresses):
        if _on_offer(now, str(address)) != offer.devices[str(address)]:
            text = f"{address} of {name} is withdrawn: it was changed while it was handed out"
            raise AllocateRefusedError(f"{text}; delete the pod that was refused, its owner makes another one")


def _on_offer(offer: PoolOffer, name: str) -> PoolDevice:
    """Return the device with this id of the kubelet; refuse one that is not on offer."""
    pool, device = offer.pool, offer.devices.get(name)
    if device is None:
        raise AllocateRefusedError(f"{_short(name)} is not in {pool.resource_name}")
    if not device.healthy:
        why = f": {device.message}" if device.message else ""
        text = f"is withdrawn: {device.reason or 'unhealthy'}{why}"
        raise AllocateRefusedError(f"{name} of {pool.resource_name} {text}")
    return device


def _granted(pool: DevicePool, device: PoolDevice, now: Shown) -> GrantedFunction:
    asked, paths = pool.extras.cdi, (*now.paths, *nodes_of(now.rdma), *paths_beside(pool.extras))
    return GrantedFunction(
        address=device.address,
        driver=now.driver or "",
        paths=now.paths,
        rdma=now.rdma,
        device_info=device_info(pool, device) if now.network else None,
        specs=() if asked is None else cdi.specs(pool.resource_name, device.address, paths, asked),
    )


def _expect_usable(pool: DevicePool, device: PoolDevice, found: Shown) -> None:
    name = f"{device.address} of {pool.resource_name}"
    if pool.extras.rdma and not device.rdma:
        raise AllocateRefusedError(f"{name} has no RDMA device, which grant.rdma asks for")
    if text := not_as_promised(device, found):
        raise AllocateRefusedError(f"{name} {text}")
    if (member := found.open_member) is not None:
        who = "it" if member == device.address else f"{member} of its IOMMU group"
        text = f"{name} is in use: a program on this node has {who} open, so another pod has it already"
        raise AllocateRefusedError(f"{text}; delete the pod that was refused, its owner makes another one")
    if found.lately is not None:
        text = f"{name} shares its IOMMU group with {found.lately}, which another pod was given just now"
        raise AllocateRefusedError(f"{text}; delete the pod that was refused, its owner makes another one")


def _short(asked: str) -> str:
    """Shorten part of a request for a message: a request may be 4 MiB long, and may contain any characters."""
    return asked if len(asked) <= _LONGEST and asked.isprintable() else clipped(asked)

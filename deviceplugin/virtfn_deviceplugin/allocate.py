"""(pool, device ids, what sysfs shows) -> what containers get; all of it or a refusal, never a part. Pure.

The environment's names are those that the field's software reads; the kubelet keeps the first of two equal names within
a container, so each carries its resource.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from virtfn_deviceplugin.functions import Shown, as_promised
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.offered import DevicePool, PoolDevice
from virtfn_host.core.values.strict_json import clipped

PERMISSIONS = "mrw"
VFIO_CONTAINER = "/dev/vfio/vfio"
IOMMUFD = "/dev/iommu"
_LONGEST = 120
"""Characters of what is told as it was asked for: a few addresses."""


class AllocateRefusedError(Exception):
    """The kubelet asked for something that cannot be given; the message names the function and the cause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceNode:
    """A device node of the host, and where the container finds it."""

    host_path: str
    container_path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerAnswer:
    """What one container gets."""

    addresses: tuple[PciAddress, ...]
    nodes: tuple[DeviceNode, ...]
    environment: dict[str, str]


def allocate_all(
    pool: DevicePool, containers: Sequence[Sequence[str]], shown: Callable[[PciAddress], Shown]
) -> tuple[ContainerAnswer, ...]:
    """Decide a whole request, which may be for several containers: one that cannot be served refuses all of it.

    Raises:
        AllocateRefusedError: as `allocate`, or two containers ask for the same device.
    """
    seen: set[str] = set()
    for ids in containers:
        if twice := seen.intersection(ids):
            text = f"two containers of one request ask for {_short(min(twice))}"
            raise AllocateRefusedError(f"{pool.resource_name}: {text}")
        seen.update(ids)
    return tuple(allocate(pool, ids, shown) for ids in containers)


def allocate(pool: DevicePool, ids: Sequence[str], shown: Callable[[PciAddress], Shown]) -> ContainerAnswer:
    """Decide what a container that was given these device ids gets.

    The kubelet does not say which pod asks. It asks again for the same pod before a container of it runs (a container
    that takes over what an init container had), so a function that nobody has open is answered each time. One that a
    program has open is some other pod's: kubelets up to 1.37 may give one device to two pods (kubernetes#137534).

    Raises:
        AllocateRefusedError: an id is unknown, twice there, unhealthy, in use, or not as the pool promises it.
    """
    if not ids:
        raise AllocateRefusedError(f"{pool.resource_name}: asked for no device at all")
    if len(set(ids)) != len(ids):
        raise AllocateRefusedError(f"{pool.resource_name}: asked for a device twice: {_short(', '.join(ids))}")
    devices = {str(device.address): device for device in pool.devices}
    now: dict[PciAddress, Shown] = {}
    for name in ids:
        device = devices.get(name)
        if device is None:
            raise AllocateRefusedError(f"{_short(name)} is not in {pool.resource_name}")
        if not device.healthy:
            raise AllocateRefusedError(f"{name} of {pool.resource_name} is withdrawn: {device.reason or 'unhealthy'}")
        now[device.address] = shown(device.address)
        _expect_usable(pool.resource_name, device, now[device.address])
    addresses = tuple(sorted(now))
    return ContainerAnswer(
        addresses=addresses,
        nodes=nodes([now[address] for address in addresses]),
        environment=_environment(pool.resource_name, addresses, now),
    )


def _expect_usable(resource_name: str, device: PoolDevice, found: Shown) -> None:
    name = f"{device.address} of {resource_name}"
    if not as_promised(device, found):
        missing = f" and has {found.lacks}" if found.lacks else ""
        text = f"{name} should be on {device.driver}, but it is on {found.driver or 'no driver'}{missing}"
        raise AllocateRefusedError(text)
    if (member := found.open_member) is not None:
        who = "it" if member == device.address else f"{member} of its IOMMU group"
        text = f"{name} is in use: a program on this node has {who} open, so another pod has it already"
        raise AllocateRefusedError(f"{text}; delete the pod that was refused, its owner makes another one")


def _short(asked: str) -> str:
    """A request may have 4 MiB of anything, and what is refused is logged and told to the kubelet."""
    return asked if len(asked) <= _LONGEST and asked.isprintable() else clipped(asked)


def nodes(functions: Sequence[Shown]) -> tuple[DeviceNode, ...]:
    """The device nodes of these functions, each once."""
    found = []
    for function in functions:
        if not function.vfio_bound:
            continue
        if function.group_node is not None:
            found += [DeviceNode(host_path=VFIO_CONTAINER, container_path=VFIO_CONTAINER), _group_node(function)]
        else:
            cdev = f"/dev/vfio/devices/{function.cdev}"
            found += [DeviceNode(host_path=IOMMUFD, container_path=IOMMUFD)]
            found += [DeviceNode(host_path=cdev, container_path=cdev)]
    return tuple(dict.fromkeys(found))


def _group_node(function: Shown) -> DeviceNode:
    """Without an IOMMU the host's node is noiommu-N; software in the container looks for N."""
    name = PurePath(function.group_node or "").name
    return DeviceNode(host_path=f"/dev/vfio/{name}", container_path=f"/dev/vfio/{name.removeprefix('noiommu-')}")


def _environment(resource_name: str, addresses: Sequence[PciAddress], now: dict[PciAddress, Shown]) -> dict[str, str]:
    domain, _, name = resource_name.partition("/")
    key = f"{domain}_{name}".upper().replace(".", "_")
    listed = ",".join(str(address) for address in addresses)
    info = json.dumps({str(address): _info(address, now[address]) for address in addresses}, separators=(",", ":"))
    values = {f"PCIDEVICE_{key}": listed, f"PCIDEVICE_{key}_INFO": info, f"PCI_RESOURCE_{key}": listed}
    # A shell cannot read a name with a dash: the same values under names that it can.
    return values | {re.sub(r"[^A-Z0-9_]", "_", name): value for name, value in values.items()}


def _info(address: PciAddress, function: Shown) -> dict[str, dict[str, str]]:
    info = {"generic": {"deviceID": str(address)}}
    if function.vfio_bound and function.group_node is not None:
        info["vfio"] = {"mount": VFIO_CONTAINER, "dev-mount": _group_node(function).container_path}
    elif function.vfio_bound:
        info["vfio"] = {"mount": IOMMUFD, "dev-mount": f"/dev/vfio/devices/{function.cdev}"}
    return info

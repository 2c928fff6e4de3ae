"""Decides what the containers of one Allocate request get: everything that they ask for, or a refusal. Pure.

The environment variables have the names that SR-IOV software reads. The kubelet keeps only the first of two equal names
in a container, so each name contains its resource name.
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
"""Most characters of a request that are repeated in a message: a few addresses."""


class AllocateRefusedError(Exception):
    """The plugin refuses a request of the kubelet; the message names the function and the cause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceNode:
    """A device node of the host, and its path in the container."""

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
    """Decide a whole request, which may be for several containers. If one of them is refused, all are refused.

    Raises:
        AllocateRefusedError: see `allocate`; or two containers ask for the same device.
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

    The kubelet does not say for which pod it asks. It may ask twice for one pod before a container of the pod runs (a
    container takes over the devices of an init container). So a function that no program has open is allocated each
    time. A function that a program has open belongs to another pod: kubelets up to 1.37 may give one device to two pods
    (kubernetes#137534).

    Raises:
        AllocateRefusedError: an id is unknown, appears twice, or names a function that is unhealthy, in use, or not as
            the pool promises it.
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
    """Shorten part of a request for a message: a request may be 4 MiB long, and may contain any characters."""
    return asked if len(asked) <= _LONGEST and asked.isprintable() else clipped(asked)


def nodes(functions: Sequence[Shown]) -> tuple[DeviceNode, ...]:
    """Return the device nodes of these functions, each once."""
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
    """Return a group's node. Without an IOMMU it is noiommu-N on the host; software in the container looks for N."""
    name = PurePath(function.group_node or "").name
    return DeviceNode(host_path=f"/dev/vfio/{name}", container_path=f"/dev/vfio/{name.removeprefix('noiommu-')}")


def _environment(resource_name: str, addresses: Sequence[PciAddress], now: dict[PciAddress, Shown]) -> dict[str, str]:
    domain, _, name = resource_name.partition("/")
    key = f"{domain}_{name}".upper().replace(".", "_")
    listed = ",".join(str(address) for address in addresses)
    info = json.dumps({str(address): _info(address, now[address]) for address in addresses}, separators=(",", ":"))
    values = {f"PCIDEVICE_{key}": listed, f"PCIDEVICE_{key}_INFO": info, f"PCI_RESOURCE_{key}": listed}
    # A shell cannot read a name with a dash, so each value is also there under a name without one.
    return values | {re.sub(r"[^A-Z0-9_]", "_", name): value for name, value in values.items()}


def _info(address: PciAddress, function: Shown) -> dict[str, dict[str, str]]:
    info = {"generic": {"deviceID": str(address)}}
    if function.vfio_bound and function.group_node is not None:
        info["vfio"] = {"mount": VFIO_CONTAINER, "dev-mount": _group_node(function).container_path}
    elif function.vfio_bound:
        info["vfio"] = {"mount": IOMMUFD, "dev-mount": f"/dev/vfio/devices/{function.cdev}"}
    return info

"""The functions that pods are offered (PoolSet) and those allocated lately (Ledger). Agent and device plugin exchange
both as files. The plugin also writes how each resource stands with the kubelet (Registrations), and for itself the
device nodes that containers were given (Grants).

Frozen values only; `pools.py` decides, `linux/poolfile.py` reads and writes the files.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.choice import ANY, Choice
from virtfn_host.core.values.codec import SPARSE
from virtfn_host.core.values.envelope import NEEDED
from virtfn_host.core.values.extras import NOTHING, Extras
from virtfn_host.core.values.model import Function, Vf, VfLink
from virtfn_host.core.values.names import AtMost, Mtu, ShownName, shown_name
from virtfn_host.core.values.rdma import RdmaDevice
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import shortened

MOST_RDMA = 64
"""Most RDMA devices of one function; a card has one, or one for each port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolDevice:
    """One function on offer. `healthy` False withdraws it from new pods and does not disturb running ones."""

    address: PciAddress
    driver: str
    numa_node: int | None
    healthy: bool
    reason: Reason | None
    """Why the function is not healthy; None: it is healthy."""
    message: str | None = None
    """That reason in a sentence, without a subject; None: the reason says it all."""
    no_iommu: bool = False
    """Whether its policy accepts vfio without an IOMMU (`allowUnsafeNoIommu`)."""
    pf: PciAddress | None = field(default=None, metadata=SPARSE)
    """The PF of a VF; None: a whole function, or an earlier version wrote the file."""
    rdma: Annotated[tuple[ShownName, ...], AtMost(MOST_RDMA)] = field(default=(), metadata=SPARSE)
    """Names of its RDMA devices, where its pool gives them."""
    require_link: bool = field(default=False, metadata=SPARSE)
    """This field and those below: what its policy asks of it, as in `DesiredVf`. While an edit of the policy waits, the
    policy as it was is known only from here."""
    link: VfLink | None = field(default=None, metadata=SPARSE)
    mtu: Mtu | None = field(default=None, metadata=SPARSE)


def offer(function: Function, driver: str, reason: Reason | None = None, message: str | None = None) -> PoolDevice:
    """A function as pods are offered it: on this driver, and healthy unless there is a reason."""
    return PoolDevice(
        address=function.address,
        driver=driver,
        numa_node=function.numa_node,
        healthy=reason is None,
        reason=reason,
        message=None if message is None else _one_line(message),
        pf=function.pf if isinstance(function, Vf) else None,
    )


def with_reason(device: PoolDevice, reason: Reason, message: str) -> PoolDevice:
    """A device that is withheld for this reason."""
    return replace(device, healthy=False, reason=reason, message=_one_line(message))


def _is_one_line(message: str) -> bool:
    return len(message) <= 2 * MOST_MESSAGE and message.isprintable()


def _one_line(message: str) -> str:
    return shortened("".join(letter if letter.isprintable() else " " for letter in message), MOST_MESSAGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicePool:
    """All functions offered under one resource name."""

    resource_name: str
    devices: tuple[PoolDevice, ...]
    choice: Choice = field(default=ANY, metadata=SPARSE)
    extras: Extras = field(default=NOTHING, metadata=SPARSE)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSet:
    """The whole pool file: everything that this node offers, and the boot for which it is valid."""

    boot_id: str
    pools: tuple[DevicePool, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """An entry of the device plugin's ledger: a function that the kubelet allocated to a pod."""

    address: PciAddress
    resource_name: str
    at: float
    """Seconds since boot, because the time of day may be set back and forth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Recent allocations by the device plugin: they count until the kubelet lists the pod."""

    boot_id: str
    allocations: tuple[Allocation, ...]
    lost_at: float | None = field(default=None, metadata=NEEDED)
    """When an earlier ledger was found unreadable or missing, in seconds since boot. Allocations before that may be
    missing here. None: no ledger was lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """A record that is appended to the ledger: the allocations of requests that came together."""

    follows: str
    """The SHA-256 of the line before (`appended.py`)."""
    allocations: tuple[Allocation, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """How one resource stands with the kubelet."""

    resource_name: str
    registered: bool
    """Whether the kubelet has the list of devices."""
    since: float
    """When that began, in seconds since boot."""
    refusal: str
    """The kubelet's answer to the last failed attempt, or why the kubelet did not answer; empty: no attempt failed."""
    healthy: int | None = None
    """Number of functions that the kubelet is told to be healthy; None: a version that did not note it wrote this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registrations:
    """The registrations of all resources that the device plugin serves now, and the pools that it refuses to serve."""

    boot_id: str
    registrations: tuple[Registration, ...]
    complaint: str | None = None
    """What is wrong with the pool file; None: nothing is."""
    at: float | None = None
    """When this was written, in seconds since boot. The plugin writes it every few seconds, so an old time shows that
    the plugin does not run. None: a version that did not note it wrote this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The device nodes that the last answer to Allocate named for a function. The kubelet gives a container the same
    nodes at each start, also after a reboot, when they may be another function's.
    """

    address: PciAddress
    resource_name: str
    driver: str
    nodes: tuple[str, ...]
    """Paths of device nodes on the host, e.g. `/dev/vfio/vfio` and `/dev/vfio/12`; empty without a vfio driver."""
    boot_id: str
    """The boot in which the function was given to a container."""
    device_info: str = field(default="", metadata=SPARSE)
    """SHA-256 of the device-info file that was written for it; empty: none was."""
    extras: Extras = field(default=NOTHING, metadata=SPARSE)
    """What the container was given beside the usual."""
    specs: bool = field(default=False, metadata=SPARSE)
    """Whether CDI specs were written for it."""
    rdma: Annotated[tuple[RdmaDevice, ...], AtMost(MOST_RDMA)] = field(default=(), metadata={**SPARSE, **NEEDED})
    """Its RDMA devices, whose nodes the container was given. Needed: a reader that did not compare them with the
    present ones would let it start with another function's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grants:
    """The last grant of each function, from this boot or an earlier one; the newest last."""

    grants: tuple[Grant, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MoreGrants:
    """A record that is appended to the grants: those of one request. They replace earlier ones of their functions."""

    follows: str
    """The SHA-256 of the line before (`appended.py`)."""
    grants: tuple[Grant, ...]
    gone: tuple[PciAddress, ...] = ()
    """Functions whose grant is taken back, because the request was refused after all."""


# --- checks of a file's values --------------------------------------------------------------------------------------

MOST_POOLS = 1024
MOST_DEVICES = 65536
"""Most devices of one node, in all its pools; the kubelet becomes slow long before."""
MOST_MESSAGE = 300
"""Most characters of a device's message. Only devices that are withheld have one."""
MOST_REFUSAL = 300
"""Most characters of a kubelet's answer, and of a complaint."""
MOST_GRANTS = 16384
"""Most grants of one node that are read; the plugin keeps fewer (`grantfile.py`)."""
MOST_NUMA_NODES = 1024
"""MAX_NUMNODES of the kernel, as the largest distributions set it."""

_NAME_LIMIT = 512
"""Characters. virtfn_deviceplugin/names.py checks the name pool by pool, so that one bad name stops no other pool."""
_BOOT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def check_pools(pools: PoolSet) -> None:
    """Check a pool file's values before they are used.

    Raises:
        ValueError: a name is not valid, a number is out of range, a device appears twice, or a list is too long.
    """
    _check_boot_id(pools.boot_id)
    if len(pools.pools) > MOST_POOLS:
        raise ValueError(f"{len(pools.pools)} pools, at most {MOST_POOLS}")
    if (count := sum(len(pool.devices) for pool in pools.pools)) > MOST_DEVICES:
        raise ValueError(f"{count} devices, at most {MOST_DEVICES}")
    for pool in pools.pools:
        _check_resource_name(pool.resource_name)
        _expect_once([device.address for device in pool.devices], f"{pool.resource_name}: device")
        for device in pool.devices:
            _check_name(device.address, device.driver, "a driver")
            for name in device.rdma:
                _check_name(device.address, name, "an RDMA device")
            if device.numa_node is not None and not 0 <= device.numa_node < MOST_NUMA_NODES:
                raise ValueError(f"{device.address}: NUMA node {device.numa_node}, wanted 0 to {MOST_NUMA_NODES - 1}")
            if device.message is not None and not _is_one_line(device.message):
                raise ValueError(f"{device.address}: its message is too long, or not one line")


def check_ledger(ledger: Ledger) -> None:
    """Check a ledger's values before they are used.

    Raises:
        ValueError: see `check_pools`.
    """
    _check_boot_id(ledger.boot_id)
    if len(ledger.allocations) > MOST_DEVICES:
        raise ValueError(f"{len(ledger.allocations)} allocations, at most {MOST_DEVICES}")
    if ledger.lost_at is not None:
        _check_time("lostAt", ledger.lost_at)
    for entry in ledger.allocations:
        _check_resource_name(entry.resource_name)
        _check_time(f"{entry.address}:", entry.at)


def check_registrations(registrations: Registrations) -> None:
    """Check the values of registrations before they are used.

    Raises:
        ValueError: see `check_pools`.
    """
    _check_boot_id(registrations.boot_id)
    if len(registrations.registrations) > MOST_POOLS:
        raise ValueError(f"{len(registrations.registrations)} registrations, at most {MOST_POOLS}")
    _check_line(registrations.complaint or "", "the complaint")
    if registrations.at is not None:
        _check_time("at", registrations.at)
    for one in registrations.registrations:
        _check_resource_name(one.resource_name)
        _check_time(f"{one.resource_name}:", one.since)
        _check_line(one.refusal, f"{one.resource_name}: its refusal")
        if one.healthy is not None and not 0 <= one.healthy <= MOST_DEVICES:
            raise ValueError(f"{one.resource_name}: {one.healthy} healthy functions, wanted 0 to {MOST_DEVICES}")


def check_grants(grants: Grants) -> None:
    """Check the values of grants before they are used.

    Raises:
        ValueError: see `check_pools`.
    """
    if len(grants.grants) > MOST_GRANTS:
        raise ValueError(f"{len(grants.grants)} grants, at most {MOST_GRANTS}")
    _expect_once([grant.address for grant in grants.grants], "grant of")
    for grant in grants.grants:
        _check_boot_id(grant.boot_id)
        _check_resource_name(grant.resource_name)
        _check_name(grant.address, grant.driver, "a driver")
        for node in grant.nodes:
            if not _NODE.fullmatch(node):
                raise ValueError(f"{grant.address}: {node[:_SHOWN]!r} is not a device node of vfio")
        if not _DIGEST.fullmatch(grant.device_info):
            raise ValueError(f"{grant.address}: {grant.device_info[:_SHOWN]!r} is not a SHA-256")


_NODE = re.compile(r"/dev/(iommu|vfio/(vfio|(noiommu-)?[0-9]{1,10}|devices/vfio[0-9]{1,10}))")
_DIGEST = re.compile(r"([0-9a-f]{64})?")
_SHOWN = 80
_YEAR_5138 = 1e11


def _check_boot_id(boot_id: str) -> None:
    if not _BOOT_ID.fullmatch(boot_id):
        raise ValueError(f"{boot_id[:_SHOWN]!r} is not a boot id")


def _check_time(whose: str, seconds: float) -> None:
    if not 0 <= seconds < _YEAR_5138:
        raise ValueError(f"{whose} {seconds} is not a time in seconds")


def _check_name(address: PciAddress, name: str, what: str) -> None:
    if not _may_be_a_name(name):
        raise ValueError(f"{address}: {name[:_SHOWN]!r} is not the name of {what}")


def _may_be_a_name(name: str) -> bool:
    """Accept any printable file name: it is only compared with those in sysfs, where a look reads no other. A stricter
    rule once stopped the pool file of a whole node because of one function with an unusual driver.
    """
    try:
        return shown_name(name).isprintable()
    except ValueError:
        return False


def _check_resource_name(name: str) -> None:
    if len(name) > _NAME_LIMIT:
        raise ValueError(f"{name[:_SHOWN]!r}... is not a resource name: {len(name)} characters")


def _check_line(text: str, what: str) -> None:
    if len(text) > MOST_REFUSAL or not text.isprintable():
        raise ValueError(f"{what} is not one line of at most {MOST_REFUSAL} characters")


def _expect_once(things: Sequence[object], what: str) -> None:
    if len(set(things)) != len(things):
        ((twice, _),) = Counter(things).most_common(1)
        raise ValueError(f"{what} {str(twice)[:_SHOWN]} appears twice")

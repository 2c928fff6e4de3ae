"""Compares what was published with what the kubelet offers to pods. Pure: the times are arguments.

The kubelet offers what the device plugin's list names as healthy, whether a pod has it or not. So the healthy functions
of a published pool must be on offer under its name, and no other functions.

A difference is told when it has lasted for `LASTS` seconds: the plugin reads a new pool file within a second, and takes
a few seconds to register with a kubelet that was restarted, or after an upgrade. The time is counted for each function,
so a function that comes and goes does not hide one that is missing for long. It starts again with another kubelet, but
what was told already stays told until that kubelet offers it.

The scheduler sees the Node's status, which the kubelet writes every ten seconds. That is compared only where the
kubelet itself offers what was published (`offering.py` says when).
"""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime

from virtfn_host.core.values.offered import PoolSet, Registration, Registrations
from virtfn_host.core.values.resource_names import RESOURCE_DOMAIN

LASTS = 20.0
"""Seconds. With a round at least every 5 s, people are told within 30."""

SILENT = 15.0
"""Seconds after which the device plugin's own word is taken for left behind; it writes every few (`telling.py`)."""

NAMED = 3
"""Functions that a message names."""

POD = "virtfn-deviceplugin"

Since = Mapping[tuple[str, str], float]
"""By resource name and function: when the kubelet began to differ in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeletOffer:
    """What the kubelet offers to pods."""

    devices: Mapping[str, frozenset[str]]
    """By resource name, the ids of healthy devices, allocated or not."""
    kubelet: object = None
    """Which kubelet answered; another value after each restart."""

    def elsewhere(self, devices: Set[str], ours: Set[str]) -> tuple[str, str] | None:
        """Return the first of these functions that another device plugin offers, and under which resource name."""
        others = {name: ids for name, ids in self.devices.items() if name not in ours and not _of_virtfn(name)}
        return min(((device, name) for name, ids in others.items() for device in ids & devices), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginReport:
    """What the device plugin says of itself."""

    told: Registrations | None = None
    """None: it has left no file, or one that cannot be read."""
    error: str = ""
    """Why the file cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """The time of a round."""

    now: float
    """Seconds since boot."""
    booted: float = 0.0
    """Seconds from the epoch to the boot, to tell people times of the day."""

    def text(self, at: float) -> str:
        """A time since boot, for people."""
        try:
            return datetime.fromtimestamp(self.booted + at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        except (OverflowError, ValueError, OSError):
            return f"{at:.0f} s after boot"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One resource of which the kubelet does not offer what was published."""

    resource_name: str
    published: frozenset[str]
    offered: frozenset[str]

    @property
    def devices(self) -> frozenset[str]:
        """The functions that are missing, and those that are offered and should not be."""
        return self.published ^ self.offered


@dataclass(frozen=True, slots=True, kw_only=True)
class NotOffered:
    """A difference that has lasted, for people."""

    resource_name: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Offers:
    """How the published pools stand with the kubelet."""

    counts: Mapping[str, int] | None = None
    """Functions that the kubelet offers, by published resource name; None: it did not answer."""
    lasting: tuple[NotOffered, ...] = ()
    unknown: str = ""
    """Why it is not known what the kubelet offers beside that; empty: it is."""

    def of(self, names: Iterable[str]) -> NotOffered | None:
        """Return the first lasting difference of one of these resources."""
        wanted = frozenset(names)
        return next((found for found in self.lasting if found.resource_name in wanted), None)


NOT_COMPARED = Offers()


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The outcome of one comparison."""

    offers: Offers
    differences: tuple[Difference, ...] = ()
    since: Since = field(default_factory=dict)


def compared(published: PoolSet, offer: KubeletOffer, plugin: PluginReport, since: Since, clock: Clock) -> Compared:
    """Compare what was published with what the kubelet offers.

    Args:
        since: when each difference of the last comparison began.
    """
    found = differences(published, offer, plugin)
    begun = {(d.resource_name, device): clock.now for d in found for device in d.devices}
    begun |= {key: at for key, at in since.items() if key in begun}
    lasting = tuple(
        NotOffered(
            resource_name=it.resource_name,
            message=f"{it.resource_name}: {_numbers(it, offer)}; {plugin_says(it, published.boot_id, plugin, clock)}",
        )
        for it in found
        if any(clock.now - begun[it.resource_name, device] >= LASTS for device in it.devices)
    )
    counts = {pool.resource_name: len(offer.devices.get(pool.resource_name, ())) for pool in published.pools}
    return Compared(offers=Offers(counts=counts, lasting=lasting), differences=found, since=begun)


def differences(published: PoolSet, offer: KubeletOffer, plugin: PluginReport) -> tuple[Difference, ...]:
    """Return every resource that differs now, also one that is not published any more and that the plugin serves."""
    wanted = expected(published)
    found = (
        Difference(
            resource_name=name,
            published=wanted.get(name, frozenset()),
            offered=offer.devices.get(name, frozenset()),
        )
        for name in sorted(ours(published, plugin))
    )
    return tuple(difference for difference in found if difference.devices)


def ours(published: PoolSet, plugin: PluginReport) -> frozenset[str]:
    """Return the resource names that are published, or that virtfn's own device plugin serves."""
    served = plugin.told.registrations if plugin.told and plugin.told.boot_id == published.boot_id else ()
    return frozenset(pool.resource_name for pool in published.pools) | {one.resource_name for one in served}


def _of_virtfn(name: str) -> bool:
    return name.partition("/")[0] == RESOURCE_DOMAIN


def expected(published: PoolSet) -> dict[str, frozenset[str]]:
    """Return the functions that the kubelet must offer, by resource name: withdrawn ones are not among them."""
    found: dict[str, frozenset[str]] = {}
    for pool in published.pools:
        healthy = frozenset(str(device.address) for device in pool.devices if device.healthy)
        found[pool.resource_name] = found.get(pool.resource_name, frozenset()) | healthy
    return found


def not_on_the_node(published: PoolSet, shown: Mapping[str, int]) -> tuple[NotOffered, ...]:
    """Return the resources of which the Node's status has another number, although the kubelet offers them.

    Args:
        shown: allocatable of the Node; a resource that is absent has none.
    """
    return tuple(
        NotOffered(
            resource_name=name,
            message=f"{name}: published {len(devices)}, and the kubelet offers them, but the Node's status has"
            f" {shown.get(name, 0)} allocatable, and the scheduler goes by that; the kubelet writes the status every"
            " 10 s, so look at its log",
        )
        for name, devices in sorted(expected(published).items())
        if shown.get(name, 0) != len(devices)
    )


def _numbers(found: Difference, offer: KubeletOffer) -> str:
    text = f"published {len(found.published)}, the kubelet offers {len(found.offered)}"
    missing, surplus = found.published - found.offered, found.offered - found.published
    if missing and found.offered:
        text += f" ({_some(missing)} missing)"
    if surplus:
        text += f" ({_some(surplus)} withdrawn or not published)"
    others = sorted(name for name, ids in offer.devices.items() if name != found.resource_name and ids & missing)
    if others:
        text += f"; it offers some of them as {others[0]}, so another device plugin has them"
    return text


def _some(devices: frozenset[str]) -> str:
    named = sorted(devices)[:NAMED]
    more = len(devices) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


# --- what the device plugin says of itself ---------------------------------------------------------------------------


def plugin_says(found: Difference, boot_id: str, plugin: PluginReport, clock: Clock) -> str:
    """Return what the device plugin says of a resource, and the next step."""
    if plugin.error:
        return f"what the device plugin says of itself cannot be read: {plugin.error}"
    told = plugin.told
    if told is None:
        return f"the device plugin does not run on this node: it has no registrations.json; look at its {POD} pod"
    if told.boot_id != boot_id:
        text = "the device plugin has not run since this node was booted: its registrations.json is of another boot"
        return f"{text}; look at its {POD} pod"
    if told.at is not None and clock.now - told.at > SILENT:
        return f"the device plugin does not run, or hangs, since {clock.text(told.at)}; look at its {POD} pod"
    own = next((one for one in told.registrations if one.resource_name == found.resource_name), None)
    return _resource_says(found, own, clock) + (f"; it says: {told.complaint}" if told.complaint else "")


def _resource_says(found: Difference, own: Registration | None, clock: Clock) -> str:
    if own is None:
        return f"the device plugin does not serve it; look at the log of its {POD} pod"
    if not own.registered:
        text = f"the device plugin has not been registered for it since {clock.text(own.since)}"
        if own.refusal:
            return f"{text}, last refusal: {own.refusal}; it tries again by itself"
        return f"{text}; look at the log of its {POD} pod"
    text = f"the device plugin has been registered for it since {clock.text(own.since)}"
    if own.refusal:
        text += f", last refusal before that: {own.refusal}"
    if own.healthy is None:
        return f"{text}; look at the log of its {POD} pod"
    if own.healthy == len(found.published):
        return f"{text} and told the kubelet {own.healthy}; delete its {POD} pod, and restart the kubelet if this stays"
    return f"{text} and told the kubelet {own.healthy}; its log says why they are not as published"

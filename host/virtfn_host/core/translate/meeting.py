"""Whether two resources may mean the same VFs. Where that cannot be known, they may."""

from virtfn_host.core.translate.asked import Asked, Nodes, Target
from virtfn_host.core.values.desired import DeviceMatcher
from virtfn_host.core.values.indexes import Indexes, clash
from virtfn_host.core.values.link import INFINIBAND_CLASS

MELLANOX = "15b3"
"""The only vendor of InfiniBand cards (class 0207) whose VFs Linux makes: drivers mlx4_core and mlx5_core."""

COMPARED_LIMIT = 1024
"""Most matchers of one file: every pair of them is compared."""


def may_share_pf(one: Target, other: Target) -> bool:
    """Return whether a PF may fit both matchers."""
    return one.whole == other.whole and _may_fit_both(one.matcher, other.matcher) and _may_be_one_card(one, other)


def _may_be_one_card(one: Target, other: Target) -> bool:
    first, second = _cards(one), _cards(other)
    if first and second and not first & second:
        return False
    return not (_only_infiniband(one, other) or _only_infiniband(other, one))


def _only_infiniband(one: Target, other: Target) -> bool:
    """Return whether one is for InfiniBand only, and the other for cards that have none."""
    vendors = {other.matcher.vendor} - {None} or {vendor for vendor, _ in other.cards}
    return one.matcher.class_code == INFINIBAND_CLASS and bool(vendors) and MELLANOX not in vendors


def _cards(target: Target) -> frozenset[tuple[str, str]]:
    vendor, device = target.matcher.vendor, target.matcher.device
    return target.cards if vendor is None or device is None else frozenset({(vendor, device)})


def _may_fit_both(one: DeviceMatcher, other: DeviceMatcher) -> bool:
    pairs = (
        (one.vendor, other.vendor),
        (one.device, other.device),
        (one.netdev, other.netdev),
        (one.address, other.address),
    )
    if any(first is not None and second is not None and first != second for first, second in pairs):
        return False
    first, second = one.class_code or "", other.class_code or ""
    return first.startswith(second) or second.startswith(first)


def may_share_node(one: Nodes, other: Nodes) -> bool:
    """Return whether a node may be selected by both."""
    if one.names and other.names and not set(one.names) & set(other.names):
        return False
    labels = dict(one.labels)
    return all(labels.get(key, value) == value for key, value in other.labels)


def common_indexes(one: Indexes | None, other: Indexes | None) -> bool:
    """Return whether both name a VF; None names all."""
    if one is None or other is None:
        return True
    return clash(sorted((*one.ranges, *other.ranges))) is not None


def may_share_vfs(one: Asked, other: Asked) -> bool:
    """Return whether a VF may belong to both resources."""
    return may_share_node(one.nodes, other.nodes) and any(
        may_share_pf(first, second) and common_indexes(first.indexes, second.indexes)
        for first in one.targets
        for second in other.targets
    )

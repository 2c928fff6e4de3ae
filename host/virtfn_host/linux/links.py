"""Link settings of VFs on the machine: what a PF shows of its VFs, and setting one after looking.

The PF's netdev is found by sysfs, so its name is the host's; it may be in another network namespace, and then there is
none here.
"""

import errno
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from virtfn_host.core.address import PciAddress
from virtfn_host.core.links import groups_of, is_rate, link_text, mentioned
from virtfn_host.core.mac import ZERO_MAC, stable_mac
from virtfn_host.core.model import PhysicalFunction, VfLink
from virtfn_host.core.names import netdev_name
from virtfn_host.core.resolve import NETWORK_CLASS
from virtfn_host.core.steps import SetLink, patience
from virtfn_host.linux.custody import held
from virtfn_host.linux.errors import (
    HostError,
    LinkSettingRefusedError,
    NetlinkRefusedError,
    StaleSnapshotError,
    errno_text,
)
from virtfn_host.linux.expect import expect_place
from virtfn_host.linux.netlink import Netlink, PfLinks
from virtfn_host.linux.onelook import OneLook
from virtfn_host.linux.sysfs import Sysfs

CARRIER_POLL = 0.05
"""Seconds between two looks while a PF's link comes up; netlink would tell, but to whom: this process asks only."""

MADE_UP = "1"
"""NET_ADDR_RANDOM in `addr_assign_type` (<linux/netdevice.h>): the driver made the address up."""


def netdev_of(sysfs: Sysfs, pf: PciAddress) -> str | None:
    """Name of a PF's netdev in the host's network namespace, or None where it has none there."""
    name = next(iter(sysfs.names(sysfs.device(pf, "net")) or ()), None)
    return None if name is None else netdev_name(name)


def with_links(pf: PhysicalFunction, sysfs: Sysfs, netlink: Netlink) -> PhysicalFunction:
    """A PF and its VFs with what its netdev shows of them; as it is where there is no netdev.

    Raises:
        NetlinkError: there is one, and nobody can tell.
        SysfsReadError: a VF's own netdev does not read.
    """
    name = netdev_of(sysfs, pf.address)
    if name is None or not pf.class_code.startswith(NETWORK_CLASS):
        return pf
    shown = netlink.links(name)
    vfs = tuple(replace(vf, link=_administrative(sysfs, vf.address, vf.index, shown)) for vf in pf.vfs)
    return replace(pf, netdev_up=shown.up, mac=shown.mac, vfs=vfs)


def _administrative(sysfs: Sysfs, vf: PciAddress, index: int, shown: PfLinks) -> VfLink | None:
    """What the PF shows of a VF; igb shows an address that its driver made up as if one had been set (measured).

    The mark of a made-up address is not enough: igbvf makes one up when its first reset finds the PF busy, takes the
    one that was set at the next reset, and leaves the mark (measured). Ours is known by itself.
    """
    link = shown.vf(index)
    if link is None or (shown.mac is not None and link.mac == stable_mac(shown.mac, index)):
        return link
    for name in sysfs.names(sysfs.device(vf, "net")) or ():
        made_up = sysfs.read(sysfs.device(vf, "net", name, "addr_assign_type")) == MADE_UP
        if made_up and sysfs.read(sysfs.device(vf, "net", name, "address")) == link.mac:
            return replace(link, mac=ZERO_MAC)
    return link


@dataclass(frozen=True, slots=True)
class Hands:
    """What link settings are made with."""

    sysfs: Sysfs
    netlink: Netlink | None
    look: Callable[[], OneLook]
    """A new look that knows what this machine needs."""
    unwanted: Callable[[], bool]
    """Whether nobody wants to be waited for any more."""


def set_links(steps: Sequence[SetLink], hands: Hands) -> list[HostError | None]:
    """Carry out steps of one PF: look once, then set one after the other; an answer for each, in their order."""
    sysfs, netlink = hands.sysfs, hands.netlink
    pf = steps[0].function.pf
    name = netdev_of(sysfs, pf)
    if name is None or netlink is None:
        text = f"{pf} has no netdev in the host's network namespace; is it in another one?"
        return [LinkSettingRefusedError(text) for _ in steps]
    try:
        shown = netlink.links(name)
    except HostError as error:
        return [error for _ in steps]
    answers: list[HostError | None] = []
    for _, its in groupby(steps, key=lambda step: step.function):
        answers += _set_vf(list(its), name, shown, hands, netlink)
    return answers


def _set_vf(
    steps: Sequence[SetLink], name: str, shown: PfLinks, hands: Hands, netlink: Netlink
) -> list[HostError | None]:
    """All steps of one VF under one lock, so that nobody gets it with half of its settings."""
    sysfs = hands.sysfs
    function = steps[0].function
    index = function.index
    try:
        address = expect_place(function, None if index is None else sysfs.vf_address(function.pf, index))
        link = None if index is None else _administrative(sysfs, address, index, shown)
        if index is None or link is None:
            raise LinkSettingRefusedError(f"{name} shows nothing of VF {index}; does its driver know link settings?")
        if any(is_rate(step.value) for step in steps):
            _await_carrier(hands, function.pf, name, patience(steps[0]))
        with held(hands.look(), [address], netlink):
            return [_set(step, address, index, name, link, netlink) for step in steps]
    except HostError as error:
        return [error for _ in steps]


def _set(step: SetLink, address: PciAddress, index: int, name: str, link: VfLink, netlink: Netlink) -> HostError | None:
    """`link`: what is shown of the VF."""
    if len(list(groups_of(step.value))) != 1:
        return LinkSettingRefusedError(f"{link_text(step.value) or 'nothing'} is not one setting; each is a step")
    found = mentioned(link, step.value)
    if step.expects is None and found == step.value:
        return None
    if step.expects is not None and found != step.expects:
        now, then = link_text(found), link_text(step.expects)
        return StaleSnapshotError(f"{address} shows {now}, the plan was made when it was {then}; look and plan again")
    try:
        netlink.set_vf(name, index, _whole_group(step.value, link))
    except NetlinkRefusedError as error:
        text = f"ip link set {name} vf {index} {link_text(step.value)}: {errno_text(error.errno)}"
        return LinkSettingRefusedError(f"{text}; {_hint(step.value, error.errno, name)}")
    except HostError as error:
        return error
    return None


def _whole_group(value: VfLink, shown: VfLink) -> VfLink:
    """Netlink takes both rates, and VLAN with priority, so what is not asked for is said again as it is."""
    if is_rate(value):
        least = value.min_tx_rate if value.min_tx_rate is not None else shown.min_tx_rate or 0
        most = value.max_tx_rate if value.max_tx_rate is not None else shown.max_tx_rate or 0
        return replace(value, min_tx_rate=least, max_tx_rate=most)
    if value.vlan is not None or value.vlan_qos is not None:
        return replace(value, vlan=value.vlan or 0, vlan_qos=value.vlan_qos or 0)
    return value


def _await_carrier(hands: Hands, pf: PciAddress, name: str, seconds: float) -> None:
    """A rate is a share of the link's speed: igb refuses it without a link, and loses the link for 1.4 s whenever VFs
    are made (measured). Where none comes, the driver is asked all the same, and its answer is the one that counts."""
    sysfs, until = hands.sysfs, time.monotonic() + seconds
    while time.monotonic() < until and not hands.unwanted():
        up = sysfs.netdev_up(sysfs.device(pf, "net", name))
        if not up or sysfs.read(sysfs.device(pf, "net", name, "carrier")) != "0":
            return
        time.sleep(CARRIER_POLL)


def _hint(value: VfLink, number: int, name: str) -> str:
    if number == errno.EOPNOTSUPP:
        return "the PF's driver does not know this setting; leave it out"
    if number == errno.EINVAL and is_rate(value):
        return f"a rate needs a link on {name} and must be below its speed, and some drivers know no minTxRate"
    if number == errno.EPERM:
        return "run as root in the host's user namespace"
    return "see the kernel log for the driver's word"

"""Sets link settings of VFs, each after a new look and under the in-use lock of its VF. Notes before what they were."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby

from virtfn_host.core.checks.refusals import Attempt, way_out
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.link import groups_of, is_rate, joined, link_text, mentioned
from virtfn_host.core.values.mac import ZERO_MAC
from virtfn_host.core.values.model import VfLink
from virtfn_host.core.values.parts import Part
from virtfn_host.core.values.steps import SetLink, patience
from virtfn_host.linux.act.expect import expect_place
from virtfn_host.linux.act.journal import Journal
from virtfn_host.linux.act.made import expect_set
from virtfn_host.linux.errors import (
    HostError,
    LinkSettingRefusedError,
    NetlinkError,
    NetlinkRefusedError,
    SettingMadeOtherError,
    StaleSnapshotError,
    SysfsReadError,
    errno_text,
)
from virtfn_host.linux.look.identity import card_of
from virtfn_host.linux.netlink.asks import Netlink, PfLinks
from virtfn_host.linux.netlink.shown import administrative
from virtfn_host.linux.read.onelook import OneLook
from virtfn_host.linux.read.parts import missing_of_link
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.linux.touch.ports import carriers, expect_own, own_netdev
from virtfn_host.linux.touch.reader import Reader
from virtfn_host.linux.use.lock import held

CARRIER_POLL = 0.05
"""Seconds between two looks while a PF's link comes up. This process hears no netlink events; it only asks."""


@dataclass(frozen=True, slots=True)
class Hands:
    """The means to set link settings."""

    sysfs: Sysfs
    netlink: Netlink | None
    journal: Journal
    look: Callable[[], OneLook]
    """Takes a new look that knows what this machine needs."""
    unwanted: Callable[[], bool]
    """Whether the client has gone and another plan waits, so that waiting must end."""
    reader: Reader | None = None
    """Reads what may hang."""


def set_links(steps: Sequence[SetLink], hands: Hands) -> list[HostError | None]:
    """Carry out steps of one PF: look once, then set one after the other. Return an answer for each, in their order."""
    sysfs, netlink = hands.sysfs, hands.netlink
    pf = steps[0].function.pf
    name = own_netdev(sysfs, pf, hands.reader)
    if name is None or netlink is None:
        text = f"{pf} has no netdev in the host's network namespace; is it in another one?"
        return [LinkSettingRefusedError(text) for _ in steps]
    try:
        shown = netlink.links(name)
        expect_own(sysfs, pf, name, shown.ifindex)
        places = sysfs.vf_addresses(pf)
        asked = {step.function.index for step in steps}
        links = administrative(sysfs, [one for one in places.items() if one[0] in asked], shown, hands.reader)
        # Once for all steps: the journal is written whole, and takes longer than a setting.
        card = card_of(sysfs, pf, hands.reader)
        noted = hands.journal.note_links(card, _about_to_be_set(steps, links))
    except HostError as error:
        return [error for _ in steps]
    answers: list[HostError | None] = []
    for function, its in groupby(steps, key=lambda step: step.function):
        link = None if function.index is None else links.get(function.index)
        answers += _set_vf(list(its), name, shown, link, hands, netlink)
    made = shown
    if None in answers:
        try:
            made = netlink.links(shown.ifindex)
            answers = [answer or _other(step, name, made) for step, answer in zip(steps, answers, strict=True)]
        except HostError as error:
            answers = [answer or error for answer in answers]
    hands.journal.drop_links(card, _as_noted(steps, answers, noted, shown, made))
    return answers


def _about_to_be_set(
    steps: Sequence[SetLink], links: Mapping[int, VfLink | SysfsReadError | None]
) -> dict[int, VfLink]:
    """What the PF shows now of the settings of these steps, by VF."""
    found: dict[int, VfLink] = {}
    for step in steps:
        index = step.function.index
        if index is not None and isinstance(link := links.get(index), VfLink):
            found[index] = joined(found.get(index, VfLink()), mentioned(link, step.value))
    return found


def _as_noted(
    steps: Sequence[SetLink],
    answers: Sequence[HostError | None],
    noted: Mapping[int, VfLink],
    shown: PfLinks,
    made: PfLinks,
) -> dict[int, list[VfLink]]:
    """The settings by VF that were made now, which may be as noted, and those of `noted` that were not made after all:
    refused, or dropped by the driver in silence. Where netlink did not answer, the kernel may still make a setting."""
    again: dict[int, list[VfLink]] = defaultdict(list)
    for step, answer in zip(steps, answers, strict=True):
        index = step.function.index
        if index is None or isinstance(answer, NetlinkError):
            continue
        if answer is None:
            again[index].append(step.value)
        before, after = shown.vf(index), made.vf(index)
        still = before and after and mentioned(before, step.value) == mentioned(after, step.value)
        refused = answer is not None and not isinstance(answer, SettingMadeOtherError)
        if index in noted and (still or refused):
            again[index].append(mentioned(noted[index], step.value))
    return again


def _set_vf(
    steps: Sequence[SetLink],
    name: str,
    shown: PfLinks,
    link: VfLink | SysfsReadError | None,
    hands: Hands,
    netlink: Netlink,
) -> list[HostError | None]:
    """Carry out all steps of one VF under one lock, so that no pod gets the VF with half of its settings."""
    sysfs = hands.sysfs
    function = steps[0].function
    index = function.index
    try:
        address = expect_place(function, None if index is None else sysfs.vf_address(function.pf, index))
        if isinstance(link, SysfsReadError):
            raise link
        if index is None or link is None:
            raise LinkSettingRefusedError(f"{name} shows nothing of VF {index}; does its driver know link settings?")
        if any(is_rate(step.value) for step in steps):
            _await_carrier(hands, function.pf, name, patience(steps[0]))
        with held(hands.look(), [address], netlink):
            write = partial(netlink.set_vf, shown.ifindex, index)
            return [_set(step, address, name, link, write) for step in steps]
    except HostError as error:
        return [error for _ in steps]


def _set(
    step: SetLink, address: PciAddress, name: str, link: VfLink, write: Callable[[VfLink], None]
) -> HostError | None:
    """Carry out one step; `link` is what the PF shows of the VF."""
    if len(list(groups_of(step.value))) != 1:
        return LinkSettingRefusedError(f"{link_text(step.value) or 'nothing'} is not one setting; each is a step")
    found = mentioned(link, step.value)
    if step.expects is None and found == step.value:
        return None
    if step.expects is not None and found != step.expects:
        now, then = link_text(found), link_text(step.expects)
        return StaleSnapshotError(f"{address} shows {now}, the plan was made when it was {then}; look and plan again")
    try:
        write(_whole_group(step.value, link))
    except NetlinkRefusedError as error:
        text = f"ip link set {name} vf {step.function.index} {link_text(step.value)}: {errno_text(error.errno)}"
        attempt = Attempt.RATE if is_rate(step.value) else Attempt.LINK
        refused = LinkSettingRefusedError(f"{text}; {way_out(attempt, error.errno)}")
        refused.errno = error.errno
        return refused
    except HostError as error:
        return error
    return None


def _other(step: SetLink, name: str, made: PfLinks) -> HostError | None:
    """Return what is wrong with a setting that the kernel accepted: a driver may round it, or drop it in silence.

    The PF's word counts as it is, not as `administrative` reads it. A MAC that was taken back is not compared: igbvf
    makes up another one at once, which the PF shows.
    """
    index = step.function.index
    link = None if index is None else made.vf(index)
    if step.value.mac == ZERO_MAC:
        return None
    found = "nothing" if link is None else link_text(mentioned(link, step.value))
    try:
        expect_set(f"{name} vf {index}", found, link_text(step.value))
    except HostError as error:
        return error
    return None


def _whole_group(value: VfLink, shown: VfLink) -> VfLink:
    """The setting with its partner: netlink wants both rates together, and VLAN with priority. The partner that is not
    asked for is repeated as it is shown."""
    if is_rate(value):
        least = value.min_tx_rate if value.min_tx_rate is not None else shown.min_tx_rate or 0
        most = value.max_tx_rate if value.max_tx_rate is not None else shown.max_tx_rate or 0
        return replace(value, min_tx_rate=least, max_tx_rate=most)
    if value.vlan is not None or value.vlan_qos is not None:
        return replace(value, vlan=value.vlan or 0, vlan_qos=value.vlan_qos or 0)
    return value


def _await_carrier(hands: Hands, pf: PciAddress, name: str, seconds: float) -> None:
    """Wait for the PF's link. A rate is a share of its speed: igb refuses a rate without a link, and loses the link for
    1.4 s whenever VFs are made (measured by hand on emulated igb, Linux 6.1 and 6.12). If no link comes, the driver is
    asked all the same, and its answer counts.

    Raises:
        SysfsReadError: whether it has a link cannot be read.
    """
    sysfs, until = hands.sysfs, time.monotonic() + seconds
    while time.monotonic() < until and not hands.unwanted():
        folder = f"{sysfs.net_folder(pf)}/{name}"
        if missing_of_link(sysfs, carriers(sysfs, [folder], hands.reader)) is not Part.CARRIER:
            return
        time.sleep(CARRIER_POLL)

"""Sets the MTU of the netdev of a PF or VF, after a new look, and notes before what it was.

A VF is under the in-use lock meanwhile. A PF is not, because programs of the host use it: but for the giving back it is
only raised, and it is left alone where this machine needs it.
"""

import time
from contextlib import ExitStack

from virtfn_host.core.checks.refusals import Attempt, way_out
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.model import Card
from virtfn_host.core.values.steps import SetMtu, patience
from virtfn_host.linux.act.expect import expect_place
from virtfn_host.linux.act.machine import PfApply, remember
from virtfn_host.linux.act.made import expect_set
from virtfn_host.linux.errors import (
    LinkSettingRefusedError,
    NetlinkRefusedError,
    StaleSnapshotError,
    errno_text,
)
from virtfn_host.linux.look.identity import card_of
from virtfn_host.linux.netlink.asks import Netlink, ShownMtu
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.linux.touch.ports import expect_own, own_netdev
from virtfn_host.linux.use.lock import held

NETDEV_POLL = 0.05
"""Seconds between two looks for the netdev of a VF that was just bound. This process hears no netdev events."""


def set_mtu(step: SetMtu, work: PfApply) -> None:
    """Carry out one step.

    Raises:
        HostError: nothing was set.
    """
    netlink, sysfs, pf = work.machine.netlink, work.machine.sysfs, step.function.pf
    if netlink is None:
        raise LinkSettingRefusedError(f"{step.function}: netlink is not looked at here")
    vf: PciAddress | None = None
    with ExitStack() as lock:
        if step.function.index is None:
            work.wall.expect_spare(pf)
            name = own_netdev(sysfs, pf, work.machine.reader)
        else:
            vf = expect_place(step.function, sysfs.vf_address(pf, step.function.index))
            name = _netdev_of_vf(step, vf, work)
            lock.enter_context(held(work.wall.look(), [vf], netlink))
        if name is None:
            text = f"{step.function} has no netdev in the host's network namespace; is it in another one?"
            raise LinkSettingRefusedError(text)
        shown = netlink.mtu(name)
        expect_own(sysfs, vf or pf, name, shown.ifindex)
        _set(step, name, shown, netlink, work)


def _netdev_of_vf(step: SetMtu, vf: PciAddress, work: PfApply) -> str | None:
    """Return the netdev of a VF; wait for it where the plan has just bound the VF."""
    sysfs, until = work.machine.sysfs, time.monotonic() + patience(step)
    while (name := _netdev(sysfs, vf)) is None and step.expects is None and time.monotonic() < until:
        if work.unwanted():
            break
        time.sleep(NETDEV_POLL)
    return name


def _netdev(sysfs: Sysfs, vf: PciAddress) -> str | None:
    return next(iter(sysfs.names(sysfs.net_folder(vf)) or ()), None)


def _set(step: SetMtu, name: str, shown: ShownMtu, netlink: Netlink, work: PfApply) -> None:
    now = shown.now
    if step.expects is None and now == step.value:
        return
    if step.expects not in (None, now):
        text = f"{name} has mtu {now}, the plan was made when it was {step.expects}"
        raise StaleSnapshotError(f"{text}; look and plan again")
    pf, index = step.function.pf, step.function.index
    remember(work, pf)
    work.tries.begin_settings()
    card = card_of(work.machine.sysfs, pf, work.machine.reader)
    if index is None and step.value < now:
        _expect_given_back(step, name, work, card)
    noted = work.machine.journal.note_mtu(card, index, now)
    try:
        netlink.set_mtu(shown.ifindex, step.value)
    except NetlinkRefusedError as error:
        if noted:  # else the end of the policy would give back what another program sets meanwhile
            work.machine.journal.drop_mtu(card, index)
        refused = LinkSettingRefusedError(_refusal(step, name, error.errno, shown))
        refused.errno = error.errno
        raise refused from error
    made = netlink.mtu(shown.ifindex).now
    if noted and made == now:
        work.machine.journal.drop_mtu(card, index)
    expect_set(name, f"mtu {made}", f"mtu {step.value}")


def _expect_given_back(step: SetMtu, name: str, work: PfApply, card: Card) -> None:
    """Refuse to lower a PF's MTU but to what it was: others of its VFs, or the host, may need more."""
    entry = work.machine.journal.entry(card)
    if entry is None or entry.mtu != step.value:
        text = f"refused: {name} is never lowered to mtu {step.value}, which it did not have before virtfn raised it"
        raise LinkSettingRefusedError(f"{text}; nothing was set")


def _refusal(step: SetMtu, name: str, number: int, shown: ShownMtu) -> str:
    text = f"ip link set {name} mtu {step.value}: {errno_text(number)}"
    least, most = shown.least or 0, shown.most
    if most and not least <= step.value <= most:  # a driver without limits tells 0 as the largest (net/core/dev.c)
        return f"{text}; {name} takes {least} to {most}, ask for an MTU within that"
    return f"{text}; {way_out(Attempt.MTU, number)}"

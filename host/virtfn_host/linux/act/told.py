"""Tells why a step failed: what it was, what the machine answered, and what of the PF's present state explains that."""

from virtfn_host.core.checks.refusals import Attempt, PfState, pf_trouble
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.link import is_rate
from virtfn_host.core.values.steps import Bind, SetLink, SetNumVfs, Settle, Step, describe, pf_of
from virtfn_host.linux.act.machine import Machine
from virtfn_host.linux.errors import (
    BindFailedError,
    HostError,
    LinkSettingRefusedError,
    SettleTimeoutError,
    SysfsWriteError,
)
from virtfn_host.linux.touch.ports import in_switchdev_mode, own_netdev

ANSWERED = (SysfsWriteError, SettleTimeoutError, LinkSettingRefusedError, BindFailedError)
"""Errors that say what the kernel answered, or that it did not do what it had accepted."""


def told(step: Step, error: HostError, machine: Machine) -> str:
    """Return the whole text of a failed step."""
    text = f"{describe(step)}: {error}"
    write = _write(step)
    if write is None or not isinstance(error, ANSWERED):
        return text
    trouble = pf_trouble(write, error.errno, pf_state(machine, pf_of(step)))
    return text if trouble is None else f"{text}; {trouble}"


def pf_state(machine: Machine, pf: PciAddress) -> PfState:
    """Return the state of a PF, as far as it can be read: this only adds to a message."""
    sysfs, reader = machine.sysfs, machine.reader
    answers = sysfs.answers(pf)
    try:
        name = own_netdev(sysfs, pf, reader)
        if name is None:
            return PfState(answers=answers)
        up = sysfs.netdev_up(f"{sysfs.net_folder(pf)}/{name}")
        return PfState(netdev=name, up=up, switchdev=in_switchdev_mode(sysfs, pf, name, reader), answers=answers)
    except (HostError, ValueError):
        return PfState(answers=answers)


def _write(step: Step) -> Attempt | None:
    match step:
        case SetNumVfs(value=value):
            return Attempt.NUM_VFS if value else None
        case Settle():
            return Attempt.NUM_VFS
        case Bind():
            return Attempt.BIND
        case SetLink(value=value):
            return Attempt.RATE if is_rate(value) else Attempt.LINK
    return None

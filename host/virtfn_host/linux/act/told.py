"""Tells why a step failed: what it was, what the machine answered, and what of the PF's present state explains that."""

from virtfn_host.core.checks.refusals import Attempt, PfState, pf_trouble
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.link import is_rate
from virtfn_host.core.values.report import shortened
from virtfn_host.core.values.steps import Bind, SetLink, SetNumVfs, Settle, Step, describe, pf_of
from virtfn_host.linux.act.machine import Machine, PfApply
from virtfn_host.linux.errors import (
    BindFailedError,
    DriverMadeOtherError,
    HostError,
    LinkSettingRefusedError,
    SettleTimeoutError,
    SysfsWriteError,
)
from virtfn_host.linux.touch.ports import in_switchdev_mode, own_netdev

ANSWERED = (SysfsWriteError, SettleTimeoutError, LinkSettingRefusedError, BindFailedError)
"""Errors that say what the kernel answered, or that it did not do what it had accepted."""


def told(step: Step, error: HostError, work: PfApply) -> str:
    """Return the whole text of a failed step; a result other than asked is noted with this text."""
    text = f"{describe(step)}: {error}"
    write = _write(step)
    if write is not None and (isinstance(error, ANSWERED) or _too_few(step, error)):
        trouble = pf_trouble(write, error.errno, pf_state(work.machine, pf_of(step)))
        text = text if trouble is None else f"{text}; {trouble}"
    return _noted(error, text, work) if isinstance(error, DriverMadeOtherError) else text


def _too_few(step: Step, error: HostError) -> bool:
    """Whether the driver made fewer VFs than asked for: only then the PF's state says why."""
    made = error.num_vfs if isinstance(error, DriverMadeOtherError) else None
    return isinstance(step, Settle) and made is not None and made < step.num_vfs


def _noted(error: DriverMadeOtherError, text: str, work: PfApply) -> str:
    try:
        work.tries.came(error, shortened(text))
    except (HostError, ValueError) as unnoted:
        return f"{text}; {unnoted}"
    return text


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
            return Attempt.NUM_VFS if value else Attempt.NO_VFS
        case Settle():
            return Attempt.NUM_VFS
        case Bind():
            return Attempt.BIND
        case SetLink(value=value):
            return Attempt.RATE if is_rate(value) else Attempt.LINK
    return None

"""Detects a blocked PCI write on this node (ours or another program's) and names the process it waits for.

A read that hangs behind the write shows it (`canary.py`). Only then are writers and holders searched in /proc.
"""

from collections.abc import Iterable, Iterator, Sequence

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.model import Inventory, Stuck
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.report import Report, not_tried
from virtfn_host.core.values.steps import Plan
from virtfn_host.linux.errors import SysfsReadError
from virtfn_host.linux.read.holding import NAMES, Holding, enabled, every_open_file, holders_of
from virtfn_host.linux.read.open_files import process
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.linux.use.canary import Canary, Hang

PCI_WRITES = frozenset({"sriov_numvfs", "unbind", "bind", "remove", "rescan", "drivers_probe"})
"""Attributes whose writes take the locks of PCI devices."""


def others_write(sysfs: Sysfs, canary: Canary, inventory: Inventory) -> Stuck | None:
    """Another program's write that is blocked or still running, or None; waits for at most `canary.ROUND` seconds.

    A slow write looks the same from outside, and our writes would wait for it in the same way.
    """
    pfs = [pf.address for pf in inventory.pfs]
    if (stuck := hanging(sysfs, canary, pfs)) is not None:
        return stuck
    # A blocked unbind of a VF holds only that VF's lock, so no read hangs. The VF has no driver and is enabled.
    loose = [function.address for function in inventory.every if function.driver is None]
    halves = [address for address in loose if enabled(sysfs, address)]
    return _unbinding(sysfs, halves) if halves else None


def blocked_write(sysfs: Sysfs, inventory: Inventory) -> Stuck | None:
    """See `others_write`; for a program that asks once and ends."""
    canary = Canary()
    try:
        return others_write(sysfs, canary, inventory)
    finally:
        canary.close()


def hanging(sysfs: Sysfs, canary: Canary, pfs: Iterable[PciAddress]) -> Stuck | None:
    """The write behind which `sriov_numvfs` of one of these PFs hangs, or None."""
    hangs = canary.look(sysfs, pfs)
    if not hangs:
        return None
    # Writes of other PFs queue behind the blocked one. The PF with a holder is the one to name.
    held = {hang: who for hang in hangs if (who := holders_of(sysfs, [hang.pf])) is not None}
    hang = next(iter(held), hangs[0])
    return _stuck(hang, _writers(sysfs), held.get(hang))


def pfs_now(sysfs: Sysfs) -> Iterator[PciAddress]:
    """Every function of this machine that can make VFs, or of which that cannot be read; reads nothing else."""
    return (address for address in sysfs.functions() if _may_make_vfs(sysfs, address))


def _may_make_vfs(sysfs: Sysfs, address: PciAddress) -> bool:
    try:
        return sysfs.read(sysfs.device(address, "sriov_totalvfs")) is not None
    except SysfsReadError:
        return True


def refused(plan: Plan, stuck: Stuck) -> Report:
    """The report of a plan that is not tried: its writes would queue and be executed at an unknown later time."""
    return Report(results=tuple(not_tried(step, Reason.STUCK, f"not tried: {stuck.text}") for step in plan.steps))


def _stuck(hang: Hang, writers: Sequence[str], who: Holding | None) -> Stuck:
    doing = ", ".join(writers) or "no writing process can be seen"
    text = f"reading {hang.path} hangs, so another program's write is blocked or still running: {doing}"
    return _told(hang.path, "", hang.seconds, text, who)


def _told(path: str, value: str, seconds: float, text: str, who: Holding | None) -> Stuck:
    held = who.functions if who else ()
    text = f"{text}; {who.text if who else 'no process can be seen that has one of its functions open'}"
    return Stuck(path=path, value=value, seconds=seconds, text=text, held=held)


def _unbinding(sysfs: Sysfs, halves: Sequence[PciAddress]) -> Stuck | None:
    """The unbind that waits for one of these functions, or None. A VF may be enabled without a driver for other
    reasons, so only a process with an `unbind` open for writing shows that an unbind is blocked.
    """
    writers = _writers(sysfs, frozenset({"unbind"}))
    if not writers:
        return None
    path = sysfs.device(halves[0], "driver/unbind")
    text = f"unbinding {halves[0]} is blocked or still running: {', '.join(writers)}"
    return _told(path, str(halves[0]), 0.0, text, holders_of(sysfs, halves))


def _writers(sysfs: Sysfs, attributes: frozenset[str] = PCI_WRITES) -> tuple[str, ...]:
    found = [
        f"{process(sysfs, file.pid)} has {file.target} open for writing"
        for file in every_open_file(sysfs)
        if file.writable and file.target.startswith("/sys/") and file.target.rpartition("/")[2] in attributes
    ]
    return tuple(dict.fromkeys(found))[:NAMES]

"""What happens to a card while policies stand: its netdev moves, its driver is bound anew, it comes back elsewhere, the
machine reboots. On the fake kernel and on a real one; every context leaves the card as it was.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from hardware import Lab

from virtfn_host.core.values.address import PciAddress
from virtfn_host.linux.act.journal import Journal

SECONDARY, SUBORDINATE = 0x19, 0x1A
"""Offsets of a bridge's bus numbers in its configuration space (PCI-to-PCI Bridge Architecture, 3.2)."""

OTHER_BUS = 0x40
"""A number that no bus of the lab's machines has."""


def _ip(*words: str) -> None:
    subprocess.run(["ip", "link", *words], check=True)


def _until(what: str, true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, f"not within a minute: {what}"
        time.sleep(0.05)


def _folder(lab: Lab, pf: PciAddress) -> Path:
    return Path(lab.sysfs.device(pf, "net"))


@contextmanager
def renamed(lab: Lab, pf: PciAddress) -> Iterator[None]:
    """Rename a PF's netdev, as an upgrade of udev or the kernel does."""
    old = lab.netdev(pf)
    _rename(lab, pf, old, "moved0")
    try:
        yield
    finally:
        _rename(lab, pf, "moved0", old)


def _rename(lab: Lab, pf: PciAddress, old: str, new: str) -> None:
    if lab.fake is not None:
        (_folder(lab, pf) / old).rename(_folder(lab, pf) / new)
        return
    _ip("set", old, "down")
    _ip("set", old, "name", new)


@contextmanager
def in_a_namespace(lab: Lab, pf: PciAddress) -> Iterator[None]:
    """Move a PF's netdev to another network namespace; a physical one comes back when the namespace ends."""
    netdev = lab.netdev(pf)
    if lab.fake is not None:
        away = Path(shutil.move(_folder(lab, pf) / netdev, lab.fake.root / "away"))
        yield
        away.rename(_folder(lab, pf) / netdev)
        return
    ready, told = os.pipe()
    with subprocess.Popen(["unshare", "-n", "sh", "-c", "echo; exec sleep 600"], stdout=told) as there:
        os.close(told)
        assert os.read(ready, 1) == b"\n"
        os.close(ready)
        try:
            _ip("set", netdev, "netns", str(there.pid))
            yield
        finally:
            there.kill()
    _until(f"{netdev} is back", lambda: (_folder(lab, pf) / netdev).exists())


@contextmanager
def in_a_bond(lab: Lab, pf: PciAddress) -> Iterator[None]:
    """Make a PF's netdev part of a bond that has the MAC of none of its parts."""
    netdev, other = lab.netdev(pf), "52:54:00:b0:4d:01"
    folder = _folder(lab, pf) / netdev
    if lab.fake is not None:
        before = {name: (folder / name).read_text() for name in ("address", "addr_assign_type", "flags")}
        for name, text in (("address", other), ("addr_assign_type", "3"), ("flags", "0x1803")):
            (folder / name).write_text(f"{text}\n")
        (folder / "master").symlink_to("../../../bond7")
        yield
        (folder / "master").unlink()
        for name, text in before.items():
            (folder / name).write_text(text)
        return
    subprocess.run(["modprobe", "bonding", "max_bonds=0"], check=True)
    _ip("add", "bond7", "address", other, "type", "bond", "mode", "active-backup")
    try:
        _ip("set", netdev, "down")
        _ip("set", netdev, "master", "bond7")
        assert (folder / "address").read_text().strip() == other
        yield
    finally:
        _ip("set", netdev, "nomaster")
        _ip("set", netdev, "down")
        _ip("del", "bond7")


@contextmanager
def down(lab: Lab, pf: PciAddress) -> Iterator[None]:
    """Set a PF's netdev down that was up."""
    lab.set_up(pf, True)
    lab.set_up(pf, False)
    yield


def driver_anew(lab: Lab, pf: PciAddress) -> None:
    """Unbind a PF from its driver, which takes its VFs away, and bind it again."""
    for word in ("unbind", "bind"):
        lab.raw(lab.sysfs.driver("igb", word), str(pf))


@contextmanager
def elsewhere(lab: Lab, pf: PciAddress) -> Iterator[PciAddress]:
    """Unplug a card and plug it in at another address; at the end, where it was."""
    new = PciAddress(pf.domain, OTHER_BUS, pf.device, pf.function)
    _move(lab, pf, new)
    lab.pfs = [new if each == pf else each for each in lab.pfs]
    try:
        yield new
    finally:
        _move(lab, new, pf)
        lab.pfs = [pf if each == new else each for each in lab.pfs]


def _move(lab: Lab, old: PciAddress, new: PciAddress) -> None:
    if lab.fake is not None:
        mac = lab.fake.mac_of(old)
        lab.fake.remove_pf(old)
        lab.fake.add_pf(new, mac=mac)
        return
    # A root port whose bus has another number. The kernel takes the number from the port when it finds it anew.
    port = Path(lab.sysfs.device(old)).resolve().parent
    lab.raw(lab.sysfs.device(old, "remove"), "1")
    with (port / "config").open("r+b", buffering=0) as config:
        for offset in (SECONDARY, SUBORDINATE):
            config.seek(offset)
            config.write(bytes([new.bus]))
    lab.raw(port / "remove", "1")
    lab.raw("/sys/bus/pci/rescan", "1")
    _until(f"{new} has a netdev", lambda: _folder(lab, new).is_dir())


BOOTS = ("11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222")
"""IDs of two boots, for a journal on a machine that cannot reboot in the middle of a test."""


def in_boot(lab: Lab, number: int) -> None:
    """Let the journal take this boot for the one with that number of `BOOTS`."""
    lab.machine = replace(lab.machine, journal=Journal(lab.machine.journal.path, lambda: BOOTS[number]))


def rebooted(lab: Lab) -> None:
    """Bring the PFs to what a boot leaves, without VFs and their drivers bound anew, in the second of `BOOTS`."""
    for pf in lab.pfs:
        driver_anew(lab, pf)
        lab.raw(lab.sysfs.device(pf, "sriov_drivers_autoprobe"), "1")
    in_boot(lab, 1)

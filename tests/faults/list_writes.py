"""Faults of writes: the kernel, a driver or modprobe refuses, or does not answer (13.6, 13.10)."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import outside
from fault import Fault, Policy, and_other, fast
from faulty_node import FaultyNode

from virtfn_host.core.checks.refusals import module_way_out
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.reasons import Reason
from virtfn_host.linux.act import apply
from virtfn_host.linux.errors import ModuleMissingError

ON_WRITE = "no real card answers this when asked"


def answers(number: int) -> Callable[[FaultyNode], AbstractContextManager[None]]:
    """Let every write to sriov_numvfs fail with this errno."""

    @contextmanager
    def refusing(node: FaultyNode) -> Iterator[None]:
        def refuse(*_: Any) -> None:
            raise OSError(number, os.strerror(number))

        with node.kernel_does("_write_num_vfs", refuse):
            yield

    return refusing


@contextmanager
def read_only(node: FaultyNode) -> Iterator[None]:
    """Mount /sys read-only, as in an unprivileged container."""
    if node.fake:
        with answers(errno.EROFS)(node):
            yield
        return
    outside.run("mount", "-o", "remount,ro", "/sys")
    yield
    outside.run("mount", "-o", "remount,rw", "/sys")


@contextmanager
def driver_refuses(node: FaultyNode) -> Iterator[None]:
    """Let the driver refuse functions of this kind."""

    def refuse(*_: Any) -> None:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    with node.kernel_does("_write_bind", refuse):
        yield


@contextmanager
def another_driver(node: FaultyNode) -> Iterator[None]:
    """Add a driver called pcieport, which no alias names for a VF."""
    if node.fake:
        node.fake.register("pcieport")
    yield


@contextmanager
def vfio_refuses(node: FaultyNode) -> Iterator[None]:
    """Let vfio-pci answer EINVAL, as when the IOMMU refuses."""

    def refuse(*_: Any) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    with node.kernel_does("_write_bind", refuse):
        yield


@contextmanager
def without_group(node: FaultyNode) -> Iterator[None]:
    """Let VFs come without their IOMMU groups; a step waits a tenth of a second here."""
    assert node.fake is not None
    make, devices = node.fake._set_num_vfs, node.fake.devices

    def made(pf: PciAddress, number: int) -> None:
        make(pf, number)
        for vf in node.sysfs.vf_addresses(pf).values():
            (devices / str(vf) / "iommu_group").unlink(missing_ok=True)

    with node.kernel_does("_set_num_vfs", made), patch.object(apply, "patience", lambda _: 0.1):
        yield


@contextmanager
def modules_listed(node: FaultyNode) -> Iterator[None]:
    """List the kernel's modules, as every real machine does."""
    if node.fake:
        folder = node.root / "lib/modules/6.1.0"
        folder.mkdir(parents=True)
        (folder / "modules.dep").write_text("kernel/drivers/vfio/pci/vfio-pci.ko.xz:\n")
    yield
    if node.fake:
        shutil.rmtree(node.root / "lib/modules")


@contextmanager
def vfio_module_forbidden(node: FaultyNode) -> Iterator[None]:
    """Forbid vfio-pci by modprobe.d, as an administrator does; no function is on it."""
    if node.fake:
        with patch("kernel.FakeModules.load", _forbidden):
            yield
        return
    conf = Path("/etc/modprobe.d/faults.conf")
    conf.write_text("install vfio_pci /bin/false\n")
    subprocess.run(["modprobe", "-r", "vfio_pci"], check=True)
    yield
    conf.unlink()


def _forbidden(_: object, driver: str, deadline: float) -> None:
    answer = "ERROR: ../libkmod/libkmod-module.c:1047 command_do() Error running install command '/bin/false'"
    raise ModuleMissingError(f"modprobe {driver}: {answer}; {module_way_out(answer)}")


@contextmanager
def pf_on_vfio(node: FaultyNode) -> Iterator[None]:
    """Bind the second PF to vfio-pci, as another program; no driver can make VFs then."""
    override = node.sysfs.device(node.other, "driver_override")
    node.machine.modules.load("vfio-pci", 30)
    outside.unbind(node, node.other)
    node.raw(override, "vfio-pci")
    outside.bind(node, node.other, "vfio-pci")
    yield
    outside.unbind(node, node.other)
    node.raw(override, "\n")
    outside.bind(node, node.other, "igb")


@contextmanager
def own_write_blocks(node: FaultyNode) -> Iterator[None]:
    """Open a cdev that neither the lock keeps out nor /proc shows, as if the process were hidden."""
    assert node.fake is not None
    vf = node.vf()
    node.fake.vfio.opened.add(vf)
    yield
    node.fake.vfio.opened.discard(vf)


def one_on(driver: str) -> Callable[[FaultyNode], Sequence[Policy]]:
    return lambda node: (fast(node, driver=driver),)


def nobody(node: FaultyNode) -> Sequence[Policy]:
    return ()


def three(node: FaultyNode) -> Sequence[Policy]:
    return (fast(node, count=3),)


def alone(node: FaultyNode) -> Sequence[Policy]:
    return (fast(node),)


DO = ("apply",)
OTHER = and_other(count=1, driver="vfio-pci")
REFUSED = Reason.WRITE_REFUSED
NUMVFS = "{other}: set sriov_numvfs 0 -> 1: writing '1' to .*/{other}/sriov_numvfs: "

FAULTS = (
    Fault(
        name="a driver refuses the device",
        section="13.10",
        provoke=driver_refuses,
        asked=OTHER,
        words=DO,
        reason=Reason.BIND_FAILED,
        message=r"^VF 0 of {other}.*: bind to vfio-pci: .*No such device \(ENODEV\); .*the driver does not take",
        fake_only="every driver that may be asked for takes what its override names",
    ),
    Fault(
        name="a driver is none of vfio's and nobody names it for the device",
        section="13.10",
        provoke=another_driver,
        asked=one_on("pcieport"),
        after=alone,
        words=DO,
        reason=Reason.BIND_FAILED,
        message=r"^VF 0 of {pf} \({vf}\): set driver_override pcieport: refused: pcieport is not a vfio driver, ",
    ),
    Fault(
        name="the IOMMU refuses a device",
        section="13.10",
        provoke=vfio_refuses,
        asked=OTHER,
        words=DO,
        reason=Reason.BIND_FAILED,
        message=r"^VF 0 of {other}.*: bind to vfio-pci: .*Invalid argument \(EINVAL\); .*is the IOMMU on",
        fake_only="an IOMMU that is there and refuses is not emulated",
    ),
    Fault(
        name="there is no such driver",
        section="13.6",
        provoke=modules_listed,
        asked=and_other(count=1, driver="no-such-driver"),
        after=alone,
        reason=Reason.DRIVER_MISSING,
        message="^{other}: no driver no-such-driver is loaded, and no module .*; .* one of .*vfio-pci",
    ),
    Fault(
        name="this kernel has no module for the driver",
        section="13.6",
        provoke=modules_listed,
        asked=and_other(count=1, driver="no_such_vfio_pci"),
        after=alone,
        reason=Reason.MODULE_MISSING,
        message="^{other}: the running kernel .* has no module for no_such_vfio_pci; install the package that has it",
    ),
    Fault(
        name="a driver is not to be seen among the modules and does not load",
        section="13.6",
        provoke=outside.nothing,
        asked=and_other(count=1, driver="no-such-driver"),
        after=alone,
        words=DO,
        reason=Reason.MODULE_MISSING,
        message="modprobe no-such-driver: .*not found.*; install the module or name another driver",
        fake_only="a real machine shows its modules; a container may not",
    ),
    Fault(
        name="the module of vfio-pci may not be loaded",
        section="13.6",
        provoke=vfio_module_forbidden,
        before=nobody,
        asked=alone,
        words=DO,
        reason=Reason.MODULE_MISSING,
        message="modprobe vfio-pci: .*install command.*; an `install` line in /etc/modprobe.d",
    ),
    Fault(
        name="the PF is on a vfio driver",
        section="13.14",
        provoke=pf_on_vfio,
        asked=OTHER,
        after=alone,
        reason=Reason.PF_DRIVER_MISSING,
        message="^{other}: is on vfio-pci, which makes no VFs; bind the driver of the PF",
    ),
    Fault(
        name="the PF is on a driver that makes no VFs",
        section="13.14",
        provoke=answers(errno.ENOENT),
        asked=OTHER,
        after=alone,
        words=DO,
        fake_only="no such driver takes the emulated cards",
        reason=Reason.SRIOV_UNSUPPORTED,
        message="^" + NUMVFS + r"No such file or directory \(ENOENT\); the driver that the PF is on cannot make VFs",
    ),
    Fault(
        name="sysfs is read-only",
        section="13.10",
        provoke=read_only,
        asked=three,
        words=DO,
        reason=REFUSED,
        message=r"^{pf}: .*writing .* to .*: Read-only file system \(EROFS\); sysfs is mounted read-only here",
    ),
    Fault(
        name="the kernel says EBUSY to a number of VFs",
        section="13.10",
        provoke=answers(errno.EBUSY),
        asked=OTHER,
        after=alone,
        words=DO,
        reason=REFUSED,
        message="^" + NUMVFS + r"Device or resource busy \(EBUSY\); something else has the device",
        fake_only="virtfn never writes what a real kernel refuses so",
    ),
    Fault(
        name="the kernel says EINVAL to a number of VFs",
        section="13.10",
        provoke=answers(errno.EINVAL),
        asked=OTHER,
        after=alone,
        words=DO,
        reason=REFUSED,
        message="^" + NUMVFS + r"Invalid argument \(EINVAL\); see the kernel log",
        fake_only="virtfn never writes what a real kernel refuses so",
    ),
    Fault(
        name="the firmware left too little room for VFs",
        section="13.10",
        provoke=answers(errno.ENOMEM),
        asked=OTHER,
        after=alone,
        words=DO,
        reason=REFUSED,
        message="^" + NUMVFS + r"Cannot allocate memory \(ENOMEM\); the firmware left too little MMIO space",
        fake_only="could not be provoked by emulation",
    ),
    Fault(
        name="the process may not write",
        section="13.10",
        provoke=answers(errno.EACCES),
        asked=OTHER,
        after=alone,
        words=DO,
        reason=REFUSED,
        message="^" + NUMVFS + r"Permission denied \(EACCES\); run as root",
        fake_only="root on a real machine may",
    ),
    Fault(
        name="the kernel shows no IOMMU group of a VF in time",
        section="13.10",
        provoke=without_group,
        asked=OTHER,
        after=alone,
        words=DO,
        reason=Reason.SETTLE_TIMEOUT,
        message="^{other}: wait for 1 VFs: {other} shows 1 of 1 VFs with their IOMMU groups after .*; see the kernel",
        told=(Reason.NO_IOMMU, "has no IOMMU group"),
        fake_only="late groups are not emulated",
    ),
    Fault(
        name="a write of our own blocks in the kernel",
        section="13.3",
        provoke=own_write_blocks,
        asked=three,
        words=DO,
        reason=Reason.STUCK,
        message="^{pf}: set sriov_numvfs 2 -> 0.*{vf}",
        told=(Reason.STUCK, "{vf} is open: .*end what holds it"),
        fake_only="Debian's kernels have no vfio cdev, and everything else the lock keeps out",
    ),
)

"""Faults by other programs: they change what virtfn made, and the agent repairs the drift (13.4, 13.8, 13.9)."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from unittest.mock import patch

import kernel
import outside
from fault import Fault, and_other, on_kernel, the_same
from faulty_node import FaultyNode

from virtfn_host.core.values.reasons import Reason


def once(act: Callable[[FaultyNode], None]) -> Callable[[FaultyNode], AbstractContextManager[None]]:
    """Return a context that acts once, as another program; the agent repairs it."""

    @contextmanager
    def done(node: FaultyNode) -> Iterator[None]:
        act(node)
        yield

    return done


def _numvfs(number: int) -> Callable[[FaultyNode], None]:
    def write(node: FaultyNode) -> None:
        for value in (0, number):
            node.raw(node.sysfs.device(node.pf, "sriov_numvfs"), str(value))

    return write


def _override(text: str) -> Callable[[FaultyNode], None]:
    return lambda node: node.raw(node.sysfs.device(node.vf(), "driver_override"), text)


def _autoprobe(node: FaultyNode) -> None:
    node.raw(node.sysfs.device(node.pf, "sriov_drivers_autoprobe"), "1")


def _unbound(node: FaultyNode) -> None:
    vf = node.vf()
    outside.unbind(node, vf)
    node.raw(node.sysfs.device(vf, "driver_override"), "\n")


def _half_bound(node: FaultyNode) -> None:
    outside.unbind(node, node.vf())


def _rebound(node: FaultyNode) -> None:
    vf = node.vf()
    node.machine.modules.load("igbvf", 30)
    outside.unbind(node, vf)
    node.raw(node.sysfs.device(vf, "driver_override"), "igbvf")
    outside.bind(node, vf, "igbvf")


def _vfio_unloaded(node: FaultyNode) -> None:
    if not node.fake:
        outside.run("modprobe", "-r", "vfio_pci")
        return
    for vf in node.sysfs.vf_addresses(node.pf).values():
        outside.unbind(node, vf)
    shutil.rmtree(node.fake.drivers / "vfio-pci")


def _reload(node: FaultyNode) -> None:
    outside.reload_pf(node, node.pf)


@contextmanager
def new_id(node: FaultyNode) -> Iterator[None]:
    """Let vfio-pci take every VF without a driver by `new_id`; unbind and probe the VF again."""
    vf, autoprobe = node.vf(), node.sysfs.device(node.pf, "sriov_drivers_autoprobe")
    node.machine.modules.load("vfio-pci", 30)
    with patch.dict(kernel.MATCHING, {kernel.VF_IDS: "vfio-pci"} if node.fake else {}):
        outside.unbind(node, vf)
        node.raw(autoprobe, "1")
        if node.fake:
            node.raw(node.root / "sys/bus/pci/drivers_probe", str(vf))
        else:
            node.raw(node.sysfs.driver("vfio-pci", "new_id"), "8086 10ca")
        node.raw(autoprobe, "0")
        yield
        if not node.fake:
            node.raw(node.sysfs.driver("vfio-pci", "remove_id"), "8086 10ca")


@contextmanager
def changed_between_plan_and_write(node: FaultyNode) -> Iterator[None]:
    """Write another override after each plan, as another program."""
    texts = iter(range(1000))
    with outside.before_apply(lambda: _override(f"driver{next(texts)}")(node)):
        yield


DRIFTED = Reason.DRIFTED
LOOK = ("verify",)

FAULTS = (
    Fault(
        name="somebody set sriov_numvfs to 0",
        section="13.8",
        provoke=once(lambda node: node.raw(node.sysfs.device(node.pf, "sriov_numvfs"), "0")),
        words=LOOK,
        reason=DRIFTED,
        message="^{pf}: has 0 VFs, wanted 2",
    ),
    Fault(
        name="somebody set sriov_numvfs to another number",
        section="13.8",
        provoke=once(_numvfs(3)),
        words=LOOK,
        reason=DRIFTED,
        message="^{pf}: has 3 VFs, wanted 2",
    ),
    Fault(
        name="somebody set driver_override to another driver",
        section="13.8",
        provoke=once(_override("igbvf")),
        words=LOOK,
        reason=DRIFTED,
        message="^{vf}: driver_override is igbvf, wanted vfio-pci",
    ),
    Fault(
        name="somebody wrote the text (null) to driver_override",
        section="13.8",
        provoke=once(_override("(null)")),
        words=LOOK,
        reason=DRIFTED,
        message="^{vf}: driver_override is empty, wanted vfio-pci",
    ),
    Fault(
        name="somebody set sriov_drivers_autoprobe",
        section="13.8",
        provoke=once(_autoprobe),
        words=LOOK,
        reason=DRIFTED,
        message="^{pf}: sriov_drivers_autoprobe is 1, wanted 0",
    ),
    Fault(
        name="somebody bound a VF to its network driver",
        section="13.8",
        provoke=once(_rebound),
        words=LOOK,
        reason=DRIFTED,
        message="^{vf}: is on igbvf, wanted vfio-pci",
    ),
    Fault(
        name="somebody unbound a VF and cleared its override",
        section="13.8",
        provoke=once(_unbound),
        words=LOOK,
        reason=DRIFTED,
        message="^{vf}: is on no driver, wanted vfio-pci$|^{vf}: is on no driver, wanted vfio-pci; it is being",
    ),
    Fault(
        name="killed between override and bind",
        section="13.4",
        provoke=once(_half_bound),
        words=LOOK,
        reason=DRIFTED,
        message="^{vf}: is on no driver, wanted vfio-pci; driver_override names it already",
    ),
    Fault(
        name="somebody unloaded vfio-pci",
        section="13.6",
        provoke=once(_vfio_unloaded),
        words=LOOK,
        reason=DRIFTED,
        message="^{vf}: is on no driver, wanted vfio-pci; that driver is not loaded any more",
    ),
    Fault(
        name="somebody gave vfio-pci a new_id",
        section="13.8",
        provoke=new_id,
        before=on_kernel,
        asked=on_kernel,
        after=the_same,  # virtfn cannot see that the new_id is gone: a policy that is edited is carried out at once
        words=LOOK,
        reason=DRIFTED,
        message="^{vf}: is on vfio-pci, wanted kernel",
    ),
    Fault(
        name="the machine moves between plan and write",
        section="13.4",
        provoke=changed_between_plan_and_write,
        asked=on_kernel,
        words=("apply",),
        reason=Reason.STALE_SNAPSHOT,
        message=r"^VF 0 of {pf} .*driver_override of {vf} is 'driver\d+', the plan was made when it was .*; look and",
    ),
    Fault(
        name="somebody wrote 0 to sriov_numvfs and is blocked by a program",
        section="13.3",
        provoke=outside.write_blocked,
        asked=and_other(count=1, driver="vfio-pci"),
        after=the_same,
        words=("apply",),
        reason=Reason.STUCK,
        message=r"^nothing was written: .*/{pf}/sriov_numvfs.*process \d+ \(sh\).*{vf}",
        told=(Reason.STUCK, r"/{pf}/sriov_numvfs.*process \d+ \(sh\).*{vf}"),
    ),
    Fault(
        name="the driver of the PF is reloaded",
        section="13.9",
        provoke=once(_reload),
        words=LOOK,
        reason=DRIFTED,
        message="^{pf}: has 0 VFs, wanted 2",
    ),
)

"""Faults of use: a function is in use, or it cannot be told that it is free (13.1, 13.2, 13.5)."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import outside
from fault import Fault, fast, on_kernel
from faulty_node import FaultyNode
from kernel import FakeSysfs

from virtfn_host.core.values.holders import Pod
from virtfn_host.core.values.offered import Allocation, Ledger
from virtfn_host.core.values.reasons import Reason
from virtfn_host.linux import poolfile

NO_CDEV = "Debian's kernels have no vfio cdev"
HELD = "is in use: another process has .*/dev/vfio/{group} open"


@contextmanager
def cdev_held(node: FaultyNode) -> Iterator[None]:
    """Open a cdev without binding it to an iommufd: only the open files of the process show it."""
    (name,) = node.sysfs.names(node.sysfs.device(node.vf(), "vfio-dev")) or ()
    cdev = Path(node.sysfs.device(node.vf(), "vfio-dev", name, "dev"))
    iommufd = node.sysfs.sys / "class/misc/iommu"
    iommufd.mkdir(parents=True)
    cdev.write_text("511:0\n")
    with outside.opened_by_a_process(node, f"/dev/vfio/devices/{name}"):
        yield
    cdev.unlink()
    iommufd.rmdir()


@contextmanager
def opened_at_the_last_moment(node: FaultyNode) -> Iterator[None]:
    """Open the device after the plan was made."""
    with ExitStack() as stack:
        holders = [node.lab.used(node.vf())]
        with outside.before_apply(lambda: stack.enter_context(holders.pop()) if holders else None):
            yield


@contextmanager
def group_node_away(node: FaultyNode) -> Iterator[None]:
    """Hide the group's node, as if the host's /dev were not mounted here."""
    path = Path(node.sysfs.group_node(node.sysfs.group(node.vf()) or 0))
    path.rename(path.with_name("away"))
    yield
    path.with_name("away").rename(path)


@contextmanager
def group_node_forbidden(node: FaultyNode) -> Iterator[None]:
    """Refuse to open the group, as the device cgroup of an unprivileged container does."""

    def refused(self: FakeSysfs, path: str) -> int:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    with patch.object(FakeSysfs, "open_group", refused):
        yield


@contextmanager
def pod_has_it(node: FaultyNode) -> Iterator[None]:
    """Let the kubelet list a pod; the kernel shows no use, because the pod has not opened the VF yet."""
    node.neighbours.pods[str(node.vf())] = (Pod(namespace="default", name="dpdk-0"),)
    yield
    node.neighbours.pods.clear()


@contextmanager
def pod_is_being_started(node: FaultyNode) -> Iterator[None]:
    """Put the VF into the device plugin's ledger; the kubelet does not list the pod yet."""
    boot = node.sysfs.read(node.sysfs.proc / "sys/kernel/random/boot_id") or ""
    entry = Allocation(address=node.vf(), resource_name="virtfn.dev/fast", at=node.now())
    poolfile.write_ledger(node.ledger_file, Ledger(boot_id=boot, allocations=(entry,)))
    yield
    poolfile.write_ledger(node.ledger_file, Ledger(boot_id=boot, allocations=()))


def three(node: FaultyNode) -> list[Any]:
    return [fast(node, count=3)]


def no_policy(node: FaultyNode) -> list[Any]:
    return []


IN_USE = Reason.VFS_IN_USE

FAULTS = (
    Fault(
        name="a program has the device open, and another number of VFs is asked",
        section="13.1",
        provoke=outside.device_held,
        asked=three,
        status=3,
        reason=IN_USE,
        message="^{pf}: cannot go from 2 to 3 VFs while {vf} is in use",
    ),
    Fault(
        name="a program has the device open, and everything is to be given back",
        section="13.1",
        provoke=outside.device_held,
        asked=no_policy,
        words=("restore", "--all"),
        status=3,
        reason=IN_USE,
        message="^{pf}: cannot go from 2 to 0 VFs while {vf} is in use",
    ),
    Fault(
        name="a program has the device open and has closed its group, and another driver is asked",
        section="13.1",
        provoke=outside.device_fd_alone_held,
        asked=on_kernel,
        status=3,
        reason=IN_USE,
        message="^{vf}: cannot go from vfio-pci to kernel while {vf} is in use",
    ),
    Fault(
        name="a program has only the group open, and another driver is asked",
        section="13.1",
        provoke=outside.group_held,
        asked=on_kernel,
        status=3,
        reason=IN_USE,
        message=r"^{vf}: cannot go .* while {vf} is in use \(process \d+ \(python3?[^)]*\) has its group open\)",
        told=(IN_USE, "^VF 0 of {pf}.*" + HELD),
    ),
    Fault(
        name="a program has the cdev open without an iommufd",
        section="13.1",
        provoke=cdev_held,
        asked=on_kernel,
        status=3,
        reason=IN_USE,
        message="^{vf}: cannot go .* has /dev/vfio/devices/vfio.* open",
        fake_only=NO_CDEV,
    ),
    Fault(
        name="a program opens the device between plan and write",
        section="13.2",
        provoke=opened_at_the_last_moment,
        asked=on_kernel,
        words=("apply",),
        status=3,
        reason=IN_USE,
        message="^VF 0 of {pf} .*IOMMU group {group} " + HELD,
        told=(IN_USE, "^{vf}: cannot go from vfio-pci to kernel while {vf} is in use"),
    ),
    Fault(
        name="the group's device node is not there though the VF is bound",
        section="13.6",
        provoke=group_node_away,
        asked=on_kernel,
        words=("apply",),
        status=3,
        reason=IN_USE,
        message="^VF 0 of {pf} .*cannot tell whether IOMMU group {group} is in use: .*No such file.*is /dev of",
    ),
    Fault(
        name="the group's device node may not be opened",
        section="13.6",
        provoke=group_node_forbidden,
        asked=on_kernel,
        words=("apply",),
        status=3,
        reason=IN_USE,
        message="^VF 0 of {pf} .*opening .*: Operation not permitted; .*is this process privileged",
        fake_only="root on a real machine may; a container that is not privileged may not",
    ),
    Fault(
        name="the netdev of a VF is in another network namespace",
        section="13.5",
        provoke=outside.netdev_elsewhere("{vf}"),
        before=on_kernel,
        status=3,
        reason=IN_USE,
        message=r"^{vf}: cannot go from igbvf to vfio-pci while .*\(its netdev is in another network namespace\)",
    ),
    Fault(
        name="the netdev of a VF is up",
        section="13.5",
        provoke=outside.netdev_up,
        before=on_kernel,
        status=3,
        reason=IN_USE,
        message=r"^{vf}: cannot go from igbvf to vfio-pci while .*\(its netdev \w+ is up\)",
    ),
    Fault(
        name="the netdev of a VF belongs to a bridge, bond or VRF",
        section="13.5",
        provoke=outside.netdev_with_a_master,
        before=on_kernel,
        status=3,
        reason=IN_USE,
        message=r"^{vf}: cannot go from igbvf to vfio-pci while .*\(its netdev \w+ has a master\)",
    ),
    Fault(
        name="a pod has the VF and has not opened it yet",
        section="13.1",
        provoke=pod_has_it,
        asked=on_kernel,
        words=(),
        reason=IN_USE,
        message="^{vf}: cannot go from vfio-pci to kernel while pod default/dpdk-0 holds {vf}",
    ),
    Fault(
        name="a pod that gets the VF is being started",
        section="13.2",
        provoke=pod_is_being_started,
        asked=on_kernel,
        words=(),
        reason=IN_USE,
        message="^{vf}: cannot go .* while a pod that is being started .* holds {vf}",
    ),
)

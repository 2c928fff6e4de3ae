"""Faults of functions that are on their driver and that no pod could use all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import outside
from fault import Fault, Policy, and_other, fast, on_kernel, policy, the_same
from faulty_node import FaultyNode
from list_in_use import group_node_away
from list_policies import without_iommu
from list_writes import pf_on_vfio

from virtfn_host.core.values.reasons import Reason

SAID = ("verify",)


@contextmanager
def netdev_died(node: FaultyNode) -> Iterator[None]:
    """Take the folder of netdevs away, as where the driver's probe made none."""
    folder = Path(node.sysfs.device(node.vf(), "net"))
    folder.rename(folder.with_name("gone"))
    yield
    folder.with_name("gone").rename(folder)


@contextmanager
def container_node_away(node: FaultyNode) -> Iterator[None]:
    """Hide the node that every container needs beside a group's."""
    path = Path(f"{node.sysfs.dev}/vfio/vfio")
    path.rename(path.with_name("away"))
    yield
    path.with_name("away").rename(path)


@contextmanager
def group_node_loops(node: FaultyNode) -> Iterator[None]:
    """Put a symbolic link in the place of the group's node that leads to itself: it cannot be examined."""
    path = Path(node.sysfs.group_node(node.sysfs.group(node.vf()) or 0))
    path.rename(path.with_name("away"))
    path.symlink_to(path)
    yield
    path.unlink()
    path.with_name("away").rename(path)


def link_of_the_pf(*, up: bool) -> Callable[[FaultyNode], AbstractContextManager[None]]:
    """Return what leaves the first PF without a link: set down, or up and without a cable."""

    @contextmanager
    def provoke(node: FaultyNode) -> Iterator[None]:
        node.lab.set_up(node.pf, up)
        if up:
            Path(node.sysfs.device(node.pf, "net", outside.netdev(node, node.pf), "carrier")).write_text("0\n")
        yield
        node.lab.set_up(node.pf, False)

    return provoke


@contextmanager
def pf_with_vfs_on_vfio(node: FaultyNode) -> Iterator[None]:
    """Bind the second PF to vfio-pci and make a VF of it there, as vfio-pci does with enable_sriov=1."""
    assert node.fake is not None
    with pf_on_vfio(node):
        node.fake._set_num_vfs(node.other, 1)
        yield
        node.fake._set_num_vfs(node.other, 0)


def doing_without(mode: str) -> Callable[[FaultyNode], AbstractContextManager[None]]:
    """Return what takes the second PF's IOMMU away and tells vfio to do without (`Y`), or not to (`N`)."""

    @contextmanager
    def provoke(node: FaultyNode) -> Iterator[None]:
        assert node.fake is not None
        node.fake.tell_vfio(mode)
        with without_iommu(node):
            yield
        node.fake.tell_vfio("N")

    return provoke


def linked(node: FaultyNode) -> Sequence[Policy]:
    return (fast(node, allocation={"requireLink": True}),)


def accepted(node: FaultyNode) -> Sequence[Policy]:
    """Return the policies, of which the second accepts vfio without an IOMMU."""
    other = policy("other", {"address": str(node.other)}, count=1, driver="vfio-pci")
    return (fast(node), {**other, "spec": {**other["spec"], "allowUnsafeNoIommu": True}})


def with_rdma(node: FaultyNode) -> Sequence[Policy]:
    return (fast(node, driver="kernel", grant={"rdma": True}),)


FAULTS = (
    Fault(
        name="a VF on its network driver has no netdev",
        section="13.5",
        provoke=netdev_died,
        before=on_kernel,
        asked=on_kernel,
        words=SAID,
        reason=Reason.NOT_USABLE,
        message="^{vf}: is on igbvf and has no netdev, in no network namespace; see the kernel log",
        fake_only="no emulated driver ends its probe without a netdev",
    ),
    Fault(
        name="the group's device node is away while a pod could get the VF",
        section="13.6",
        provoke=group_node_away,
        words=SAID,
        reason=Reason.NOT_USABLE,
        message="^{vf}: has no device node; is /dev of the host whole",
    ),
    Fault(
        name="the container's device node is not there",
        section="13.6",
        provoke=container_node_away,
        words=SAID,
        reason=Reason.NOT_USABLE,
        message="^{vf}: has no /dev/vfio/vfio beside it; ",
    ),
    Fault(
        name="the group's device node cannot be examined",
        section="13.6",
        provoke=group_node_loops,
        words=SAID,
        reason=Reason.UNREADABLE,
        message="^{vf}: .*/dev/vfio/{group} could not be read: Too many levels of symbolic links; unknown counts as",
    ),
    Fault(
        name="a pool gives the nodes of RDMA devices and its VF has no such device",
        section="13.6",
        provoke=outside.nothing,
        before=on_kernel,
        asked=with_rdma,
        after=on_kernel,
        words=SAID,
        reason=Reason.NOT_USABLE,
        message="^{vf}: has no RDMA device, which grant.rdma asks for; is its RDMA module loaded",
    ),
    Fault(
        name="the PF is down and the policy requires a link",
        section="13.12",
        provoke=link_of_the_pf(up=False),
        asked=linked,
        after=the_same,
        words=SAID,
        reason=Reason.NOT_USABLE,
        message=r"^{vf}: has no link: its PF {pf}: netdev \w+ is down; `ip link set \w+ up`",
    ),
    Fault(
        name="the PF has no carrier and the policy requires a link",
        section="13.12",
        provoke=link_of_the_pf(up=True),
        asked=linked,
        after=the_same,
        words=SAID,
        reason=Reason.NOT_USABLE,
        message=r"^{vf}: has no link: its PF {pf}: netdev \w+ has no carrier; look at the cable and the switch",
        fake_only="the emulator's cable cannot be pulled from inside",
    ),
    Fault(
        name="the PF is on vfio-pci and another program made VFs of it",
        section="13.14",
        provoke=pf_with_vfs_on_vfio,
        asked=and_other(driver="vfio-pci"),
        after=the_same,
        reason=Reason.NOT_USABLE,
        message="^{other}: is on vfio-pci and has VFs, so that it and they open only with a VF token; bind the PF",
        fake_only="vfio-pci is not loaded with enable_sriov in the emulated machines",
    ),
    Fault(
        name="vfio does without an IOMMU and the policy does not accept that",
        section="13.6",
        provoke=doing_without("Y"),
        asked=and_other(count=1, driver="vfio-pci"),
        after=the_same,
        reason=Reason.NO_IOMMU,
        message="^{other}: has no IOMMU group; .*; or accept vfio without an IOMMU, .*allowUnsafeNoIommu: true in the",
        fake_only="Debian's kernels have no vfio without an IOMMU",
    ),
    Fault(
        name="the policy accepts vfio without an IOMMU and vfio is not told so",
        section="13.6",
        provoke=doing_without("N"),
        asked=accepted,
        after=the_same,
        reason=Reason.NO_IOMMU,
        message="^{other}: has no IOMMU group, and vfio is not told to do without .*enable_unsafe_noiommu_mode",
        fake_only="Debian's kernels have no vfio without an IOMMU",
    ),
)

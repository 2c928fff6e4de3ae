"""Faults of policies that cannot be carried out, and of machines that cannot carry them out (13.6, 13.7, 13.10)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import outside
from fault import Asked, Fault, Policy, and_other, fast, policy, the_same, whole
from faulty_node import FaultyNode

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.reasons import Reason


def _total(which: str, number: int) -> Callable[[FaultyNode], AbstractContextManager[None]]:
    @contextmanager
    def lowered(node: FaultyNode) -> Iterator[None]:
        path = Path(node.sysfs.device(PciAddress.parse(node.named(which)), "sriov_totalvfs"))
        old = path.read_text()
        path.write_text(f"{number}\n")
        yield
        path.write_text(old)

    return lowered


def _joins(node: FaultyNode, address: PciAddress, name: str, driver: str) -> Path:
    """Add a device to this function's IOMMU group, in the fake kernel's files."""
    assert node.fake is not None
    folder = node.fake.devices / name
    folder.mkdir()
    (folder / "driver").symlink_to(f"../../drivers/{driver}")
    group = node.root / f"sys/kernel/iommu_groups/{node.sysfs.group(address)}/devices/{name}"
    group.symlink_to(folder)
    return group


@contextmanager
def no_acs(node: FaultyNode) -> Iterator[None]:
    """Put the second PF behind a switch without ACS: port, PF and VFs are one group."""
    if not node.fake:
        yield
        return
    link = _joins(node, node.other, "0000:00:01.0", "pcieport")
    yield
    link.unlink()


@contextmanager
def neighbour_in_group(node: FaultyNode) -> Iterator[None]:
    """Add another card, on a kernel driver, to the group of a VF."""
    link = _joins(node, node.vf(), "0000:03:00.0", "e1000e")
    # Unbound, so that the agent has something to do.
    outside.unbind(node, node.vf())
    yield
    link.unlink()


@contextmanager
def without_iommu(node: FaultyNode) -> Iterator[None]:
    """Take the second PF's group away, as on a machine without IOMMU."""
    if not node.fake:
        yield
        return
    link = Path(node.sysfs.device(node.other, "iommu_group"))
    target = link.readlink()
    link.unlink()
    yield
    link.symlink_to(target)


def lopsided(node: FaultyNode) -> Sequence[Policy]:
    """Return two policies for one resource name with different drivers; the second asks for no VF."""
    return (fast(node), _named_fast(node))


def _named_fast(node: FaultyNode) -> Policy:
    spec = {
        "devices": [{"address": str(node.other)}],
        "virtualFunctions": {"pools": [{"resourceName": "fast", "driver": "kernel"}]},
    }
    return {**policy("other", {}), "metadata": {"name": "other"}, "spec": spec}


def of_pf(**wanted: Any) -> Asked:
    """Return policies of which the second is for the first PF, too."""
    return and_other(device={"address": "{pf}"}, **wanted)


def one_of_the_other(node: FaultyNode) -> Sequence[Policy]:
    return (fast(node), policy("other", {"address": str(node.other)}, count=1, driver="vfio-pci"))


def pf_whole(node: FaultyNode) -> Sequence[Policy]:
    return (fast(node), whole("whole-card", {"address": str(node.pf)}))


def other_whole(node: FaultyNode) -> Sequence[Policy]:
    return (fast(node), whole("whole-card", {"address": str(node.other)}))


def nobody(node: FaultyNode) -> Sequence[Policy]:
    return ()


def other_alone(node: FaultyNode) -> Sequence[Policy]:
    return (policy("other", {"address": str(node.other)}, count=1, driver="vfio-pci"),)


FAULTS = (
    Fault(
        name="more VFs are asked than the card has",
        section="13.10",
        provoke=outside.nothing,
        asked=and_other(count=8, driver="vfio-pci"),
        after=the_same,
        reason=Reason.TOO_MANY_VFS,
        message=r"^{other}: wants 8 VFs, the device offers 7 \(sriov_totalvfs\)",
    ),
    Fault(
        name="the card offers fewer VFs than before",
        section="13.10",
        provoke=_total("{pf}", 1),
        reason=Reason.TOO_MANY_VFS,
        message="^{pf}: wants 2 VFs, the device offers 1",
        fake_only="sriov_totalvfs does not change on a real kernel",
    ),
    Fault(
        name="the firmware offers no VFs",
        section="13.10",
        provoke=_total("{other}", 0),
        asked=one_of_the_other,
        after=the_same,
        reason=Reason.SRIOV_UNSUPPORTED,
        message=r"^{other}: its driver or firmware offers no VFs \(sriov_totalvfs is 0\)",
        fake_only="the emulated firmware offers VFs always",
    ),
    Fault(
        name="two policies want two numbers of VFs",
        section="13.8",
        provoke=outside.nothing,
        asked=of_pf(count=3, driver="vfio-pci"),
        after=the_same,
        reason=Reason.COUNT_CONFLICT,
        message="^{pf}: wants 3 VFs, but policy fast has set count to 2",
    ),
    Fault(
        name="two policies want the same VF",
        section="13.8",
        provoke=outside.nothing,
        asked=of_pf(indexes="0", driver="vfio-pci"),
        after=the_same,
        reason=Reason.INDEX_TAKEN,
        message="^{pf}: VF 0 belongs to policy fast",
    ),
    Fault(
        name="no VF is left for a policy",
        section="13.8",
        provoke=outside.nothing,
        asked=of_pf(driver="vfio-pci"),
        after=the_same,
        reason=Reason.NOTHING_LEFT,
        message="^{pf}: no VF is left for virtfn.dev/other; taken by fast",
    ),
    Fault(
        name="one resource name is given two drivers",
        section="13.8",
        provoke=outside.nothing,
        asked=lopsided,
        after=the_same,
        reason=Reason.RESOURCE_MISMATCH,
        message="^{other}: virtfn.dev/fast wants driver kernel, but policy fast gives it vfio-pci",
    ),
    Fault(
        name="a card of which VFs are claimed is to be handed out whole",
        section="13.8",
        provoke=outside.nothing,
        asked=pf_whole,
        after=the_same,
        reason=Reason.FUNCTION_TAKEN,
        message="^{pf}: has its VFs claimed by policy fast; change one of the two",
    ),
    Fault(
        name="a card of which somebody else made VFs is to be handed out whole",
        section="13.8",
        provoke=outside.somebodys_vf,
        asked=other_whole,
        after=the_same,
        reason=Reason.FUNCTION_TAKEN,
        message="^{other}: has 1 VFs, which would disappear with its driver; remove them first: if virtfn made them",
    ),
    Fault(
        name="a card that the machine needs is to be handed out whole",
        section="13.9",
        provoke=outside.default_route,
        asked=other_whole,
        after=the_same,
        reason=Reason.NEEDED_BY_MACHINE,
        message=r"^{other}: is never handed out, because this machine needs it: the default route goes through \w+",
    ),
    Fault(
        name="no card is as the policy says",
        section="13.9",
        provoke=outside.nothing,
        asked=and_other(device={"vendor": "15b3", "device": "101d"}, count=1, driver="vfio-pci"),
        after=the_same,
        reason=Reason.NO_MATCHING_DEVICE,
        message="^no SR-IOV device of this node has vendor 15b3, device 101d; `virtfn list` shows",
    ),
    Fault(
        name="a function that is not there is to be bound",
        section="13.9",
        provoke=outside.nothing,
        asked=and_other(device={"address": "0000:7f:00.0"}, count=1, driver="vfio-pci"),
        after=the_same,
        words=("bind", "0000:7f:00.0"),
        status=4,
        reason=Reason.NO_MATCHING_DEVICE,
        message="^0000:7f:00.0: is not a function that can be handed out; `virtfn list --all` shows those that can",
        told=(Reason.NO_MATCHING_DEVICE, "^no SR-IOV device of this node has address 0000:7f:00.0"),
    ),
    Fault(
        name="a policy has a field wrong",
        section="13.10",
        provoke=outside.nothing,
        asked=and_other(count=1, driver="vfio-pci", indexes="3-1"),
        after=the_same,
        status=2,
        reason=Reason.INVALID_POLICY,
        message=r"spec\.virtualFunctions\.pools\[0\]\.indexes: the range 3-1 runs backwards",
    ),
    Fault(
        name="there is no IOMMU",
        section="13.6",
        provoke=without_iommu,
        before=the_same,
        asked=one_of_the_other,
        after=the_same,
        reason=Reason.NO_IOMMU,
        message="^{other}: has no IOMMU group; switch the IOMMU on in the firmware, and on the kernel command line",
        fake_only="one card without an IOMMU beside others with one is not emulated",
    ),
    Fault(
        name="the whole machine has no IOMMU",
        section="13.6",
        provoke=without_iommu,
        before=nobody,
        asked=other_alone,
        after=nobody,
        reason=Reason.NO_IOMMU,
        message="^{other}: has no IOMMU group; switch the IOMMU on in the firmware, and on the kernel command line",
        hardware="no-iommu",
    ),
    Fault(
        name="the card is behind a switch without ACS",
        section="13.7",
        provoke=no_acs,
        before=nobody,
        asked=other_alone,
        after=nobody,
        reason=Reason.GROUP_NOT_VIABLE,
        message=r"^{other}: shares IOMMU group \d+ with port [0-9a-f:.]+ \(no ACS\).*; move the card to a slot with",
        hardware="no-acs",
    ),
    Fault(
        name="a neighbour in the IOMMU group of a VF is on a kernel driver",
        section="13.7",
        provoke=neighbour_in_group,
        reason=Reason.GROUP_NOT_VIABLE,
        message=r"^{vf}: shares IOMMU group {group} with 0000:03:00.0 \(e1000e\)",
        fake_only="two cards in one group with VFs are not emulated",
    ),
)

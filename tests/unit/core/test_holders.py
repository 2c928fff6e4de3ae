"""Who holds a function is a fact; one function makes a sentence of it, and the wire says the fact."""

import pytest

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.codec import CodecError, decode, encode
from virtfn_host.core.values.holders import Cause, Holder, Pod, Process, holder_text

VF = PciAddress(0, 1, 0x10, 0)
QEMU = Process(pid=4242, command="qemu-system-x86")
TOLD = {
    "pod default/dpdk-0": Holder(address=VF, cause=Cause.KUBELET, pod=Pod(namespace="default", name="dpdk-0")),
    "a pod that is being started (device plugin's ledger)": Holder(address=VF, cause=Cause.LEDGER),
    "process 4242 (qemu-system-x86) has its group open": Holder(address=VF, cause=Cause.GROUP_OPEN, process=QEMU),
    "process 7 (gone) has /dev/vfio/devices/vfio3 open": Holder(
        address=VF, cause=Cause.CDEV_OPEN, process=Process(pid=7, command=None), at="/dev/vfio/devices/vfio3"
    ),
    "process 4242 (qemu-system-x86) has /dev/nvme0n1 open": Holder(
        address=VF, cause=Cause.NODE_OPEN, process=QEMU, at="/dev/nvme0n1"
    ),
    "dm-3 holds /dev/nvme0n1p2": Holder(address=VF, cause=Cause.DISK_HELD, at="/dev/nvme0n1p2", said="dm-3"),
    "its vfio device is open": Holder(address=VF, cause=Cause.ENABLED),
    "0000:01:10.1 of the same IOMMU group: its vfio device is open": Holder(
        address=VF, cause=Cause.ENABLED, member=PciAddress(0, 1, 0x10, 1)
    ),
    "its netdev is in another network namespace": Holder(address=VF, cause=Cause.NETDEV_AWAY),
    "its netdev eth3 is up": Holder(address=VF, cause=Cause.NETDEV_UP, at="eth3"),
    "its netdev eth3 has a master": Holder(address=VF, cause=Cause.NETDEV_MASTER, at="eth3"),
    "its netdev eth3 has the address 192.0.2.1": Holder(
        address=VF, cause=Cause.NETDEV_ADDRESS, at="eth3", said="192.0.2.1"
    ),
    "the file system on / is on it": Holder(address=VF, cause=Cause.NEEDED, said="the file system on / is on it"),
    "/proc/1/fd could not be read": Holder(address=VF, cause=Cause.UNREADABLE, said="/proc/1/fd could not be read"),
    "the kernel shows no enable count for it, so its use is unknown": Holder(address=VF, cause=Cause.NO_ENABLE_COUNT),
    "the kubelet does not answer, so the holder is unknown": Holder(address=VF, cause=Cause.KUBELET_SILENT),
    "the device plugin's ledger cannot be read, so the holder is unknown": Holder(
        address=VF, cause=Cause.LEDGER_UNREADABLE
    ),
}


def test_every_cause_has_its_sentence() -> None:
    assert {holder.cause for holder in TOLD.values()} == set(Cause)
    assert [holder_text(holder) for holder in TOLD.values()] == list(TOLD)


def test_a_pod_is_said_as_namespace_and_name_and_what_the_kernel_shows_as_what_it_is() -> None:
    pod, process = encode(TOLD["pod default/dpdk-0"]), encode(TOLD["process 4242 (qemu-system-x86) has its group open"])
    assert (pod["cause"], pod["pod"], pod["process"]) == ("kubelet", {"namespace": "default", "name": "dpdk-0"}, None)
    assert (process["cause"], process["process"]) == ("groupOpen", {"pid": 4242, "command": "qemu-system-x86"})


@pytest.mark.parametrize("holder", TOLD.values(), ids=TOLD)
def test_what_is_told_comes_back_the_same(holder: Holder) -> None:
    assert decode(Holder, encode(holder), "Holder") == holder


def test_a_sentence_is_no_fact() -> None:
    with pytest.raises(CodecError, match="unknown field text"):
        decode(Holder, {"address": str(VF), "cause": "kubelet", "text": "pod a/b"}, "Holder")

"""One emulated machine: what hardware it has, as QEMU's words, and its life as a process.

Emulated SR-IOV: igb is an 82576 with 7 VFs, nvme can have 127. Every card sits on a root port of its own, because two
on the root complex collide with their VFs.
"""

import ctypes
import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from virtfn_lab.node_image import NodeImage
from virtfn_lab.paths import cache_dir
from virtfn_lab.progress import step


def _port(number: int, name: str, *more: str) -> list[str]:
    return ["-device", ",".join([f"pcie-root-port,id=rp{number},slot={number},bus=pcie.0", *more]), *_net(number, name)]


def _net(number: int, name: str) -> list[str]:
    if not name:
        return []
    return [
        "-netdev",
        f"user,id=n{number},restrict=on",
        "-device",
        f"{name},id=nic{number},netdev=n{number},bus=rp{number}",
    ]


_NVME_CARD = (
    "nvme,id=nvm0,serial=x0,subsys=s0,bus=rp3,sriov_max_vfs=127,sriov_vq_flexible=254,sriov_vi_flexible=127,"
    "max_ioqpairs=256,msix_qsize=130"
)
_NVME = [
    *_port(3, "", "mem-reserve=64M"),
    *["-device", "nvme-subsys,id=s0"],
    "-device",
    _NVME_CARD,
]


def _on_numa_node(number: int, bus: int) -> list[str]:
    """A root complex of its own with one igb, and the memory and processor of the node it belongs to."""
    return [
        *["-object", f"memory-backend-ram,id=m{number},size=1G"],
        *["-numa", f"node,nodeid={number},cpus={number},memdev=m{number}"],
        *["-device", f"pxb-pcie,id=pxb{number},bus_nr={bus},bus=pcie.0,numa_node={number}"],
        *["-device", f"pcie-root-port,id=rp{number},bus=pxb{number},chassis={11 + number},slot={11 + number}"],
        *_net(number, "igb"),
    ]


_TWO_FUNCTIONS = [
    *_port(4, ""),
    *["-netdev", "user,id=n4,restrict=on", "-device", "e1000e,netdev=n4,bus=rp4,multifunction=on,addr=0.0,romfile="],
    *["-netdev", "user,id=n5,restrict=on", "-device", "e1000e,netdev=n5,bus=rp4,addr=0.1,romfile="],
]
"""One card with two functions and no ACS between them: one IOMMU group."""

TOPOLOGIES: Mapping[str, list[str]] = {
    "igb2": [*_port(1, "igb"), *_port(2, "igb")],
    "igb2-nvme": [*_port(1, "igb"), *_port(2, "igb"), *_NVME],
    "nvme": _NVME,
    "no-acs": [
        *["-device", "pcie-root-port,id=rp1,slot=1,bus=pcie.0"],
        *["-device", "x3130-upstream,id=up1,bus=rp1"],
        *["-device", "xio3130-downstream,id=dn1,bus=up1,chassis=5,slot=1"],
        *["-device", "xio3130-downstream,id=dn2,bus=up1,chassis=5,slot=2"],
        *["-netdev", "user,id=n1,restrict=on", "-device", "igb,id=nic1,netdev=n1,bus=dn1"],
        *["-netdev", "user,id=n2,restrict=on", "-device", "igb,id=nic2,netdev=n2,bus=dn2"],
    ],
    "numa": [*_on_numa_node(0, 32), *_on_numa_node(1, 64)],
    "multifunction": _TWO_FUNCTIONS,
    "bridge": [
        *["-device", "pcie-pci-bridge,id=br1,bus=pcie.0"],
        *["-netdev", "user,id=n1,restrict=on"],
        *["-device", "virtio-net-pci,disable-legacy=on,netdev=n1,bus=br1,addr=1,romfile="],
        *["-netdev", "user,id=n2,restrict=on"],
        *["-device", "virtio-net-pci,disable-legacy=on,netdev=n2,bus=br1,addr=2,romfile="],
    ],
    "contract": [*_port(1, "igb"), *_port(2, "igb"), *_TWO_FUNCTIONS],
    "none": [],
}
"""Name to QEMU's words for the cards of a machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """What a machine has."""

    topology: str = "igb2"
    iommu: bool = True
    memory_mb: int = 2048
    cpus: int = 2
    threads: str = "single"
    """TCG threads. `multi` is needed for timing side by side; `single` is the steadier one (measured)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """A machine to boot: hardware, image, folders it shares and words for its kernel command line."""

    hardware: Hardware
    image: NodeImage
    shares: Mapping[str, tuple[Path, bool]]
    """Mount tag to folder and whether the guest may write."""
    settings: Mapping[str, str]
    """`virtfn.NAME=VALUE` on the kernel command line, without white space."""
    console: Path
    monitor: Path
    more: list[str] = field(default_factory=list)


def command(guest: Guest) -> list[str]:
    """QEMU's command line."""
    hardware = guest.hardware
    # Ten ticks in a busy wait: an emulated machine whose host is busy gets too few of them, and the kernel panics.
    boot = ["no_timer_check", "console=ttyS0", "panic=1", "quiet", "mitigations=off", "audit=0", "random.trust_cpu=on"]
    boot += ["intel_iommu=on", "iommu=pt"] if hardware.iommu else []
    boot += [f"virtfn.{name}={value}" for name, value in guest.settings.items()]
    words = ["qemu-system-x86_64", "-display", "none", "-no-reboot", "-nodefaults", "-M", "q35,kernel-irqchip=split"]
    words += ["-m", str(hardware.memory_mb), "-smp", str(hardware.cpus), *accelerator(guest)]
    words += ["-serial", f"file:{guest.console}", "-qmp", f"unix:{guest.monitor},server=on,wait=off"]
    words += ["-kernel", str(guest.image.vmlinuz), "-initrd", str(guest.image.initrd), "-append", " ".join(boot)]
    words += ["-drive", f"file={guest.image.disk},format=raw,if=none,id=d0,snapshot=on,cache=unsafe"]
    words += ["-device", "virtio-blk-pci,drive=d0,disable-legacy=on", "-device", "virtio-rng-pci"]
    words += ["-device", "intel-iommu,intremap=on"] if hardware.iommu else []
    for tag, (folder, writable) in guest.shares.items():
        mode = "" if writable else ",readonly=on"
        words += ["-virtfs", f"local,path={folder},mount_tag={tag},security_model=none,multidevs=remap{mode}"]
    # Last: what names no bus goes to the newest one that takes it, and the bus of a NUMA node takes only bridges.
    return [*words, *guest.more, *TOPOLOGIES[hardware.topology]]


KVM_PATIENCE = 20
"""Seconds for a kernel without a root to panic under KVM; where KVM works it takes two."""


def has_kvm(vmlinuz: Path) -> bool:
    """Whether KVM runs a guest here. The device may be there, make machines, and still run nothing (measured), so a
    kernel is booted to its panic; the answer is kept for this boot of the machine.
    """
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    answer = cache_dir() / f"kvm-{boot}"
    if not answer.exists():
        with step("trying KVM"):
            answer.write_text("yes" if _panics_under_kvm(vmlinuz) else "no")
    return answer.read_text() == "yes"


def _panics_under_kvm(vmlinuz: Path) -> bool:
    words = ["qemu-system-x86_64", "-accel", "kvm", "-cpu", "host", "-M", "q35,kernel-irqchip=split", "-m", "512"]
    words += ["-display", "none", "-no-reboot", "-nodefaults", "-kernel", str(vmlinuz), "-append", "panic=-1"]
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=KVM_PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def accelerator(guest: Guest) -> list[str]:
    """KVM where it works, else emulation."""
    if has_kvm(guest.image.vmlinuz):
        return ["-accel", "kvm", "-cpu", "host"]
    return ["-accel", f"tcg,thread={guest.hardware.threads}", "-cpu", "max"]


def start(guest: Guest, output: IO[bytes] | int) -> subprocess.Popen[bytes]:
    """Start QEMU; it dies with us. Its standard output (a virtio port, if the guest has one) goes to `output`."""
    guest.monitor.unlink(missing_ok=True)
    return subprocess.Popen(
        command(guest), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, preexec_fn=_die_with_parent
    )


def _die_with_parent() -> None:
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)

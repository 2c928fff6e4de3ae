"""One emulated machine: its hardware as QEMU's options, and its process.

Emulated SR-IOV: igb is an 82576 with 7 VFs, nvme can have 127. Every card has a root port of its own, because the VFs
of two cards on the root complex collide.
"""

import ctypes
import json
import os
import signal
import socket
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
    """Return a root complex with one igb, and the memory and processor of its NUMA node."""
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

_NVME_DISK = [
    *_port(3, ""),
    *["-drive", "driver=null-co,size=64M,read-zeroes=on,if=none,id=ns0,snapshot=on"],
    *["-device", "nvme,serial=disk0,drive=ns0,bus=rp3"],
]
"""An NVMe controller with a disk of 64 MiB, which keeps what is written while the machine runs."""

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
    "consumers": [*_port(1, "igb"), *_port(2, "igb"), *_NVME_DISK],
    "none": [],
}
"""QEMU's options for the cards of each topology."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """The hardware of a machine."""

    topology: str = "igb2"
    iommu: bool = True
    memory_mb: int = 2048
    cpus: int = 2
    threads: str = "single"
    """TCG threads. Timing of parallel work needs `multi`; `single` is steadier (BROKEN_EMULATION)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """A machine to boot: hardware, image, shared folders and words for its kernel command line."""

    hardware: Hardware
    image: NodeImage
    shares: Mapping[str, tuple[Path, bool]]
    """Shared folders by mount tag, each with whether the guest may write."""
    settings: Mapping[str, str]
    """Words for the kernel command line, as `virtfn.NAME=VALUE`, without white space."""
    console: Path
    monitor: Path
    more: list[str] = field(default_factory=list)
    reboots: bool = False
    """Whether it boots again when it resets, with its disks as they were then; else its process ends."""


def command(guest: Guest) -> list[str]:
    """Return QEMU's command line."""
    hardware = guest.hardware
    # no_timer_check: at boot the kernel counts timer ticks in a busy wait; on a busy host it gets too few and panics.
    boot = ["no_timer_check", "console=ttyS0", "panic=1", "quiet", "mitigations=off", "audit=0", "random.trust_cpu=on"]
    boot += ["intel_iommu=on", "iommu=pt"] if hardware.iommu else []
    boot += [f"virtfn.{name}={value}" for name, value in guest.settings.items()]
    words = ["qemu-system-x86_64", "-display", "none", "-nodefaults", "-M", "q35,kernel-irqchip=split"]
    words += ["-bios", str(guest.image.firmware)]
    words += [] if guest.reboots else ["-no-reboot"]
    words += ["-m", str(hardware.memory_mb), "-smp", str(hardware.cpus), *accelerator(guest)]
    words += ["-serial", f"file:{guest.console}", "-qmp", f"unix:{guest.monitor},server=on,wait=off"]
    words += ["-kernel", str(guest.image.vmlinuz), "-initrd", str(guest.image.initrd), "-append", " ".join(boot)]
    words += ["-drive", f"file={guest.image.disk},format=raw,if=none,id=d0,snapshot=on,cache=unsafe"]
    words += ["-device", "virtio-blk-pci,drive=d0,disable-legacy=on", "-device", "virtio-rng-pci"]
    words += ["-device", "intel-iommu,intremap=on"] if hardware.iommu else []
    for tag, (folder, writable) in guest.shares.items():
        mode = "" if writable else ",readonly=on"
        words += ["-virtfs", f"local,path={folder},mount_tag={tag},security_model=none,multidevs=remap{mode}"]
    # The topology comes last: a device without a bus goes to the newest bus, and a NUMA node's bus takes only bridges.
    return [*words, *guest.more, *TOPOLOGIES[hardware.topology]]


BROKEN_EMULATION = ("rcu: INFO", "rcu_preempt detected stalls", "rcu_sched detected stalls")
"""Words that a guest prints when QEMU lost a timer (in about one run of twenty with several TCG threads)."""

STALLS = 3
"""Messages about a stall, 21 s apart, after which a guest that boots counts as broken; a loaded host causes one."""

KVM_PATIENCE = 20
"""Seconds for a kernel without a root to panic; where KVM works it takes two."""


def has_kvm(vmlinuz: Path) -> bool:
    """Whether KVM runs a guest here. A /dev/kvm may exist and make machines that never run (docs/lab.md), so a kernel
    is booted to its panic. The answer is kept until this machine reboots.
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
    """Return QEMU's options for KVM where it works, else for emulation."""
    if has_kvm(guest.image.vmlinuz):
        return ["-accel", "kvm", "-cpu", "host"]
    return ["-accel", f"tcg,thread={guest.hardware.threads}", "-cpu", "max"]


def start(guest: Guest, output: IO[bytes] | int) -> subprocess.Popen[bytes]:
    """Start QEMU, which ends with this process. Its standard output (a virtio port, if any) goes to `output`."""
    guest.monitor.unlink(missing_ok=True)
    return subprocess.Popen(
        command(guest), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, preexec_fn=_die_with_parent
    )


def _die_with_parent() -> None:
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def is_broken(console: Path, since: int = 0) -> bool:
    """Return whether the emulator broke a guest that boots, as its console shows after `since` bytes."""
    text = console.read_bytes()[since:].decode(errors="replace") if console.exists() else ""
    return sum(text.count(words) for words in BROKEN_EMULATION[1:]) >= STALLS


def reset(monitor: Path) -> None:
    """Reset a guest; it boots again if it is one that `reboots`.

    Raises:
        OSError: QEMU does not answer at its monitor.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(str(monitor))
        with connection.makefile("rw") as lines:
            for word in ("qmp_capabilities", "system_reset"):
                lines.write(json.dumps({"execute": word, "id": word}) + "\n")
            lines.flush()
            while '"id": "system_reset"' not in (line := lines.readline()):
                if not line:
                    raise OSError(f"{monitor}: QEMU closed its monitor")

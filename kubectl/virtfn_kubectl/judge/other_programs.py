"""Other programs that manage the same devices: both would write sriov_numvfs and drivers of the same functions."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from virtfn_kubectl.read.members import DaemonSeen

IMPORT = "kubectl get -A -o yaml sriovnetworknodepolicies,sriovnetworks | virtfn import sno -    (docs/migration.md)"
SRIOVDP = "virtfn import sriovdp CONFIG    (docs/migration.md)"


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherProgram:
    """A program that was found."""

    text: str
    next: str
    running: bool
    """Whether it runs on nodes, or is only known to the API server."""


_GROUPS = {
    "sriovnetwork.openshift.io": ("the SR-IOV network operator", IMPORT),
    "mellanox.com": ("NVIDIA's network operator", IMPORT),
    "sriovfec.intel.com": ("Intel's SR-IOV FEC operator", "leave its cards out of spec.devices of every policy"),
    "sriovvrb.intel.com": ("Intel's SR-IOV FEC operator", "leave its cards out of spec.devices of every policy"),
    "devices.harvesterhci.io": ("Harvester's PCI devices", "disable the devices there that virtfn shall have"),
}
"""API groups, by the program that has them and the way over."""

_IMAGES = (
    (re.compile(r"sriov-network-(operator-)?config-daemon"), "the SR-IOV network operator", IMPORT),
    (re.compile(r"sriov-(network-)?device-plugin|sriovdp"), "the SR-IOV network device plugin", SRIOVDP),
    (re.compile(r"sriov-fec-daemon"), "Intel's SR-IOV FEC operator", _GROUPS["sriovfec.intel.com"][1]),
    (re.compile(r"/pcidevices\b"), "Harvester's PCI devices", _GROUPS["devices.harvesterhci.io"][1]),
    (re.compile(r"intel-qat-plugin"), "Intel's QAT device plugin", "leave its cards out of spec.devices"),
)
"""Images of DaemonSets that bind functions or set numbers of VFs."""


def other_programs(groups: frozenset[str], daemons: Sequence[DaemonSeen] | None) -> Iterator[OtherProgram]:
    """Yield what was found: first what runs on nodes, then what only the API server knows.

    Args:
        groups: API groups.
        daemons: DaemonSets; None: they could not be read.
    """
    told = set()
    running = "no DaemonSet of it was found" if daemons is not None else "whether it runs was not looked at"
    for daemon in daemons or ():
        for pattern, name, step in _IMAGES:
            if any(pattern.search(image) for image in daemon.images):
                told.add(name)
                text = f"{name} runs: DaemonSet {daemon.namespace}/{daemon.name}; both would change the same functions"
                yield OtherProgram(text=text, next=step, running=True)
                break
    for group, (name, step) in _GROUPS.items():
        if group in groups and name not in told:
            told.add(name)
            text = f"{name} is installed (API group {group}); {running}"
            yield OtherProgram(text=text, next=step, running=False)

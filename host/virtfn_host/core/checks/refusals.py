"""The causes of an errno that answers a write of virtfn, and their remedies: one table, with its sources.

`Attempt` is the kind of write, `way_out` returns the causes known for an errno there, and `pf_trouble` adds the PF's
own state. A text names all known causes, because the errno alone does not tell them apart; the kernel log does.
"""

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

ENOTSUPP = 524
"""The kernel's own number for "not supported" (<linux/errno.h>); no C library and no Python has a name for it."""

LOG = "see the kernel log"


class Attempt(StrEnum):
    """The kind of a write."""

    NUM_VFS = "sriov_numvfs"
    NO_VFS = "0 to sriov_numvfs"
    """The write that takes all VFs away."""
    AUTOPROBE = "sriov_drivers_autoprobe"
    OVERRIDE = "driver_override"
    BIND = "bind"
    UNBIND = "unbind"
    PROBE = "drivers_probe"
    LINK = "link"
    """A link setting of a VF, by rtnetlink."""
    MTU = "mtu"
    """The MTU of a netdev, by rtnetlink."""
    RATE = "rate"
    """A link setting that is a share of the link's speed."""
    OTHER = "other"


def write_of(path: str, value: str) -> Attempt:
    """Return the kind of a write of this value to this path of sysfs."""
    name = path.rpartition("/")[2]
    if name == Attempt.NUM_VFS and value == "0":
        return Attempt.NO_VFS
    return Attempt(name) if name in _FILES else Attempt.OTHER


_FILES = frozenset({Attempt.NUM_VFS, Attempt.AUTOPROBE, Attempt.OVERRIDE, Attempt.BIND, Attempt.UNBIND, Attempt.PROBE})

_RIGHTS = "run as root, in a privileged container or in none"
_LOCKDOWN = "the kernel is locked down (/sys/kernel/security/lockdown)"

_KEPT = "a VF is in a virtual machine (Xen's pciback), or the driver keeps its VFs in its present mode; end that first"

ANYWHERE: Mapping[int, str] = {
    errno.EACCES: "run as root",
    errno.EPERM: "virtfn does not write this file",
    errno.EROFS: "sysfs is mounted read-only here",
    errno.EINTR: "the process that wrote it for us was killed; look whether it reached the kernel",
    errno.ECANCELED: "not begun, because the process that was to write it was killed",
    errno.EBUSY: "something else has the device; find out what, and try again",
    errno.EAGAIN: "the driver is busy with something else; it is tried again",
    errno.ENODEV: "the device is gone or is being reset",
    errno.ENOENT: "this kernel has no such file, or the driver is not loaded",
    errno.ENOMEM: "the kernel has too little memory",
    errno.EIO: "the card does not answer as it should: it is being reset, or it has failed; reset it, or the machine",
    errno.ETIMEDOUT: "the card's firmware has not answered in time; it may be in recovery",
    errno.EOPNOTSUPP: "the driver cannot do this",
    ENOTSUPP: "the driver cannot do this",
}
"""Used where the table below has nothing more exact. EIO and ETIMEDOUT: drivers pass on their firmware's answer."""

TABLE: Mapping[Attempt, Mapping[int, str]] = {
    # drivers/pci/iov.c: sriov_numvfs_store; the first three are measured (tests/contract/test_writes.py).
    Attempt.NUM_VFS: {
        errno.ERANGE: "more VFs than sriov_totalvfs; ask for fewer",
        errno.ENOENT: "the driver that the PF is on cannot make VFs; bind its own",
        errno.EBUSY: "something else has the device: it has VFs already, is being reset, or a VF is in a "
        "virtual machine; find out what, and try again",
        # iov.c: sriov_enable, "not enough MMIO resources for SR-IOV" and "can't enable %d VFs (bus %02x out of range".
        errno.ENOMEM: "the firmware left too little MMIO space (switch on Above 4G Decoding and SR-IOV "
        "there, or try pci=realloc on the kernel command line), or too few bus numbers (ARI, or pci=assign-busses)",
        # ice_sriov.c: ice_set_per_vf_res, "Only %d MSI-X interrupts available for SR-IOV" and "Not enough queues"; it
        # answered EIO before. openshift/sriov-network-operator#1185: irdma had them.
        errno.ENOSPC: "the card has too few interrupt vectors (MSI-X) or queues left; ask for fewer VFs, "
        "or free some: unload its RDMA driver (irdma), or give its netdev fewer channels (ethtool -L)",
        errno.EIO: "the SR-IOV capability of the card contradicts itself, it has too few MSI-X vectors "
        "(older ice), or its firmware refused; update the firmware, ask for fewer VFs, or reset the card",
        # i40e_virtchnl_pf.c and ionic_bus_pci.c: "Unable to configure VFs, other operation is pending".
        errno.EAGAIN: "the PF's driver has another operation on its VFs pending; it is tried again",
        # i40e: i40e_pci_sriov_enable, "Limited to %d VFs due to device resource constraints"; others alike.
        errno.EPERM: "the driver allows fewer VFs than sriov_totalvfs, or none in its present mode (XDP, DCB); "
        f"ask for fewer, or change that. Else {_LOCKDOWN}",
        errno.EINVAL: f"{LOG}: the driver or the card's firmware refused this number of VFs; ask for "
        "fewer, and compare with what its firmware is set to (mlxconfig NUM_OF_VFS and the like)",
        errno.ENODEV: "the PF is gone, is being reset, or a function that it depends on is missing",
        errno.EOPNOTSUPP: "the driver cannot make VFs as it is: firmware has SR-IOV off, or the card is "
        "in safe mode (ice without its DDP package); switch it on, or install the package",
        ENOTSUPP: "the driver cannot make VFs as it is: SR-IOV is off in its firmware or e-switch",
        errno.ENOSYS: "this kernel was built without SR-IOV (CONFIG_PCI_IOV)",
        errno.ETIMEDOUT: "the card's firmware has not answered in time; it may be in recovery",
    },
    # igb_main.c: igb_disable_sriov, ixgbe_sriov.c and i40e_virtchnl_pf.c: "Unable to free VFs because some are assigned
    # to VMs" (pci_vfs_assigned: Xen's pciback); others alike.
    Attempt.NO_VFS: {
        errno.ENOENT: "the driver that the PF is on cannot take VFs away; bind its own",
        errno.EBUSY: f"{_KEPT}; or the PF is being reset",
        errno.EPERM: f"{_KEPT}; else {_LOCKDOWN}",
        errno.EINVAL: f"{_KEPT}; {LOG} for the driver's word",
        errno.EAGAIN: "the PF's driver has another operation on its VFs pending; it is tried again",
        errno.ENODEV: "the PF is gone, or is being reset",
    },
    # drivers/base/bus.c: bind_store; drivers/vfio: vfio_pci_core_register_device, iommu_device_claim_dma_owner.
    # Measured (tests/contract/test_writes.py): EINVAL without an IOMMU, EBUSY, ENODEV, ENOENT.
    Attempt.BIND: {
        errno.EBUSY: "something else has the device: it is bound already, or its IOMMU group belongs to a "
        "program that uses vfio; find out what, and try again",
        errno.ENODEV: "no such device, the driver does not take it, or driver_override names another",
        errno.ENOENT: "the driver is not loaded",
        errno.EINVAL: "for a bind to vfio-pci: is the IOMMU on? Else firmware demands a fixed mapping for "
        "the device (RMRR)",
        errno.EPERM: f"the driver may not have it: {_LOCKDOWN}, or the platform reserves the device",
        errno.ENOMEM: "the driver found too little memory, MMIO space or DMA space for it",
        errno.ENOSPC: "the driver found too few interrupt vectors (MSI-X) for it; use fewer VFs, or free some",
        errno.EIO: "the device did not answer its driver: it is being reset, or it has failed",
        errno.EAGAIN: "the driver waits for something else and is to be asked again",
        errno.ETIMEDOUT: "the device did not answer its driver in time; is its PF up and well?",
        errno.EOPNOTSUPP: "the driver does not support this device",
        ENOTSUPP: "the driver does not support this device",
    },
    # drivers/base/bus.c: unbind_store; the file lies below the link `driver`, so it is gone with the driver.
    Attempt.UNBIND: {
        errno.ENOENT: "it has no driver any more",
        errno.ENODEV: "it is not bound to that driver any more",
        errno.EPERM: _RIGHTS,
    },
    # drivers/base/driver.c: driver_set_override.
    Attempt.OVERRIDE: {
        errno.EINVAL: "the name is longer than one page",
        errno.EPERM: _RIGHTS,
        errno.ENOENT: "the device is gone",
    },
    Attempt.AUTOPROBE: {
        errno.EINVAL: "it takes 0 and 1 only",
        errno.EPERM: _RIGHTS,
        errno.ENOENT: "the device is gone, or has no SR-IOV any more",
    },
    Attempt.PROBE: {
        errno.EINVAL: "its IOMMU group belongs to a program that uses vfio",
        errno.ENODEV: "there is no such device",
        errno.EPERM: _RIGHTS,
    },
    # net/core/rtnetlink.c: do_setvfinfo answers EOPNOTSUPP where the driver has no such operation; EINVAL, EAGAIN and
    # EPERM come from drivers (measured on igb: docs/decisions/0010; i40e: "VF still in reset. Try again").
    Attempt.LINK: {
        errno.EOPNOTSUPP: "the PF's driver does not know this setting; leave it out",
        ENOTSUPP: "the PF's driver does not know this setting; leave it out",
        errno.EPROTONOSUPPORT: "the PF's driver knows no such VLAN; leave it out",
        errno.EPERM: "run as root in the host's user namespace; else the driver refuses it in its present mode",
        errno.EINVAL: f"the driver takes no such value, or no such VF; {LOG} for its word",
        errno.EAGAIN: "the VF is being reset, or another operation is pending; it is tried again",
        errno.EBUSY: "the VF is being reset, or something else configures it; it is tried again",
        errno.ENODEV: "the PF's netdev is gone: renamed, or moved to another network namespace",
        errno.ENOSPC: "the card has no room for another filter or address; take some away",
        errno.ENOMEM: "the card has no room for another filter or address; take some away",
    },
    # net/core/dev.c: dev_validate_mtu, "mtu less than device minimum" and "mtu greater than device maximum"; others
    # come from drivers (ndo_change_mtu): an XDP program, or a mailbox to a PF that is down.
    Attempt.MTU: {
        errno.EINVAL: "the card or its driver takes no such MTU, at least not now (an XDP program, a PF with less)",
        errno.EPERM: "run as root in the host's user namespace; else the PF's driver refuses it for a VF",
        errno.EOPNOTSUPP: "the driver changes no MTU; leave mtu out",
        errno.ENODEV: "the netdev is gone: renamed, or moved to another network namespace",
        errno.EBUSY: "the card is being reset, or something else configures it; it is tried again",
    },
}


def way_out(write: Attempt, number: int) -> str:
    """Return the known causes and remedies of an errno that answered a write."""
    if write is Attempt.RATE:
        if number == errno.EINVAL:
            return "a rate needs a link and must be below its speed, and some drivers know no minTxRate"
        write = Attempt.LINK
    return TABLE.get(write, {}).get(number) or ANYWHERE.get(number, LOG)


def module_way_out(answer: str) -> str:
    """Return the remedy for an answer of modprobe; kmod prints the errno's text (kernel/module/main.c, signing.c)."""
    if "install command" in answer:  # kmod's libkmod-module.c: command_do; its answer ends with "Invalid argument", too
        return "an `install` line in /etc/modprobe.d runs another command instead; remove that line"
    if "Key was rejected" in answer or "Required key not available" in answer:
        return "the module is not signed by a key that this kernel trusts (Secure Boot); sign it, or enrol its key"
    if "Operation not permitted" in answer:
        return f"{_LOCKDOWN} and takes signed modules only, or modules are switched off (kernel.modules_disabled)"
    if "Invalid argument" in answer:
        return "the module refuses its options (/etc/modprobe.d), or was built for another kernel; see the kernel log"
    if "Exec format error" in answer or "Unknown symbol" in answer:
        return "the module was built for another kernel; install that of the running one"
    return "install the module or name another driver"


# --- the PF's own state ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PfState:
    """The state of a PF after a failure."""

    netdev: str | None = None
    up: bool | None = None
    """Whether its netdev is up; None: it has none."""
    switchdev: bool = False
    """Whether its e-switch is in switchdev mode: its netdev says which switch it belongs to."""
    answers: bool = True
    """Whether it answers on the bus; otherwise its configuration space reads as ones."""


_SLOW = frozenset({errno.EIO, errno.EAGAIN, errno.ENETDOWN, errno.ETIMEDOUT})

DOWN: Mapping[Attempt, frozenset[int | None]] = {
    Attempt.NUM_VFS: frozenset({None, errno.EINVAL, errno.ENODEV, errno.EOPNOTSUPP}) | _SLOW,
    Attempt.RATE: frozenset({errno.EINVAL, errno.EOPNOTSUPP}) | _SLOW,
    Attempt.BIND: _SLOW,  # a VF's own driver waits for the PF; vfio-pci does not (EINVAL, ENODEV: see the table)
}
"""Answers of drivers while the PF's netdev is down; None: success, and nothing was made."""

_WHILE_DOWN = {
    Attempt.NUM_VFS: "and some drivers (bnxt_en) make no VFs then, or refuse",
    Attempt.RATE: "and a share of its speed needs a link",
    Attempt.BIND: "and a VF's own driver may wait for its PF in vain",
}


def pf_trouble(write: Attempt, number: int | None, state: PfState) -> str | None:
    """Return the state of the PF that explains a failure; None if nothing does.

    Args:
        number: the errno; None: the kernel reported success and did nothing.
    """
    if write not in (Attempt.NUM_VFS, Attempt.NO_VFS, Attempt.BIND, Attempt.LINK, Attempt.RATE):
        return None
    if not state.answers:
        return "the PF does not answer on the bus: it is being reset or in recovery, or it has failed or lost power"
    if state.switchdev and write in (Attempt.NUM_VFS, Attempt.NO_VFS):
        text = "in which some drivers change no number of VFs (devlink dev eswitch)"
        return f"{state.netdev} is in switchdev mode, {text}"
    if state.switchdev and write in (Attempt.LINK, Attempt.RATE) and number != errno.ENODEV:
        text = "in which VFs are set by their representors (tc, bridge, devlink port function) and not by the PF"
        return f"{state.netdev} is in switchdev mode, {text}"
    if state.up is False and number in DOWN.get(write, ()):
        # bnxt_sriov.c: bnxt_sriov_configure, "Reject SRIOV config request since if is down!", with success.
        return f"{state.netdev} is down, {_WHILE_DOWN[write]}: ip link set {state.netdev} up"
    return None

"""What sysfs shows of one function at one moment, and whether that is what its pool promises. Pure."""

from dataclasses import dataclass

from virtfn_host.core.checks.vfio_nodes import VfioNodes
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.offered import PoolDevice
from virtfn_host.core.values.rdma import RdmaDevice, nodes_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown(VfioNodes):
    """The facts of sysfs and /dev about one function."""

    driver: str | None
    netdev: bool = True
    """False: it is a network function on its network driver, and has no netdev in any network namespace."""
    open_member: PciAddress | None = None
    """A function of the IOMMU group (usually this function) that a program has open through vfio. Only Allocate sets
    it, with `used_by`."""
    lately: PciAddress | None = None
    """Another function of the IOMMU group that was handed out lately. Only Allocate sets it, with the ledger."""
    network: bool = False
    """Whether it is a network function. Only Allocate sets it."""
    rdma: tuple[RdmaDevice, ...] = ()
    """The RDMA devices that were asked about, with the nodes that lead to this function."""

    @property
    def without_verbs(self) -> str:
        """The RDMA devices that programs cannot use, in words; empty: there are none."""
        names = ", ".join(device.name for device in self.rdma if not device.verbs)
        return f"no uverbs node of RDMA device {names}" if names else ""


def not_as_promised(device: PoolDevice, now: Shown) -> str:
    """Return how a function is not as its pool promises, without a subject; empty: it is on the promised driver and has
    its netdev or, on a vfio driver, every node. A node without an IOMMU is given only where the policy accepts that.
    """
    if now.unprotected and not device.no_iommu:
        text = "is on vfio without an IOMMU, which protects nothing"
        return f"{text}; only a policy with allowUnsafeNoIommu: true hands it out"
    lacks = now.lacks or ("" if now.netdev else "no netdev") or now.without_verbs
    right = now.driver == device.driver
    if right and not lacks:
        return ""
    text = f"is on {now.driver or 'no driver'}" + (f" and has {lacks}" if lacks else "")
    return text if right else f"should be on {device.driver}, but it {text}"


LONGEST_FILE = 1 << 16
"""Bytes of the longest file of another program that is looked at; ours have a few hundred."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedFile:
    """A file that other programs read: its name in their folder, and its text."""

    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantedFunction:
    """One function that a container gets, and everything that is written down of it."""

    address: PciAddress
    driver: str
    paths: tuple[str, ...]
    """Its own device nodes of vfio on the host; empty where it is on no vfio driver."""
    rdma: tuple[RdmaDevice, ...] = ()
    """Its RDMA devices, where its policy asks for them."""
    device_info: SharedFile | None = None
    """Of a network function."""
    specs: tuple[SharedFile, ...] = ()
    """CDI specs, where its policy asks for CDI."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """Its own device nodes of every kind."""
        return self.paths + nodes_of(self.rdma)

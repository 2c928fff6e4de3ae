"""What another tool's configuration asks for, in virtfn's terms, before it becomes policies."""

from dataclasses import dataclass
from typing import Any

from virtfn_host.core.translate.places import Place
from virtfn_host.core.values.desired import DeviceMatcher
from virtfn_host.core.values.indexes import Indexes


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One matcher with what is wanted of its functions."""

    matcher: DeviceMatcher
    indexes: Indexes | None = None
    """VFs by index; None: every VF."""
    whole: bool = False
    """The function itself instead of VFs of it."""
    count: int | None = None
    """VFs to make; None: their number is somebody else's."""
    cards: frozenset[tuple[str, str]] = frozenset()
    """Vendor and device IDs that the PFs can have, where the matcher does not say so; none: any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodes:
    """The nodes of a resource: those with all of these labels, and one of these names; none given: every node."""

    labels: tuple[tuple[str, str], ...] = ()
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One resource of the input."""

    source: str
    """What it is, for people: `resourceList[0]`, `SriovNetworkNodePolicy fast`."""
    place: Place
    name: str
    """What its policy may be called."""
    resource: str
    """The resource name with its domain."""
    driver: str
    targets: tuple[Target, ...]
    nodes: Nodes = Nodes()
    priority: int = 0
    rank: int = 0
    """The tool's own order: a lower number comes first. Resources of one rank have no order."""
    chosen_by: tuple[str, ...] = ()
    """What chooses among the VFs of a PF in the input beside their indexes: a policy does not."""
    guid: bool = False
    """Whether VFs on InfiniBand need GUIDs."""
    mac: bool = False
    """Whether VFs on Ethernet need MACs that their PF sets."""
    topology: bool = True
    """Whether the kubelet is told the NUMA nodes of the functions."""
    vhost_net: bool = False
    """Whether containers get `/dev/vhost-net` and `/dev/net/tun`."""
    mtu: int | None = None
    """The MTU of the VFs' netdevs, and the least of their PF's; None: it is left alone."""
    rdma: bool = False
    """Whether containers get the nodes of RDMA devices."""
    notes: tuple[str, ...] = ()
    """What is not carried over or is another now, a sentence each."""
    open: tuple[str, ...] = ()
    """What a person must decide before a policy is as the input asks, a sentence each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Translated:
    """One object to apply, and what is to be said of it. Without an object: what has no equivalent at all."""

    source: str
    document: dict[str, Any] | None
    notes: tuple[str, ...] = ()
    open: tuple[str, ...] = ()
    """Not empty: the object would take other functions than the input, so it is not for use as it stands."""

    @property
    def usable(self) -> bool:
        """Whether the object can be applied as it is."""
        return self.document is not None and not self.open


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """Everything that becomes of one file, in the order of precedence."""

    results: tuple[Translated, ...]
    notes: tuple[str, ...] = ()
    """What concerns the whole file."""

"""The device nodes that a container gets for a function on a vfio driver. Pure.

There is one list (`VfioNodes.paths`): the device plugin's answer names these nodes, and a function is healthy only
while they are there.
"""

from dataclasses import dataclass

from virtfn_host.core.values.parts import Part

VFIO_CONTAINER = "/dev/vfio/vfio"
IOMMUFD = "/dev/iommu"
NOIOMMU = "noiommu-"
"""Beginning of the name of a group's node where vfio runs without an IOMMU."""

MISSING = {
    Part.NODE: "no device node",
    Part.CONTAINER: f"no {VFIO_CONTAINER} beside it",
    Part.IOMMUFD: f"no {IOMMUFD} beside it",
    Part.CDEV: "no cdev in /dev/vfio/devices, which grant.iommufd asks for (CONFIG_VFIO_DEVICE_CDEV of Linux 6.6)",
}
"""What is said of a missing node, after `has`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VfioNodes:
    """What sysfs and /dev show of the device nodes of one function now."""

    vfio_bound: bool
    group_node: str | None
    """Path of the group's device node, e.g. `/dev/vfio/12`; None: there is no such node."""
    cdev: str | None
    """`vfioN` where `/dev/vfio/devices/vfioN` exists."""
    container_node: bool = True
    """Whether `/dev/vfio/vfio` exists, which a container needs beside a group's node."""
    iommufd: bool = True
    """Whether `/dev/iommu` exists, which a container needs beside a cdev."""
    both: bool = False
    """Whether a container gets the cdev beside the group's node (`grant.iommufd`)."""

    @property
    def missing(self) -> Part | None:
        """The first node without which a container cannot use the function; None: all are there, or it needs none."""
        if not self.vfio_bound:
            return None
        if self.group_node is not None and not self.container_node:
            return Part.CONTAINER
        if self.group_node is not None and not self.both:
            return None
        if self.group_node is not None and self.cdev is None:
            return Part.CDEV
        if self.cdev is not None:
            return None if self.iommufd else Part.IOMMUFD
        return Part.NODE

    @property
    def lacks(self) -> str:
        """The missing node in words; empty: none is missing."""
        return "" if self.missing is None else MISSING[self.missing]

    @property
    def unprotected(self) -> bool:
        """Whether its node is one without an IOMMU."""
        return self.vfio_bound and self._group.startswith(NOIOMMU)

    @property
    def paths(self) -> tuple[str, ...]:
        """The device nodes on the host that a container gets for it; empty where it is on no vfio driver."""
        if not self.vfio_bound:
            return ()
        cdev = IOMMUFD, f"/dev/vfio/devices/{self.cdev}"
        if self.group_node is None:
            return cdev
        group = VFIO_CONTAINER, f"/dev/vfio/{self._group}"
        return group + cdev if self.both else group

    @property
    def _group(self) -> str:
        return (self.group_node or "").rpartition("/")[2]


def in_container(path: str) -> str:
    """Return where a container finds a node of the host: as `N` also where the host has `noiommu-N`."""
    return path.replace(f"/{NOIOMMU}", "/")

"""What a container gets beside its functions' vfio nodes and environment (`grant` of a policy). Values only."""

import re
from dataclasses import dataclass
from typing import Annotated

from virtfn_host.core.values.names import Parsed, Within

MAX_GID = 2**31 - 1
"""Kubernetes takes no larger group id (ValidateUserID in apimachinery)."""

_MODE = re.compile(r"06[0246]{2}")


def node_mode(text: str) -> str:
    """Return the mode of a device node in octal digits, like `0660`: the owner, root, reads and writes.

    Raises:
        ValueError: it is not such a mode.
    """
    if not _MODE.fullmatch(text):
        raise ValueError(f"{text[:20]!r} is not a mode like 0660: 06, and two digits of 0, 2, 4, 6")
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Cdi:
    """Device nodes by CDI spec, and who may open them in the container."""

    gid: Annotated[int, Within(0, MAX_GID)] = 0
    """The group of the nodes; the owner is root."""
    mode: Annotated[str, Parsed(node_mode)] = "0600"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """What the containers of one pool get beside the usual."""

    vhost_net: bool = False
    """`/dev/vhost-net`."""
    tun: bool = False
    """`/dev/net/tun`."""
    iommufd: bool = False
    """`/dev/iommu` and the cdev of a function on a vfio driver, also where its group has a node."""
    rdma: bool = False
    """The nodes of the RDMA devices of a function that is on its own driver, and `/dev/infiniband/rdma_cm`."""
    cdi: Cdi | None = None
    """None: device nodes without CDI."""


NOTHING = Extras()
"""Nothing beside the usual."""

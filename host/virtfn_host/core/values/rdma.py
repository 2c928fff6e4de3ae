"""RDMA devices of functions, and the device nodes by which programs use them. Values only."""

import re
from dataclasses import dataclass, field
from typing import Annotated

from virtfn_host.core.values.codec import SPARSE
from virtfn_host.core.values.names import AtMost, Parsed, ShownName
from virtfn_host.core.values.strict_json import clipped

RDMA_CM = "/dev/infiniband/rdma_cm"
"""The node of the connection manager: one for all RDMA devices of a machine."""

NODE_NAME = re.compile(r"(uverbs|umad|issm)[0-9]{1,10}")
"""The kernel's names of the nodes of one RDMA device (drivers/infiniband/core/uverbs_main.c and user_mad.c)."""

_FOLDER = "/dev/infiniband/"


def rdma_node(text: str) -> str:
    """Check the path of a device node of one RDMA device: it is given to a container.

    Raises:
        ValueError: the text is no such path.
    """
    if not text.startswith(_FOLDER) or not NODE_NAME.fullmatch(text.removeprefix(_FOLDER)):
        raise ValueError(f"{clipped(text)} is not a device node like {_FOLDER}uverbs0")
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class RdmaDevice:
    """One RDMA device of a function."""

    name: ShownName
    """The kernel's name, like `mlx5_3`; `rdma link` prints it. It may change with each boot, and by `rdma dev set`."""
    nodes: Annotated[tuple[Annotated[str, Parsed(rdma_node)], ...], AtMost(256)] = ()
    """Its device nodes, sorted. A device has one uverbs, and for each of its ports one umad and one issm."""

    virtual: bool = field(default=False, metadata=SPARSE)
    """Whether it is of no PCI function, but over a netdev, as of rdma_rxe."""

    @property
    def verbs(self) -> bool:
        """Whether programs can use it: they open its uverbs node. The others are for managing a network."""
        return any(node.startswith(f"{_FOLDER}uverbs") for node in self.nodes)


def node_path(name: str) -> str:
    """Return the path of a node from its name."""
    return f"{_FOLDER}{name}"


def nodes_of(devices: tuple[RdmaDevice, ...]) -> tuple[str, ...]:
    """Return the nodes of RDMA devices, each once."""
    return tuple(dict.fromkeys(node for device in devices for node in device.nodes))

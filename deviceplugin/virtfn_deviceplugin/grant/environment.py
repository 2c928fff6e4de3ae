"""The environment of a container that gets functions: the variables that SR-IOV software reads. Pure.

Names, keys and values are those of the SR-IOV network device plugin, and KubeVirt's family beside them
(docs/consumers/contract.md lists what differs). The kubelet keeps only the first of two equal names in a container, so
each name contains its resource name.
"""

import json
import re
from collections.abc import Sequence

from virtfn_deviceplugin.grant.shown import GrantedFunction
from virtfn_host.core.checks.beside import TUN, VHOST_NET
from virtfn_host.core.checks.vfio_nodes import IOMMUFD, in_container
from virtfn_host.core.values.rdma import RdmaDevice, nodes_of

_VHOST = {VHOST_NET: "net-mount", TUN: "tun-mount"}
_NO_SHELL = re.compile(r"[^A-Z0-9_]")


def environment(resource_name: str, functions: Sequence[GrantedFunction], beside: Sequence[str] = ()) -> dict[str, str]:
    """Return the variables for these functions, which are listed in this order.

    Args:
        resource_name: of their pool.
        functions: what the container gets.
        beside: device nodes that it gets and that are not of one function.
    """
    domain, _, name = resource_name.partition("/")
    key = f"{domain}_{name}".upper().replace(".", "_")
    listed = ",".join(str(function.address) for function in functions)
    info = _info(functions, beside)
    values = {f"PCIDEVICE_{key}": listed, f"PCIDEVICE_{key}_INFO": info, f"PCI_RESOURCE_{key}": listed}
    # A shell cannot read a name with a dash, so each value is also there under a name without one.
    return values | {_NO_SHELL.sub("_", name): value for name, value in values.items()}


def _info(functions: Sequence[GrantedFunction], beside: Sequence[str]) -> str:
    """Return the JSON as Go's encoder writes it: sorted keys, no white space."""
    info = {str(function.address): _of(function, beside) for function in functions}
    return json.dumps(info, separators=(",", ":"), sort_keys=True)


def _of(function: GrantedFunction, beside: Sequence[str]) -> dict[str, dict[str, str]]:
    info = {"generic": {"deviceID": str(function.address)}}
    if function.paths:
        mount, node = function.paths[:2]
        info["vfio"] = {"mount": mount, "dev-mount": in_container(node)}
    if IOMMUFD in function.paths:
        info["iommufd"] = {"mount": IOMMUFD, "dev-mount": function.paths[-1]}
    if function.rdma:
        info["rdma"] = _rdma(function.rdma, beside)
    if vhost := {_VHOST[path]: path for path in beside if path in _VHOST}:
        info["vhost"] = vhost
    return info


def _rdma(devices: Sequence[RdmaDevice], beside: Sequence[str]) -> dict[str, str]:
    """Return the first RDMA device and its first node of each kind: the format has room for no more."""
    paths = [path for path in (*nodes_of(tuple(devices)), *beside) if path not in _VHOST]
    kinds = {path.rpartition("/")[2].rstrip("0123456789"): path for path in reversed(paths)}
    return {**kinds, "rdma_dev": devices[0].name}

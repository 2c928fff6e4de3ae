"""CDI specs: how a container runtime finds the device nodes of a function by a name. Pure.

Each function has two names, each in a spec of its own, because a spec has one kind:

    virtfn.dev/pci=0000:01:10.0     by PCI address; a container is given this one
    virtfn.dev/fast=0000:01:10.0    by resource name and device id, as Kata looks for what podresources lists

Version 0.5.0 of CDI is the first that takes device names with a digit in front; 0.6.0, the first with dots in a class,
is written only where it is needed.
"""

import json
import re
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

from virtfn_deviceplugin.grant.shown import SharedFile
from virtfn_host.core.checks.beside import paths_beside
from virtfn_host.core.checks.vfio_nodes import in_container
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.extras import Cdi
from virtfn_host.core.values.offered import Grant
from virtfn_host.core.values.rdma import nodes_of

KIND = "virtfn.dev/pci"

NO_FOLDER = (
    "grant.cdi needs a folder for CDI specs, and the device plugin was given none; set the chart's value"
    " devicePlugin.cdi: true, or leave grant.cdi out of the policy"
)

TAKEN = (
    "a reboot took its CDI specs, and without a folder for them the device plugin cannot write them again; set the"
    " chart's value devicePlugin.cdi: true again, or delete the pod"
)

_CLASS = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*[A-Za-z0-9]")
"""Names that CDI takes for a vendor or a class (pkg/parser of the container-device-interface module)."""
_NO_FILE_NAME = re.compile(r"[^A-Za-z0-9_.-]")
_LONGEST = 56
"""Most characters of a resource name there: an annotation's name has 63 at most."""


def kinds(resource_name: str) -> tuple[str, ...]:
    """Return the kinds under which a function of this resource is found; a name that CDI does not take is left out."""
    parts = resource_name.split("/")
    named = len(parts) == 2 and all(_CLASS.fullmatch(part) for part in parts)
    return tuple(dict.fromkeys([KIND, resource_name])) if named else (KIND,)


def file_names(resource_name: str, address: PciAddress) -> tuple[str, ...]:
    """Return the names of the specs of a function."""
    return tuple(_file_name(kind, address) for kind in kinds(resource_name))


def specs(resource_name: str, address: PciAddress, paths: Iterable[str], asked: Cdi) -> tuple[SharedFile, ...]:
    """Return the specs of a function; none where it has no device nodes, because CDI refuses an empty device.

    Args:
        resource_name: under which it was given.
        address: of the function.
        paths: its device nodes on the host, and those beside.
        asked: who may open them in the container.
    """
    edits = {"deviceNodes": [_node(path, asked) for path in paths]}
    if not edits["deviceNodes"]:
        return ()
    device = {"name": str(address), "containerEdits": edits}
    return tuple(_spec(kind, address, device) for kind in kinds(resource_name))


def specs_of(grant: Grant) -> tuple[SharedFile, ...]:
    """Return the specs of a function that was given earlier; none where it was not given by CDI."""
    if grant.extras.cdi is None:
        return ()
    paths = (*grant.nodes, *nodes_of(grant.rdma), *paths_beside(grant.extras))
    return specs(grant.resource_name, grant.address, paths, grant.extras.cdi)


def names(addresses: Iterable[PciAddress]) -> tuple[str, ...]:
    """Return the CDI names that a container with these functions is given."""
    return tuple(f"{KIND}={address}" for address in addresses)


def annotation(resource_name: str, given: Iterable[str]) -> dict[str, str]:
    """Return the annotation by which runtimes without the field `cdi_devices` (before Kubernetes 1.31) find these.

    The kubelet keeps only the first of two equal keys in a container, so the key has the resource name in it.
    """
    listed = ",".join(given)
    return {f"cdi.k8s.io/virtfn_{_short(resource_name)}": listed} if listed else {}


def _spec(kind: str, address: PciAddress, device: dict[str, Any]) -> SharedFile:
    version = "0.6.0" if "." in kind.partition("/")[2] else "0.5.0"
    text = json.dumps({"cdiVersion": version, "kind": kind, "devices": [device]}, separators=(",", ":"))
    return SharedFile(name=_file_name(kind, address), text=text)


def _file_name(kind: str, address: PciAddress) -> str:
    return f"virtfn-{_short(kind)}-{str(address).replace(':', '_')}.json"


def _short(name: str) -> str:
    """Return a part of a file name or key for a resource name: readable, and different for each."""
    text = _NO_FILE_NAME.sub("_", name)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 17]}_{sha256(name.encode()).hexdigest()[:16]}"


def _node(path: str, asked: Cdi) -> dict[str, Any]:
    """Name every field: a runtime without them would make the node for everybody (runc's default mode is 0666)."""
    return {
        "path": in_container(path),
        "hostPath": path,
        "permissions": "rwm",
        "uid": 0,
        "gid": asked.gid,
        "fileMode": int(asked.mode, 8),
    }

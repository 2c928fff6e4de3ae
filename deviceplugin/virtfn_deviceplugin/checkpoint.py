"""Reads the kubelet's checkpoint: the answers to Allocate that the kubelet has saved.

It is used for containers without a grant of ours, which could not start again otherwise: they got their functions from
an older version, or the grants were lost. The file is not an API of the kubelet, so a checkpoint that cannot be read or
has another form is ignored. It is never written.

    {"Data":{"PodDeviceEntries":[{"PodUID","ContainerName","ResourceName","DeviceIDs":{"0":["0000:01:10.0"]},
     "AllocResp":"base64 of a ContainerAllocateResponse"}],"RegisteredDevices":{}},"Checksum":1}

(pkg/kubelet/cm/devicemanager/checkpoint in Kubernetes 1.29 to 1.37)
"""

import base64
import binascii
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from virtfn_deviceplugin.v1beta1 import api_pb2 as wire
from virtfn_host.core.values.strict_json import CodecError, parse_json
from virtfn_host.linux.files import LIMIT, read_bounded

NAME = "kubelet_internal_checkpoint"
_UNKNOWN = (frozenset[str](), frozenset([""]))
"""Two different results, so that none counts."""


def remembered(path: Path, ids: Sequence[str]) -> frozenset[str] | None:
    """Return the device nodes (paths on the host) that the kubelet gives to a container with exactly these device ids.

    None: no container has these ids, two such containers have different nodes, the nodes are not in the answer because
    they came by CDI, or the checkpoint cannot be read.
    """
    try:
        data = read_bounded(path)
        found = None if data is None else parse_json(data, limit=LIMIT)
    except (OSError, CodecError):
        return None
    given = set(_given(found, frozenset(ids)))
    return given.pop() if len(given) == 1 else None


def held(path: Path) -> frozenset[tuple[str, str]] | None:
    """Return resource name and device id of everything that the kubelet has given to containers; None: unknown.

    The kubelet does not write the file when a pod ends, so functions of pods that ended lately may be among them.
    """
    try:
        data = read_bounded(path)
        found = {"Data": {"PodDeviceEntries": None}} if data is None else parse_json(data, limit=LIMIT)
        entries = found["Data"]["PodDeviceEntries"] or ()
        return frozenset(
            (str(entry["ResourceName"]), str(name))
            for entry in entries
            for names in entry["DeviceIDs"].values()
            for name in names
        )
    except (OSError, CodecError, KeyError, TypeError, AttributeError):
        return None


def _given(found: Any, ids: frozenset[str]) -> Iterator[frozenset[str]]:
    """Yield the device nodes of each entry with these ids. One by CDI or of another form makes the result ambiguous."""
    try:
        entries = found["Data"]["PodDeviceEntries"]
        for entry in entries:
            if frozenset(name for names in entry["DeviceIDs"].values() for name in names) == ids:
                answer = wire.ContainerAllocateResponse.FromString(base64.b64decode(entry["AllocResp"], validate=True))
                nodes = frozenset(device.host_path for device in answer.devices)
                yield from _UNKNOWN if answer.cdi_devices else (nodes,)
    except (KeyError, TypeError, AttributeError, binascii.Error, ValueError, DecodeError):
        yield from _UNKNOWN

"""What the kubelet itself remembers of its answers, for containers of which virtfn has no note.

Containers that got their functions before this version noted anything, or whose notes were lost, would not start again
without it. The file is no API of the kubelet: what does not read, or is not as known, says nothing. It is only read.

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


def remembered(path: Path, ids: Sequence[str]) -> frozenset[str] | None:
    """The device nodes, as paths on the host, that the kubelet gives to a container with exactly these device ids.

    None where nobody can tell: no such container, or two that were given different nodes.
    """
    try:
        data = read_bounded(path)
        found = None if data is None else parse_json(data, limit=LIMIT)
    except (OSError, CodecError):
        return None
    given = set(_given(found, frozenset(ids)))
    return given.pop() if len(given) == 1 else None


def _given(found: Any, ids: frozenset[str]) -> Iterator[frozenset[str]]:
    """For each entry with these ids, its device nodes; of an entry that is not as known, none at all."""
    try:
        entries = found["Data"]["PodDeviceEntries"]
        for entry in entries:
            if frozenset(name for names in entry["DeviceIDs"].values() for name in names) == ids:
                answer = wire.ContainerAllocateResponse.FromString(base64.b64decode(entry["AllocResp"], validate=True))
                yield frozenset(device.host_path for device in answer.devices)
    except (KeyError, TypeError, AttributeError, binascii.Error, ValueError, DecodeError):
        yield from (frozenset(), frozenset([""]))  # two that differ: nobody can tell

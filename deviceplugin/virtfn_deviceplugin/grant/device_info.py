"""The device-info file of a function: tells Multus, and through it KubeVirt, which PCI function a network is. Pure.

Its name and content are those of the Device Information Specification 1.1.0 of the Network Plumbing Working Group; its
consumers look for it in /var/run/k8s.cni.cncf.io/devinfo/dp. Keys are in the order in which the specification's Go
types write them.
"""

import json

from virtfn_deviceplugin.grant.shown import LONGEST_FILE, SharedFile
from virtfn_host.core.checks.beside import VHOST_NET
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.offered import DevicePool, PoolDevice
from virtfn_host.core.values.strict_json import CodecError, parse_json

VERSION = "1.1.0"


def device_info(pool: DevicePool, device: PoolDevice) -> SharedFile:
    """Return the file of a function of a pool."""
    pci = {
        "pci-address": str(device.address),
        **({"vhost-net": VHOST_NET} if pool.extras.vhost_net else {}),
        **({"rdma-device": device.rdma[0]} if pool.extras.rdma and device.rdma else {}),
        **({} if device.pf is None else {"pf-pci-address": str(device.pf)}),
    }
    text = json.dumps({"type": "pci", "version": VERSION, "pci": pci}, separators=(",", ":"))
    return SharedFile(name=file_name(pool.resource_name, device.address), text=text)


def file_name(resource_name: str, address: PciAddress) -> str:
    """Return the name that the specification gives the file."""
    return f"{resource_name.replace('/', '-')}-{address}-device.json"


def is_about(found: bytes, address: PciAddress) -> bool:
    """Return whether a file of another program says of this name what we would say: that it is this PCI function."""
    try:
        said = parse_json(found, limit=LONGEST_FILE)
    except CodecError:
        return False
    pci = said.get("pci") if isinstance(said, dict) and said.get("type") == "pci" else None
    return isinstance(pci, dict) and pci.get("pci-address") == str(address)

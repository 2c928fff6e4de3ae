"""Configurations of the network device plugin and the network operator, with the fields of their documentation."""

from typing import Any

from translated import sno_policy

# --- entries of resourceList -----------------------------------------------------------------------------------------

KERNEL_VFS: dict[str, Any] = {
    "resourceName": "x710_netdevice",
    "selectors": {"vendors": ["8086"], "devices": ["154c"], "drivers": ["i40evf", "iavf"]},
}
RANGES_OF_ONE_PF = (
    {"resourceName": "dpdk", "selectors": {"drivers": ["vfio-pci"], "pfNames": ["ens785f0#0-3"]}},
    {"resourceName": "netdevice", "selectors": {"drivers": ["iavf"], "pfNames": ["ens785f0#4,6-7"]}},
)
CONNECTX_DPDK = {
    "resourceName": "cx5",
    "resourcePrefix": "nvidia.com",
    "selectors": {"vendors": ["15b3"], "devices": ["1018"], "drivers": ["mlx5_core"], "isRdma": True},
}
INFINIBAND = {
    "resourceName": "ib",
    "selectors": {"vendors": ["15b3"], "linkTypes": ["infiniband"], "isRdma": True, "drivers": ["mlx5_core"]},
}
FEC_ACCELERATOR = {
    "resourceName": "fec",
    "deviceType": "accelerator",
    "selectors": {"vendors": ["8086"], "devices": ["0d90"], "drivers": ["vfio-pci"]},
}
WHOLE_FPGA = {
    "resourceName": "fpga",
    "deviceType": "accelerator",
    "selectors": {"vendors": ["8086"], "devices": ["09c4"]},
}
VHOST = {
    "resourceName": "vhost",
    "excludeTopology": True,
    "additionalInfo": {"*": {"token": "abc"}},
    "selectors": {"pfNames": ["ens1"], "drivers": ["vfio-pci"], "needVhostNet": True},
}
ADDRESSES_OF_PFS = {
    "resourceName": "roots",
    "selectors": {"rootDevices": ["0000:3B:00.0#0-1,5", "0000:3b:00.1"], "drivers": ["vfio-pci"]},
}
LIST_OF_SELECTORS = {
    "resourceName": "two_vendors",
    "selectors": [
        {"vendors": ["8086"], "devices": ["10ed"], "drivers": ["igb_uio"], "pfNames": ["ens1", "ens2"]},
        {"vendors": ["15b3"], "pfNames": ["ens3#0"], "drivers": ["vfio-pci"]},
    ],
}
NO_DRIVER = {"resourceName": "any", "selectors": {"vendors": ["8086"], "pfNames": ["eth1"]}}

SRIOVDP: dict[str, tuple[dict[str, Any], ...]] = {
    "VFs by their own ID on a kernel driver": (KERNEL_VFS,),
    "two resources of one PF by ranges": RANGES_OF_ONE_PF,
    "DPDK on ConnectX": (CONNECTX_DPDK,),
    "InfiniBand with RDMA": (INFINIBAND,),
    "VFs of an accelerator": (FEC_ACCELERATOR,),
    "a whole FPGA": (WHOLE_FPGA,),
    "vhost-net": (VHOST,),
    "PFs by address": (ADDRESSES_OF_PFS,),
    "a list of selectors": (LIST_OF_SELECTORS,),
    "no driver named": (NO_DRIVER,),
}

# --- SriovNetworkNodePolicies ----------------------------------------------------------------------------------------

XL710 = {"vendor": "8086", "deviceID": "1583", "pfNames": ["ens803f0"]}

VFIO = [sno_policy("vfio", nicSelector=XL710, deviceType="vfio-pci", resourceName="intelnics")]
NETDEVICE = [sno_policy("net", nicSelector={"vendor": "8086"}, mtu=9000, needVhostNet=True, excludeTopology=True)]
SNO_CONNECTX = [sno_policy("mlx-dpdk", nicSelector={"vendor": "15b3", "deviceID": "1015"}, isRdma=True)]
TWO_RANGES = [
    sno_policy("first", nicSelector={"pfNames": ["ens1f0#0-3"]}, priority=10, deviceType="vfio-pci"),
    sno_policy("second", nicSelector={"pfNames": ["ens1f0#4-7"]}, priority=20),
]
SWITCHDEV = [
    sno_policy(
        "offload",
        nicSelector={"pfNames": ["ens1f0", "ens1f1"]},
        eSwitchMode="switchdev",
        bridge={"ovs": {"bridge": {"datapathType": "netdev"}}},
    )
]
SNO_INFINIBAND = [sno_policy("ib", nicSelector={"pfNames": ["ibs2"], "vendor": "15b3"}, linkType="IB", isRdma=True)]
EXTERNAL = [sno_policy("kept", nicSelector={"pfNames": ["ens1"]}, externallyManaged=True, numVfs=5)]
MANY_RANGES = [
    sno_policy("split", nicSelector={"pfNames": ["a#0-1", "b#2-3", "c"], "vendor": "8086"}, deviceType="vfio-pci")
]
SNO_ADDRESSES = [sno_policy("roots", nicSelector={"rootDevices": ["0000:3b:00.0", "0000:3B:00.1"]})]

SNO: dict[str, list[dict[str, Any]]] = {
    "vfio-pci": VFIO,
    "netdevice with mtu, vhost-net and topology": NETDEVICE,
    "DPDK on ConnectX": SNO_CONNECTX,
    "two policies of one PF by ranges": TWO_RANGES,
    "switchdev with a bridge": SWITCHDEV,
    "InfiniBand": SNO_INFINIBAND,
    "VFs that exist already": EXTERNAL,
    "different ranges in one policy": MANY_RANGES,
    "PFs by address": SNO_ADDRESSES,
}

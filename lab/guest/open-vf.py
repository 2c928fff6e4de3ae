"""Open a VF through vfio as DPDK does, and keep it open until killed: `open-vf.py ADDRESS`.

Without an address it opens the one that a container of virtfn's was given.
"""

import fcntl
import os
import struct
import sys
import time
from pathlib import Path

VFIO = ord(";") << 8
SET_CONTAINER, SET_IOMMU, GET_DEVICE_FD = VFIO | 104, VFIO | 102, VFIO | 106

GIVEN = [value for name, value in os.environ.items() if name.startswith("PCI_RESOURCE_")]
address = (sys.argv[1:] or GIVEN)[0]

group = os.open(f"/dev/vfio/{Path(f'/sys/bus/pci/devices/{address}/iommu_group').readlink().name}", os.O_RDWR)
container = os.open("/dev/vfio/vfio", os.O_RDWR)
fcntl.ioctl(group, SET_CONTAINER, struct.pack("i", container))
fcntl.ioctl(container, SET_IOMMU, 1)
fcntl.ioctl(group, GET_DEVICE_FD, bytearray(address.encode() + b"\0"))
print(f"opened {address}", flush=True)
while True:
    time.sleep(3600)

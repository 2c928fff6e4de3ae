"""Opens and closes VFs of a PF at random, as pods do, until it is told to stop: `competitor.py PF SEED`.

Prints how often it held a VF, and how often one was pulled from under it while it did.
"""

import fcntl
import os
import random
import signal
import struct
import sys
import time
from pathlib import Path

VFIO = ord(";") << 8
SET_CONTAINER, SET_IOMMU, GET_DEVICE_FD, GET_INFO = VFIO | 104, VFIO | 102, VFIO | 106, VFIO | 107

stopping = False


def stop(*_: object) -> None:
    global stopping
    stopping = True


def hold(vf: Path, seconds: float) -> bool | None:
    """Whether it stayed ours; None when it could not be had."""
    fds = []
    try:
        group = (vf / "iommu_group").readlink().name
        fds.append(os.open("/dev/vfio/vfio", os.O_RDWR | os.O_CLOEXEC))
        fds.append(os.open(f"/dev/vfio/{group}", os.O_RDWR | os.O_CLOEXEC))
        fcntl.ioctl(fds[1], SET_CONTAINER, struct.pack("i", fds[0]))
        fcntl.ioctl(fds[0], SET_IOMMU, 1)
        fds.append(fcntl.ioctl(fds[1], GET_DEVICE_FD, bytearray(vf.name.encode() + b"\0")))
    except OSError:
        for fd in reversed(fds):
            os.close(fd)
        return None
    time.sleep(seconds)
    try:
        fcntl.ioctl(fds[2], GET_INFO, bytearray(struct.pack("IIIII", 20, 0, 0, 0, 0)))
        return [(vf / name).readlink().name for name in ("driver", "iommu_group")] == ["vfio-pci", group]
    except OSError:
        return False
    finally:
        for fd in reversed(fds):
            os.close(fd)


def main() -> None:
    pf, chance = Path(f"/sys/bus/pci/devices/{sys.argv[1]}"), random.Random(sys.argv[2])
    signal.signal(signal.SIGTERM, stop)
    held = pulled = 0
    while not stopping:
        vfs = [pf.parent / link.readlink().name for link in pf.glob("virtfn*") if link.is_symlink()]
        if not vfs:
            time.sleep(0.01)  # none is made yet, and nothing tells this program when
            continue
        stayed = hold(chance.choice(vfs), chance.uniform(0, 0.1))
        held += stayed is not None
        pulled += stayed is False
        time.sleep(chance.uniform(0, 0.3))
    print(held, pulled)


if __name__ == "__main__":
    main()

"""Opens and closes VFs of a PF at random, as pods do, until it is told to stop: `competitor.py PF SEED`.

It holds a group only, a group and its device, or a device whose group is closed again. It prints each event as it
happens, one JSON object a line (`Met`).
"""

import errno
import fcntl
import json
import os
import random
import signal
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

VFIO = ord(";") << 8
SET_CONTAINER, SET_IOMMU, GET_DEVICE_FD, GET_INFO = VFIO | 104, VFIO | 102, VFIO | 106, VFIO | 107

stopping = False


def stop(*_: object) -> None:
    global stopping
    stopping = True


@dataclass(frozen=True)
class Met:
    """A VF that was held from `began` to `ended` (seconds of the monotonic clock), or that was refused as taken."""

    vf: str
    how: str
    began: float
    ended: float
    refused: bool = False
    pulled: bool = False


def hold(vf: Path, how: str, seconds: float) -> Met | None:
    """Hold a VF and return the event; None for a VF that cannot be opened: it has another driver, or is gone."""
    with ExitStack() as fds:
        began = time.monotonic()
        try:
            group = (vf / "iommu_group").readlink().name
            device = _open(vf, group, how, fds)
        except OSError as error:
            return Met(vf.name, how, began, time.monotonic(), refused=True) if error.errno == errno.EBUSY else None
        if _group(vf) != group:
            return None  # the VF was made anew before we opened the group, so the group is another VF's
        began = time.monotonic()
        time.sleep(seconds)
        pulled = not _stayed(vf, group, device)
        # Note the end before closing: after that another program may take the VF.
        return Met(vf.name, how, began, time.monotonic(), pulled=pulled)


def _open(vf: Path, group: str, how: str, fds: ExitStack) -> int | None:
    """Open the VF; return its device, or None if only the group is opened."""
    group_fd = os.open(f"/dev/vfio/{group}", os.O_RDWR | os.O_CLOEXEC)
    early = fds.enter_context(ExitStack())
    early.callback(os.close, group_fd)
    if how == "group":
        return None
    container = os.open("/dev/vfio/vfio", os.O_RDWR | os.O_CLOEXEC)
    early.callback(os.close, container)
    fcntl.ioctl(group_fd, SET_CONTAINER, struct.pack("i", container))
    fcntl.ioctl(container, SET_IOMMU, 1)
    device = int(fcntl.ioctl(group_fd, GET_DEVICE_FD, bytearray(vf.name.encode() + b"\0")))
    fds.callback(os.close, device)
    if how == "device alone":
        early.close()
    return device


def _stayed(vf: Path, group: str, device: int | None) -> bool:
    try:
        if device is not None:
            fcntl.ioctl(device, GET_INFO, bytearray(struct.pack("IIIII", 20, 0, 0, 0, 0)))
        return (vf / "driver").readlink().name == "vfio-pci" and _group(vf) == group
    except OSError:
        return False


def _group(vf: Path) -> str | None:
    try:
        return (vf / "iommu_group").readlink().name
    except OSError:
        return None


def _vfs(pf: Path) -> Iterator[Path]:
    for link in pf.glob("virtfn*"):
        with suppress(FileNotFoundError):  # the VF may be taken away at this moment
            yield pf.parent / link.readlink().name


def main() -> None:
    pf, chance = Path(f"/sys/bus/pci/devices/{sys.argv[1]}"), random.Random(sys.argv[2])
    signal.signal(signal.SIGTERM, stop)
    while not stopping:
        if vfs := list(_vfs(pf)):
            how = chance.choice(["group", "device", "device alone"])
            if met := hold(chance.choice(vfs), how, chance.uniform(0, 0.1)):
                print(json.dumps(asdict(met)), flush=True)
        time.sleep(chance.uniform(0, 0.2))  # leave time for others; new VFs send this program no event


if __name__ == "__main__":
    main()

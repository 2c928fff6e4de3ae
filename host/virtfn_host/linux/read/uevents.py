"""Kernel uevents: hints that the machine changed. Only a fresh look tells what changed.

A pod in its own network namespace hears pci, vfio and module events but no netdev events, and in a user namespace it
hears none (measured by hand on Linux 6.1 and 6.12). Opening a vfio device sends no event, so to wait for a holder means
to look again and again.
"""

import contextlib
import errno
import socket

NETLINK_KOBJECT_UEVENT = 15
KERNEL_GROUP = 1
SO_RCVBUFFORCE = 33
RECEIVE_BUFFER = 8 << 20
"""Bytes. 127 VFs send more than the default buffer holds."""

SUBSYSTEMS = frozenset({"pci", "vfio", "vfio-dev", "net", "module", "infiniband_verbs"})


def open_uevents() -> socket.socket:
    """Open a socket that hears the kernel's uevents."""
    listener = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT)
    with contextlib.suppress(PermissionError):  # Without CAP_NET_ADMIN the default buffer must do.
        listener.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
    listener.bind((0, KERNEL_GROUP))  # The kernel picks the port: our process ID would serve for one socket only.
    return listener


def next_event(listener: socket.socket) -> str | None:
    """Wait for one message. Return what changed, `rescan` when messages were lost, None when it does not concern us."""
    try:
        message = listener.recv(65536)
    except OSError as error:
        if error.errno == errno.ENOBUFS:
            return "rescan"
        raise
    head, *lines = message.decode(errors="replace").split("\0")
    fields = dict(line.split("=", 1) for line in lines if "=" in line)
    return head if fields.get("SUBSYSTEM") in SUBSYSTEMS else None

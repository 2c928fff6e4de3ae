"""Kernel uevents: hints that something of the machine changed; the truth is a fresh look.

A pod in its own network namespace hears pci, vfio and module events, but none of netdevs, and in a user namespace none
at all (measured). Opening a vfio device sends no event, so whoever waits for a holder has to look.
"""

import contextlib
import errno
import socket

NETLINK_KOBJECT_UEVENT = 15
KERNEL_GROUP = 1
SO_RCVBUFFORCE = 33
RECEIVE_BUFFER = 8 << 20
"""127 VFs send more than the default buffer holds."""

SUBSYSTEMS = frozenset({"pci", "vfio", "vfio-dev", "net", "module"})


def open_uevents() -> socket.socket:
    """A socket that hears the kernel's uevents."""
    listener = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT)
    with contextlib.suppress(PermissionError):  # Without CAP_NET_ADMIN the default buffer has to do.
        listener.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER)
    listener.bind((0, KERNEL_GROUP))  # The kernel names it: our process id would serve one socket only.
    return listener


def next_event(listener: socket.socket) -> str | None:
    """Wait for one message: what changed, `rescan` when messages were lost, None when it does not concern us."""
    try:
        message = listener.recv(65536)
    except OSError as error:
        if error.errno == errno.ENOBUFS:
            return "rescan"
        raise
    head, *lines = message.decode(errors="replace").split("\0")
    fields = dict(line.split("=", 1) for line in lines if "=" in line)
    return head if fields.get("SUBSYSTEM") in SUBSYSTEMS else None

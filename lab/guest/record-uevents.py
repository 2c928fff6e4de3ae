"""Write every kernel event of this node to a file, a line each, until it is killed: `record-uevents.py FILE`."""

import os
import socket
import sys

NETLINK_KOBJECT_UEVENT = 15

with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_KOBJECT_UEVENT) as listener:
    listener.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE: a lost event would hide a write
    listener.bind((0, 1))
    log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.write(log, b"listening\n")
    while True:
        os.write(log, listener.recv(65536).split(b"\0", 1)[0] + b"\n")

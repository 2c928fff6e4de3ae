"""The process that speaks rtnetlink for `asks.py`: one JSON value a line in, one a line out. Started as a file.

It is a process of its own for three reasons. A driver that hangs may hold rtnetlink's lock for ever. Entering the
host's network namespace must not move the host process, whose sysfs and sockets are elsewhere. And pyroute2 takes 20
MiB: it is loaded with the first question about settings, which a node without them never asks. What every node asks
(addresses and names) is read by three dozen lines of our own. Imports nothing of virtfn.
"""

import ctypes
import errno
import functools
import json
import os
import socket
import struct
import sys
from collections.abc import Iterator
from typing import Any

CLONE_NEWNET = 0x40000000
"""<sched.h>; os.setns came with Python 3.12."""

EXT_MASK_VF = 1
"""RTEXT_FILTER_VF, <linux/rtnetlink.h>: include the settings of each VF."""

NLM_F_REQUEST, NLM_F_DUMP_INTR, NLM_F_DUMP, NLMSG_ERROR, NLMSG_DONE = 1, 0x10, 0x300, 2, 3
RTM_NEWLINK, RTM_GETLINK, RTM_NEWADDR, RTM_GETADDR = 16, 18, 20, 22
IFLA_IFNAME, IFLA_EXT_MASK, IFLA_PROP_LIST, IFLA_ALT_IFNAME, IFLA_PERM_ADDRESS = 3, 29, 52, 53, 54
IFA_ADDRESS, IFA_LOCAL = 1, 2
EXT_MASK_NO_STATISTICS = 8
"""<linux/netlink.h>, <linux/rtnetlink.h>, <linux/if_link.h>, <linux/if_addr.h>."""

HEAD, ADDRESS = struct.Struct("=IHHII"), struct.Struct("=BBBBI")
"""struct nlmsghdr and struct ifaddrmsg."""

DUMPS = 5
"""How often a dump is asked for that netdevs or addresses changed while the kernel made it, so that some may be
missing."""

ATTRIBUTE_KIND = 0x3FFF
"""Without the flags of nested attributes (NLA_TYPE_MASK)."""

DUMP_SIZE = 1 << 18
"""Bytes of the longest part of a dump: the kernel's are 32 KiB at most (netlink_dump), and one netdev of 255 VFs."""

IFF_UP = 1
LINK_STATES = ("auto", "enable", "disable")
"""IFLA_VF_LINK_STATE_*, <linux/if_link.h>."""


def enter(namespace: str) -> None:
    """Enter a network namespace, unless this process is in it."""
    fd = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if os.path.samestat(os.fstat(fd), os.stat("/proc/self/ns/net")):
            return
        if ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), namespace)
    finally:
        os.close(fd)


def vf_link(attributes: Any) -> dict[str, Any]:
    """The settings in one IFLA_VF_INFO; None for those that the driver does not tell."""
    mac, vlan, rate = (attributes.get_attr(f"IFLA_VF_{name}") for name in ("MAC", "VLAN", "RATE"))
    spoof_check, trust = attributes.get_attr("IFLA_VF_SPOOFCHK"), attributes.get_attr("IFLA_VF_TRUST")
    state = attributes.get_attr("IFLA_VF_LINK_STATE")
    return {
        "mac": mac["mac"].lower() if mac else None,
        "nodeGuid": guid_of(attributes, "ib_node_guid"),
        "portGuid": guid_of(attributes, "ib_port_guid"),
        "vlan": vlan["vlan"] if vlan else None,
        "vlanQos": vlan["qos"] if vlan else None,
        "trust": None if trust is None else bool(trust["trust"]),
        "spoofCheck": None if spoof_check is None else bool(spoof_check["spoofchk"]),
        "minTxRate": rate["min_tx_rate"] if rate else None,
        "maxTxRate": rate["max_tx_rate"] if rate else None,
        "linkState": LINK_STATES[state["link_state"]] if state and state["link_state"] < len(LINK_STATES) else None,
    }


def guid_of(attributes: Any, name: str) -> str | None:
    """A GUID of a VF, or None where the driver does not tell it: only InfiniBand's do (from Linux 5.5 on).

    The kernel sends index and GUID in 16 bytes (struct ifla_vf_guid). pyroute2 wants 36, and hands over the raw
    attribute with its header where the message ends before these.
    """
    found = attributes.get_attr(f"IFLA_VF_{name.upper()}")
    if isinstance(found, bytes):
        number: int = struct.unpack_from("=Q", found, 12)[0]
        return number.to_bytes(8, "big").hex(":")
    return str(found[name]).lower() if found else None


def named(netdev: str | int) -> dict[str, str | int]:
    """How the library is told which netdev: by its name or its ifindex."""
    return {"ifname": netdev} if isinstance(netdev, str) else {"index": netdev}


def links(route: Any, netdev: str | int) -> dict[str, Any]:
    """A PF's netdev and the settings of its VFs."""
    (link,) = route.link("get", ext_mask=EXT_MASK_VF, **named(netdev))
    listed = link.get_attr("IFLA_VFINFO_LIST")
    vfs = listed.get_attrs("IFLA_VF_INFO") if listed else []
    return {
        "ifindex": link["index"],
        "up": bool(link["flags"] & IFF_UP),
        "mac": (link.get_attr("IFLA_PERM_ADDRESS") or link.get_attr("IFLA_ADDRESS") or "").lower() or None,
        "vfs": [{"index": vf.get_attr("IFLA_VF_MAC")["vf"], "link": vf_link(vf)} for vf in vfs],
    }


def addresses() -> dict[str, list[str]]:
    """IPv4 and IPv6 addresses of every netdev that has some."""
    names = dict(socket.if_nameindex())
    found: dict[str, list[str]] = {}
    for message in dumped(RTM_GETADDR, RTM_NEWADDR, ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0)):
        family, prefix, _, _, index = ADDRESS.unpack_from(message)
        told = dict(attributes_of(message[ADDRESS.size :]))
        address = told.get(IFA_LOCAL) or told.get(IFA_ADDRESS)  # of a point-to-point link, IFA_ADDRESS is the other end
        if address and family in (socket.AF_INET, socket.AF_INET6):
            text = socket.inet_ntop(family, address)
            found.setdefault(names.get(index, ""), []).append(f"{text}/{prefix}")
    return found


def other_names() -> dict[str, list[str]]:
    """Alternative names of every netdev that has some.

    By a parser of our own, which reads two attributes: pyroute2 takes ten times as long for a dump of 2,048 netdevs.
    """
    found: dict[str, list[str]] = {}
    for attributes in dumped_links():
        name, others = "", []
        for kind, data in attributes_of(attributes):
            if kind == IFLA_IFNAME:
                name = text_of(data)
            elif kind == IFLA_PROP_LIST:
                others += [text_of(other) for inner, other in attributes_of(data) if inner == IFLA_ALT_IFNAME]
        if others:
            found[name] = others
    return found


def permanent_addresses() -> dict[str, str]:
    """The permanent address of every netdev that tells one (from Linux 5.6 on)."""
    found: dict[str, str] = {}
    for attributes in dumped_links():
        told = dict(attributes_of(attributes))
        if IFLA_PERM_ADDRESS in told:
            found[text_of(told.get(IFLA_IFNAME, b""))] = told[IFLA_PERM_ADDRESS].hex(":")
    return found


def dumped_links() -> Iterator[bytes]:
    """The attributes of every netdev of this network namespace."""
    mask = struct.pack("=HHI", 8, IFLA_EXT_MASK, EXT_MASK_NO_STATISTICS)
    about = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, 0, 0, 0)
    for message in dumped(RTM_GETLINK, RTM_NEWLINK, about + mask):
        yield message[len(about) :]


def dumped(asked: int, answered: int, body: bytes) -> list[bytes]:
    """The messages, without their heads, with which the kernel answers a question about all there is.

    Raises:
        OSError: it refused; EINTR: each of `DUMPS` dumps was interrupted by a change.
    """
    for _ in range(DUMPS):
        found: list[bytes] = []
        interrupted = 0
        for kind, flags, message in messages(asked, body):
            interrupted |= flags & NLM_F_DUMP_INTR
            if kind == answered:
                found.append(message)
        if not interrupted:
            return found
    raise OSError(errno.EINTR, os.strerror(errno.EINTR))


def messages(asked: int, body: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Kind, flags and content of each message of one dump, the last one, NLMSG_DONE, too.

    Raises:
        OSError: the kernel refused.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as kernel:
        kernel.bind((0, 0))
        kernel.send(HEAD.pack(HEAD.size + len(body), asked, NLM_F_REQUEST | NLM_F_DUMP, 1, 0) + body)
        while True:
            part = kernel.recv(DUMP_SIZE)
            while len(part) >= HEAD.size:
                size, kind, flags, _, _ = HEAD.unpack_from(part)
                if kind == NLMSG_ERROR:
                    number = -struct.unpack_from("=i", part, HEAD.size)[0]
                    raise OSError(number, os.strerror(number))
                yield kind, flags, part[HEAD.size : size]
                if kind == NLMSG_DONE or size < HEAD.size:
                    return
                part = part[(size + 3) & ~3 :]


def attributes_of(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and content of each attribute."""
    while len(data) >= 4:
        size, kind = struct.unpack_from("=HH", data)
        if size < 4:
            return
        yield kind & ATTRIBUTE_KIND, data[4:size]
        data = data[(size + 3) & ~3 :]


def text_of(data: bytes) -> str:
    """A text of the kernel; bytes that are no Unicode are told as JSON can tell them."""
    return data.rstrip(b"\0").decode(errors="backslashreplace")


def mtu(route: Any, netdev: str | int) -> dict[str, Any]:
    """The MTU of a netdev, and the limits of its driver: 0 is none."""
    (link,) = route.link("get", **named(netdev))
    return {
        "ifindex": link["index"],
        "now": link.get_attr("IFLA_MTU"),
        "least": link.get_attr("IFLA_MIN_MTU"),
        "most": link.get_attr("IFLA_MAX_MTU"),
    }


def set_mtu(route: Any, ifindex: int, value: int) -> None:
    """Set the MTU of a netdev."""
    route.link("set", index=ifindex, mtu=value)


def set_vf(route: Any, ifindex: int, index: int, setting: dict[str, Any]) -> None:
    """Make one setting of a VF."""
    route.link("set", index=ifindex, vf={"vf": index, **wire(setting)})


def wire(setting: dict[str, Any]) -> dict[str, Any]:
    """A group of settings as pyroute2 takes it."""
    match setting:
        case {"vlan": vlan, "vlanQos": qos}:
            return {"vlan": {"vlan": vlan, "qos": qos}}
        case {"minTxRate": least, "maxTxRate": most}:
            return {"rate": {"min_tx_rate": least, "max_tx_rate": most}}
        case {"mac": mac}:
            return {"mac": mac}
        case {"nodeGuid": guid}:
            return {"ib_node_guid": guid}
        case {"portGuid": guid}:
            return {"ib_port_guid": guid}
        case {"trust": trust}:
            return {"trust": int(trust)}
        case {"spoofCheck": check}:
            return {"spoofchk": int(check)}
        case {"linkState": state}:
            return {"link_state": LINK_STATES.index(state)}
    raise ValueError(f"no link setting: {setting}")


@functools.cache
def library() -> Any:
    """pyroute2 with a socket of its own, loaded by the first call."""
    import pyroute2

    return pyroute2.IPRoute()


def answer(question: dict[str, Any]) -> Any:
    """Carry out one question and return its answer."""
    match question:
        case {"addresses": None}:
            return addresses()
        case {"names": None}:
            return other_names()
        case {"permanent": None}:
            return permanent_addresses()
        case {"library": None}:
            library()
            return None
        case {"links": str() | int() as netdev}:
            return links(library(), netdev)
        case {"mtu": str() | int() as netdev}:
            return mtu(library(), netdev)
        case {"setMtu": {"ifindex": int(ifindex), "mtu": int(value)}}:
            return set_mtu(library(), ifindex, value)
        case {"set": {"ifindex": int(ifindex), "index": int(index), "setting": dict(setting)}}:
            return set_vf(library(), ifindex, index, setting)
    raise ValueError(f"no question: {question}")


def main(namespace: str, folder: str) -> None:
    """Answer until the other end is closed. The first line out says that this process is ready."""
    # At the end of the path: -I leaves PYTHONPATH out, and modules beside pyroute2 must hide no other module.
    sys.path.append(folder)
    try:
        enter(namespace)
    except OSError as error:
        say({"errno": error.errno or 5, "text": f"entering the network namespace {namespace}"})
        return
    say({"value": None})
    for line in sys.stdin.buffer:
        try:
            say({"value": answer(json.loads(line))})
        except OSError as error:
            say({"errno": error.errno or 5, "text": ""})
        # The library may raise anything for a question that it cannot encode; the next question must still be answered.
        except Exception as error:
            if (code := errno_of(error)) is not None:
                say({"errno": code, "text": ""})
            else:
                say({"errno": errno.EINVAL, "text": f"{type(error).__name__}: {error}"[:300]})


def errno_of(error: Exception) -> int | None:
    """The kernel's errno in an error of the library, which is not loaded for the sake of its class."""
    exceptions = sys.modules.get("pyroute2.netlink.exceptions")
    if exceptions is None or not isinstance(error, exceptions.NetlinkError):
        return None
    return int(error.code)


def say(message: object) -> None:
    """Write one line."""
    os.write(1, json.dumps(message, separators=(",", ":")).encode() + b"\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

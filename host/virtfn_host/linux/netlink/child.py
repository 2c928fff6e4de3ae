"""The process that speaks rtnetlink for `asks.py`: one JSON value a line in, one a line out. Started as a file.

It is a process of its own for three reasons. A driver that hangs may hold rtnetlink's lock for ever. Entering the
host's network namespace must not move the host process, whose sysfs and sockets are elsewhere. And pyroute2 takes 27
MiB, which a node without link settings need not load. Imports nothing of virtfn.
"""

import ctypes
import errno
import json
import os
import socket
import sys
from typing import Any

CLONE_NEWNET = 0x40000000
"""<sched.h>; os.setns came with Python 3.12."""

EXT_MASK_VF = 1
"""RTEXT_FILTER_VF, <linux/rtnetlink.h>: include the settings of each VF."""

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
        "vlan": vlan["vlan"] if vlan else None,
        "vlanQos": vlan["qos"] if vlan else None,
        "trust": None if trust is None else bool(trust["trust"]),
        "spoofCheck": None if spoof_check is None else bool(spoof_check["spoofchk"]),
        "minTxRate": rate["min_tx_rate"] if rate else None,
        "maxTxRate": rate["max_tx_rate"] if rate else None,
        "linkState": LINK_STATES[state["link_state"]] if state and state["link_state"] < len(LINK_STATES) else None,
    }


def links(route: Any, netdev: str) -> dict[str, Any]:
    """A PF's netdev and the settings of its VFs."""
    (link,) = route.link("get", ifname=netdev, ext_mask=EXT_MASK_VF)
    listed = link.get_attr("IFLA_VFINFO_LIST")
    vfs = listed.get_attrs("IFLA_VF_INFO") if listed else []
    return {
        "up": bool(link["flags"] & IFF_UP),
        "mac": (link.get_attr("IFLA_PERM_ADDRESS") or link.get_attr("IFLA_ADDRESS") or "").lower() or None,
        "vfs": [{"index": vf.get_attr("IFLA_VF_MAC")["vf"], "link": vf_link(vf)} for vf in vfs],
    }


def addresses(route: Any) -> dict[str, list[str]]:
    """IPv4 and IPv6 addresses of every netdev that has some."""
    # Names do not come from pyroute2: parsing every link took it four times as long (measured by hand).
    names = dict(socket.if_nameindex())
    found: dict[str, list[str]] = {}
    for entry in route.get_addr():
        text = entry.get_attr("IFA_LOCAL") or entry.get_attr("IFA_ADDRESS")
        found.setdefault(names.get(entry["index"], ""), []).append(f"{text}/{entry['prefixlen']}")
    return found


def set_vf(route: Any, netdev: str, index: int, setting: dict[str, Any]) -> None:
    """Make one setting of a VF."""
    (number,) = route.link_lookup(ifname=netdev) or (None,)
    if number is None:
        raise OSError(19, os.strerror(19), netdev)
    route.link("set", index=number, vf={"vf": index, **wire(setting)})


def wire(setting: dict[str, Any]) -> dict[str, Any]:
    """A group of settings as pyroute2 takes it."""
    match setting:
        case {"vlan": vlan, "vlanQos": qos}:
            return {"vlan": {"vlan": vlan, "qos": qos}}
        case {"minTxRate": least, "maxTxRate": most}:
            return {"rate": {"min_tx_rate": least, "max_tx_rate": most}}
        case {"mac": mac}:
            return {"mac": mac}
        case {"trust": trust}:
            return {"trust": int(trust)}
        case {"spoofCheck": check}:
            return {"spoofchk": int(check)}
        case {"linkState": state}:
            return {"link_state": LINK_STATES.index(state)}
    raise ValueError(f"no link setting: {setting}")


def answer(route: Any, question: dict[str, Any]) -> Any:
    """Carry out one question and return its answer."""
    match question:
        case {"links": str(netdev)}:
            return links(route, netdev)
        case {"addresses": None}:
            return addresses(route)
        case {"set": {"netdev": str(netdev), "index": int(index), "setting": dict(setting)}}:
            return set_vf(route, netdev, index, setting)
    raise ValueError(f"no question: {question}")


def main(namespace: str, folder: str) -> None:
    """Answer until the other end is closed. The first line out says that this process is ready."""
    # At the end of the path: -I leaves PYTHONPATH out, and modules beside pyroute2 must hide no other module.
    sys.path.append(folder)
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        enter(namespace)
        route = IPRoute()
    except OSError as error:
        say({"errno": error.errno or 5, "text": f"entering the network namespace {namespace}"})
        return
    say({"value": None})
    for line in sys.stdin.buffer:
        try:
            say({"value": answer(route, json.loads(line))})
        except NetlinkError as error:
            say({"errno": error.code, "text": ""})
        except OSError as error:
            say({"errno": error.errno or 5, "text": ""})
        # The library may raise anything for a question that it cannot encode; the next question must still be answered.
        except Exception as error:
            say({"errno": errno.EINVAL, "text": f"{type(error).__name__}: {error}"[:300]})


def say(message: object) -> None:
    """Write one line."""
    os.write(1, json.dumps(message, separators=(",", ":")).encode() + b"\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

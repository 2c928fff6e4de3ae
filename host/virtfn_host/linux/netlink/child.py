"""The process that speaks rtnetlink for `netlink.py`: one JSON value a line in, one a line out. Started as a file.

In a process of its own because rtnetlink's lock can be held for ever by a driver that hangs, because entering the
host's network namespace must not move the host process (whose sysfs and sockets are elsewhere), and because pyroute2
is 27 MiB that a node without link settings need not load. Imports nothing of virtfn.
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
"""RTEXT_FILTER_VF, <linux/rtnetlink.h>: say what is set for each VF."""

IFF_UP = 1
LINK_STATES = ("auto", "enable", "disable")
"""IFLA_VF_LINK_STATE_*, <linux/if_link.h>."""


def enter(namespace: str) -> None:
    """Go to a network namespace, unless this is it."""
    fd = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if os.path.samestat(os.fstat(fd), os.stat("/proc/self/ns/net")):
            return
        if ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), namespace)
    finally:
        os.close(fd)


def vf_link(attributes: Any) -> dict[str, Any]:
    """What one IFLA_VF_INFO says; None where the driver does not say."""
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
    """A PF's netdev and what it shows of its VFs."""
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
    # Not asked of pyroute2: to take apart what the kernel tells of every link took four times as long (measured).
    names = dict(socket.if_nameindex())
    found: dict[str, list[str]] = {}
    for entry in route.get_addr():
        text = entry.get_attr("IFA_LOCAL") or entry.get_attr("IFA_ADDRESS")
        found.setdefault(names.get(entry["index"], ""), []).append(f"{text}/{entry['prefixlen']}")
    return found


def set_vf(route: Any, netdev: str, index: int, setting: dict[str, Any]) -> None:
    """One setting of a VF."""
    (number,) = route.link_lookup(ifname=netdev) or (None,)
    if number is None:
        raise OSError(19, os.strerror(19), netdev)
    route.link("set", index=number, vf={"vf": index, **wire(setting)})


def wire(setting: dict[str, Any]) -> dict[str, Any]:
    """A group of settings in pyroute2's words."""
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
    """What is asked for."""
    match question:
        case {"links": str(netdev)}:
            return links(route, netdev)
        case {"addresses": None}:
            return addresses(route)
        case {"set": {"netdev": str(netdev), "index": int(index), "setting": dict(setting)}}:
            return set_vf(route, netdev, index, setting)
    raise ValueError(f"no question: {question}")


def main(namespace: str, folder: str) -> None:
    """Answer until the other end is closed; the first line out says that it is ready."""
    # At the end: -I leaves PYTHONPATH out, and what stands in `folder` beside pyroute2 must hide no other module.
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
        # Whatever the library makes of a question that it cannot put into bytes: the next one is another matter.
        except Exception as error:
            say({"errno": errno.EINVAL, "text": f"{type(error).__name__}: {error}"[:300]})


def say(message: object) -> None:
    """One line."""
    os.write(1, json.dumps(message, separators=(",", ":")).encode() + b"\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The stable MAC or GUID of a VF without an administrative one: the same after re-creation and after a reboot.

Without an administrative address, each bind of a VF's network driver makes up a new one (measured by hand on igb), and
a switch would see another machine after every resize. So the address is made from two things that do not change: the
PF's permanent address and the VF's index. virtfn need not store it.
"""

from hashlib import blake2b

ZERO_MAC = "00:00:00:00:00:00"
"""The address that a PF shows for a VF without an administrative one."""

ZERO_GUID = "00:00:00:00:00:00:00:00"
"""The same of InfiniBand."""

_GUID_OCTETS = 8

_LOCAL, _GROUP = 0x02, 0x01
"""Bits of the first octet (IEEE 802-2014, 8.2.2): locally administered; a group (multicast) address."""


def stable_mac(pf_mac: str, index: int) -> str:
    """Return a unicast, locally administered address for VF `index` of the PF whose permanent address is `pf_mac`.

    It has 46 bits of a hash: in a network of a million VFs, the chance that two have the same address is one in a
    hundred. Counting up from the PF's address, as some drivers do, collides when two cards have neighbouring addresses.
    """
    octets = bytearray(blake2b(f"{pf_mac.lower()} {index}".encode(), digest_size=6, person=b"virtfn-vf-mac").digest())
    octets[0] = (octets[0] | _LOCAL) & ~_GROUP
    return ":".join(f"{octet:02x}" for octet in octets)


def is_infiniband(address: str) -> bool:
    """Whether a netdev's hardware address is one of InfiniBand: queue pair and GID, 20 octets (RFC 4391, 9.1.1)."""
    return address.count(":") == 19


def stable_guid(pf_address: str, index: int) -> str:
    """A locally administered GUID (EUI-64) for VF `index` of the PF whose netdev has this hardware address.

    Made of its last 8 octets, which are the port's GUID: the queue pair before them is another one after each boot.
    """
    port = ":".join(pf_address.lower().split(":")[-_GUID_OCTETS:])
    octets = bytearray(blake2b(f"{port} {index}".encode(), digest_size=_GUID_OCTETS, person=b"virtfn-vf-guid").digest())
    octets[0] = (octets[0] | _LOCAL) & ~_GROUP
    return ":".join(f"{octet:02x}" for octet in octets)

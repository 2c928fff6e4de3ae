"""The MAC or GUID that a VF gets where nobody gave it one: the same after re-creation, reboot, and on every turn.

Without an administrative address each bind of a VF's network driver makes up a new one (measured on igb), and a guest
would be another machine to its switch after every resize. So it is made of what does not change: the address that the
PF was built with, and the VF's index. There is nothing to remember, so there is nothing to lose.
"""

from hashlib import blake2b

ZERO_MAC = "00:00:00:00:00:00"
"""What a PF shows of a VF without an administrative address."""

ZERO_GUID = "00:00:00:00:00:00:00:00"
"""The same of InfiniBand."""

_GUID_OCTETS = 8

_LOCAL, _GROUP = 0x02, 0x01
"""Bits of the first octet (IEEE 802-2014, 8.2.2): locally administered; a group, which is no address of a device."""


def stable_mac(pf_mac: str, index: int) -> str:
    """A unicast, locally administered address for VF `index` of the PF whose permanent address is `pf_mac`.

    46 bits of a hash: two of a million VFs in one network are alike with a chance of one in a hundred, and counting
    up from the PF's own address, as some drivers do, collides as soon as two cards bear neighbouring addresses.
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

"""Link settings of VFs as values: their groups, the differences between two of them, and their names in text.

A PF's driver takes settings one by one and refuses each for its own reason, so each group here is one step.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from virtfn_host.core.values.mac import ZERO_GUID, ZERO_MAC, is_infiniband, stable_guid, stable_mac
from virtfn_host.core.values.model import LinkRequest, LinkSettings, Pf, Vf, VfLink

INFINIBAND_CLASS = "0207"
"""Beginning of the PCI class code of InfiniBand controllers."""

GROUPS: tuple[tuple[str, ...], ...] = (
    ("node_guid",),
    ("port_guid",),
    ("mac",),
    ("vlan", "vlan_qos"),
    ("trust",),
    ("spoof_check",),
    ("link_state",),
    ("min_tx_rate", "max_tx_rate"),
)
"""Groups of fields that the kernel takes together. Rates come last: a driver refuses them until the PF's link is up,
which takes a while after VFs were made (1.4 s, measured by hand on an emulated igb)."""

_WORDS = {
    "node_guid": "node_guid",
    "port_guid": "port_guid",
    "mac": "mac",
    "vlan": "vlan",
    "vlan_qos": "qos",
    "trust": "trust",
    "spoof_check": "spoofchk",
    "link_state": "state",
    "min_tx_rate": "min_tx_rate",
    "max_tx_rate": "max_tx_rate",
}
"""Names of the fields in `ip link set PF vf N`."""


def wanted_link(request: LinkRequest, pf: Pf, index: int, noted: VfLink | None) -> VfLink:
    """Return the link settings that a VF should have: those that the pool asks for, and no other.

    A MAC or GUID that is set is kept; otherwise it is made from the PF's. It is None if the PF shows nothing of its
    VFs. Ethernet has no GUID, and InfiniBand no MAC.

    Args:
        noted: the journal: the settings of this VF before the first touch. A resize that was interrupted leaves no VF,
            or one that shows nothing set. It does not count for a VF with a netdev: igbvf may mark an address as made
            up that was set (`linux/netlink/shown.py`), so such a VF would be set anew for ever.
    """
    there = pf.vf(index)
    lost = noted if there is None or not there.netdevs else None
    looks = [link for link in (None if there is None else there.link, lost) if link is not None]
    infiniband = on_infiniband(pf)
    guid = stable_guid(pf.mac, index) if pf.mac and infiniband else None
    ask_mac, ask_guid = request.mac is not None and not infiniband, request.guid is not None and infiniband
    return VfLink(
        mac=_kept([look.mac for look in looks], _made_mac(pf, index)) if ask_mac else None,
        node_guid=_kept([look.node_guid for look in looks], guid) if ask_guid else None,
        port_guid=_kept([look.port_guid for look in looks], guid) if ask_guid else None,
        vlan=request.vlan,
        # A VLAN without priority clears the priority: otherwise that of an earlier VLAN would stay.
        vlan_qos=0 if request.vlan is not None and request.vlan_qos is None else request.vlan_qos,
        trust=request.trust,
        spoof_check=request.spoof_check,
        min_tx_rate=request.min_tx_rate,
        max_tx_rate=request.max_tx_rate,
        link_state=request.link_state,
    )


def as_kept(wanted: VfLink, shown: VfLink | None) -> VfLink:
    """Return earlier wanted settings with the MAC and GUIDs that are set by now: see `wanted_link`."""
    now = shown or VfLink()
    return replace(
        wanted,
        mac=wanted.mac and _kept([now.mac], wanted.mac),
        node_guid=wanted.node_guid and _kept([now.node_guid], wanted.node_guid),
        port_guid=wanted.port_guid and _kept([now.port_guid], wanted.port_guid),
    )


def on_infiniband(pf: Pf) -> bool:
    """Return whether a PF is on InfiniBand: by its netdev, otherwise by its class, which some cards share for both."""
    return is_infiniband(pf.mac) if pf.mac else pf.class_code.startswith(INFINIBAND_CLASS)


def _kept(known: Iterable[str | None], made: str | None) -> str | None:
    return next((one for one in known if one not in (None, ZERO_MAC, ZERO_GUID)), made)


def _made_mac(pf: Pf, index: int) -> str | None:
    return stable_mac(pf.mac, index) if pf.mac else None


def groups_of(link: VfLink) -> Iterator[VfLink]:
    """Yield the fields that are set in `link`, one group at a time."""
    for group in GROUPS:
        values = {name: getattr(link, name) for name in group}
        if any(value is not None for value in values.values()):
            yield VfLink(**values)


def mentioned(link: VfLink, by: VfLink) -> VfLink:
    """Return `link` with only the fields that are set in `by`."""
    return replace(link, **{name: None for name in _WORDS if getattr(by, name) is None})


def unmentioned(link: VfLink, by: VfLink) -> VfLink:
    """Return `link` without the fields that are set in `by`."""
    return replace(link, **{name: None for name in _WORDS if getattr(by, name) is not None})


def joined(link: VfLink, more: VfLink) -> VfLink:
    """Return `link` with the fields that are set in `more`."""
    return replace(link, **{name: value for name in _WORDS if (value := getattr(more, name)) is not None})


def differing(wanted: VfLink, shown: VfLink) -> tuple[VfLink, ...]:
    """Return the groups of `wanted` that differ in `shown`. A setting that the driver does not show differs."""
    return tuple(group for group in groups_of(wanted) if mentioned(shown, group) != group)


def unmet(wanted: VfLink | None, vf: Vf) -> bool:
    """Return whether this VF lacks some of the wanted link settings."""
    return wanted is not None and (vf.link is None or bool(differing(wanted, vf.link)))


def is_rate(link: LinkSettings) -> bool:
    """Return whether this is the group of rates, which needs the PF's link."""
    return link.min_tx_rate is not None or link.max_tx_rate is not None


def limits(link: VfLink) -> bool:
    """Return whether it sets a rate; 0 sets none."""
    return bool(link.min_tx_rate or link.max_tx_rate)


def link_text(link: VfLink) -> str:
    """Return `vlan 100 qos 0`, in the words of `ip link`."""
    texts = [
        f"{word} {_value(getattr(link, name))}" for name, word in _WORDS.items() if getattr(link, name) is not None
    ]
    return " ".join(texts) or "nothing"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)

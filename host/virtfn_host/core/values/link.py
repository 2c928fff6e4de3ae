"""Link settings of VFs as values: which belong together, where two differ, and what to call them.

A PF's driver takes settings one by one and refuses each for a reason of its own, so every group here is one step.
"""

from collections.abc import Iterator
from dataclasses import replace

from virtfn_host.core.values.mac import ZERO_MAC, stable_mac
from virtfn_host.core.values.model import LinkRequest, Pf, Vf, VfLink

GROUPS: tuple[tuple[str, ...], ...] = (
    ("mac",),
    ("vlan", "vlan_qos"),
    ("trust",),
    ("spoof_check",),
    ("link_state",),
    ("min_tx_rate", "max_tx_rate"),
)
"""Fields that the kernel takes together. Rates last: a driver wants the PF's link up for them, which takes a while
after VFs were made (measured on igb: 1.4 s)."""

_WORDS = {
    "mac": "mac",
    "vlan": "vlan",
    "vlan_qos": "qos",
    "trust": "trust",
    "spoof_check": "spoofchk",
    "link_state": "state",
    "min_tx_rate": "min_tx_rate",
    "max_tx_rate": "max_tx_rate",
}
"""As `ip link set PF vf N` calls them."""


def wanted_link(request: LinkRequest, pf: Pf, index: int) -> VfLink:
    """What a VF should show: what the pool asks, and a MAC that stays.

    One that is set is kept; else it is made. None where neither can be told, because the PF shows nothing of its VFs.
    """
    there = pf.vf(index)
    shown = there.link.mac if there is not None and there.link is not None else None
    mac = shown if shown not in (None, ZERO_MAC) else stable_mac(pf.mac, index) if pf.mac else None
    return VfLink(
        mac=mac,
        vlan=request.vlan,
        # A priority belongs to a tag: without one asked for, none is left over from an earlier VLAN.
        vlan_qos=0 if request.vlan is not None and request.vlan_qos is None else request.vlan_qos,
        trust=request.trust,
        spoof_check=request.spoof_check,
        min_tx_rate=request.min_tx_rate,
        max_tx_rate=request.max_tx_rate,
        link_state=request.link_state,
    )


def groups_of(link: VfLink) -> Iterator[VfLink]:
    """What is mentioned in `link`, one group at a time."""
    for group in GROUPS:
        values = {name: getattr(link, name) for name in group}
        if any(value is not None for value in values.values()):
            yield VfLink(**values)


def mentioned(link: VfLink, by: VfLink) -> VfLink:
    """The fields of `link` that are mentioned in `by`, and no others."""
    return replace(link, **{name: None for name in _WORDS if getattr(by, name) is None})


def differing(wanted: VfLink, shown: VfLink) -> tuple[VfLink, ...]:
    """The groups of `wanted` that `shown` does not have. What a driver does not show counts as not there."""
    return tuple(group for group in groups_of(wanted) if mentioned(shown, group) != group)


def unmet(wanted: VfLink | None, vf: Vf) -> bool:
    """Whether link settings are wanted of this VF that it does not show."""
    return wanted is not None and (vf.link is None or bool(differing(wanted, vf.link)))


def is_rate(link: VfLink) -> bool:
    """Whether a group is the one that needs the PF's link."""
    return link.min_tx_rate is not None or link.max_tx_rate is not None


def limits(link: VfLink) -> bool:
    """Whether it asks for a rate; 0 is none."""
    return bool(link.min_tx_rate or link.max_tx_rate)


def link_text(link: VfLink) -> str:
    """`vlan 100 qos 0`: the words of `ip link`."""
    texts = [
        f"{word} {_value(getattr(link, name))}" for name, word in _WORDS.items() if getattr(link, name) is not None
    ]
    return " ".join(texts) or "nothing"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)

"""Drivers of the fake kernel that accept a write and make something else. Without an entry here they do as asked."""

from collections.abc import Callable, Mapping

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.model import VfLink

Makes = Callable[[int, int], int]
"""The number of VFs that a driver makes: of the number asked for, which is not 0, and of sriov_totalvfs."""

MORE: Makes = lambda asked, total: total  # noqa: E731  # QAT: all or none
FEWER: Makes = lambda asked, total: asked - 1  # noqa: E731  # bnxt_en, where its resources are short
NONE: Makes = lambda asked, total: 0  # noqa: E731  # bnxt_en, while its netdev is down

KINDS: Mapping[str, Makes] = {"more": MORE, "fewer": FEWER, "none": NONE}


class OtherResults:
    """What comes instead of what is asked for."""

    def __init__(self) -> None:
        self.makes: dict[PciAddress, Makes] = {}
        """By PF."""
        self.ends_on: dict[PciAddress, str | None] = {}
        """The driver on which a function is after each bind; None: on none."""
        self.deaf: set[PciAddress] = set()
        """Functions that keep the override that they have."""
        self.link: Callable[[VfLink], VfLink] = lambda asked: asked
        """The link settings that a VF has of those that are set; empty: it keeps what it has."""
        self.mtu: Callable[[int, int], int] = lambda asked, now: asked
        """The MTU that a netdev has: of the one that is set, and of the one that it had."""

    def number(self, pf: PciAddress, asked: int, total: int) -> int:
        """Return the number of VFs that a write makes."""
        return min(self.makes[pf](asked, total), total) if asked and pf in self.makes else asked

    def driver(self, address: PciAddress, asked: str) -> str | None:
        """Return the driver on which a function is after it was bound to this one."""
        return self.ends_on.get(address, asked)

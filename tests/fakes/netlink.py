"""rtnetlink of the fake kernel: the link settings that an igb PF shows of its VFs and accepts for them.

Like the rest of the fake kernel, it knows nothing that tests/contract/ does not also check on a real one.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from inventories import NEW_LINK

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.link import link_text
from virtfn_host.core.values.mac import ZERO_MAC
from virtfn_host.core.values.model import VfLink
from virtfn_host.linux.errors import NetlinkRefusedError
from virtfn_host.linux.netlink.asks import Netlink, PfLinks, ShownMtu, ShownVf

if TYPE_CHECKING:
    from kernel import FakeKernel

LEAST_MTU, MOST_MTU = 68, 9216
"""Limits of igb and igbvf: ETH_MIN_MTU, and MAX_STD_JUMBO_FRAME_SIZE of their source."""

LINK_SPEED = 1000
"""Link speed of an igb in Mbit/s."""


def driver_address(kernel: FakeKernel, function: PciAddress) -> tuple[str, bool]:
    """Return the MAC of a new netdev, and whether the driver made it up; a VF's PF shows it."""
    folder = kernel.devices / str(function)
    if not (folder / "physfn").exists():
        return kernel.mac_of(function), False
    made_up = f"a6:00:00:{len(kernel.writes) % 256:02x}:{function.device:02x}:{function.function:02x}"
    if (given := given_address(kernel, function)) is not None:
        up = any(map(_up, (folder / "physfn/net").iterdir()))
        return (given, False) if up else (made_up, True)
    kernel.made_up.add(function)
    kernel.links[function] = replace(kernel.links.get(function, NEW_LINK), mac=made_up)
    return made_up, True


def given_address(kernel: FakeKernel, function: PciAddress) -> str | None:
    """Return the MAC that was set for a VF, or None."""
    mac = kernel.links.get(function, NEW_LINK).mac
    return None if mac in (None, ZERO_MAC) or function in kernel.made_up else mac


class FakeNetlink(Netlink):
    """See Netlink."""

    def __init__(self, kernel: FakeKernel) -> None:
        super().__init__(kernel.root / "proc")
        self._kernel = kernel

    def links(self, netdev: str | int) -> PfLinks:
        """See Netlink."""
        folder = self._netdev(netdev)
        vfs = self._vfs(folder)
        return PfLinks(
            ifindex=_ifindex(folder),
            up=_up(folder),
            mac=(folder / "address").read_text().strip(),
            vfs=tuple(ShownVf(index=n, link=self._kernel.links.get(vf, NEW_LINK)) for n, vf in sorted(vfs.items())),
        )

    def addresses(self) -> Mapping[str, tuple[str, ...]]:
        """See Netlink."""
        return {name: texts for name, texts in self._kernel.addresses.items() if texts}

    def other_names(self) -> Mapping[str, tuple[str, ...]]:
        """See Netlink."""
        return {name: tuple(sorted(others)) for name, others in self._kernel.other_names.items() if others}

    def permanent_addresses(self) -> Mapping[str, str]:
        """See Netlink."""
        return {
            folder.name: self._kernel.mac_of(PciAddress.parse(folder.parent.parent.name))
            for folder in self._kernel.devices.glob("*/net/*")
            if not (folder.parent.parent / "physfn").exists()
        }

    def set_vf(self, ifindex: int, index: int, setting: VfLink) -> None:
        """See Netlink."""
        folder = self._of(ifindex)
        vf = self._vfs(folder).get(index)
        self._kernel.begins(f"rtnetlink/{folder.name}/{vf}", link_text(setting))
        if vf is None or _is_refused(setting, up=_up(folder)):
            raise NetlinkRefusedError(errno.EINVAL)
        if any(value is not None for value in (setting.link_state, setting.node_guid, setting.port_guid)):
            raise NetlinkRefusedError(errno.EOPNOTSUPP)
        if setting.mac is not None:
            self._kernel.made_up.discard(vf)
        made = self._kernel.instead.link(setting)
        given = {f.name: getattr(made, f.name) for f in fields(made) if getattr(made, f.name) is not None}
        self._kernel.links[vf] = replace(self._kernel.links.get(vf, NEW_LINK), **given)

    def mtu(self, netdev: str | int) -> ShownMtu:
        """See Netlink."""
        folder = self._netdev(netdev)
        now = int((folder / "mtu").read_text())
        return ShownMtu(ifindex=_ifindex(folder), now=now, least=LEAST_MTU, most=MOST_MTU)

    def set_mtu(self, ifindex: int, value: int) -> None:
        """See Netlink."""
        folder = self._of(ifindex)
        self._kernel.begins(f"rtnetlink/{folder.name}/mtu", str(value))
        if not LEAST_MTU <= value <= MOST_MTU:
            raise NetlinkRefusedError(errno.EINVAL)
        made = self._kernel.instead.mtu(value, int((folder / "mtu").read_text()))
        (folder / "mtu").write_text(f"{made}\n")

    def _netdev(self, name: str | int) -> Path:
        if isinstance(name, int):
            return self._of(name)
        for device in os.listdir(self._kernel.devices):
            if os.path.exists(folder := f"{self._kernel.devices}/{device}/net/{name}"):
                return Path(folder)
        raise NetlinkRefusedError(errno.ENODEV)

    def _of(self, ifindex: int) -> Path:
        for folder in self._kernel.devices.glob("*/net/*"):
            if _ifindex(folder) == ifindex:
                return folder
        raise NetlinkRefusedError(errno.ENODEV)

    def _vfs(self, netdev: Path) -> dict[int, PciAddress]:
        return dict(enumerate(self._kernel._vfs(PciAddress.parse(netdev.parent.parent.name))))


def _ifindex(netdev: Path) -> int:
    return int((netdev / "ifindex").read_text())


def _up(netdev: Path) -> bool:
    return bool(int((netdev / "flags").read_text(), 16) & 1)


def _is_refused(setting: VfLink, *, up: bool) -> bool:
    multicast = setting.mac is not None and bool(int(setting.mac[:2], 16) & 1)
    rate = setting.max_tx_rate is not None
    return multicast or (rate and (not up or bool(setting.min_tx_rate) or (setting.max_tx_rate or 0) > LINK_SPEED))

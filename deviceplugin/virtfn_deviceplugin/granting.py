"""Answers the kubelet's requests for containers: look, decide (`allocate.py`, `prestart.py`), write down, answer."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from virtfn_deviceplugin.allocate import ContainerAnswer, allocate_all, nodes
from virtfn_deviceplugin.checkpoint import remembered
from virtfn_deviceplugin.functions import Shown, shown, used_by
from virtfn_deviceplugin.grants import GrantFile
from virtfn_deviceplugin.ledger import LedgerFile
from virtfn_deviceplugin.prestart import expect_still_granted
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.offered import DevicePool, Grant
from virtfn_host.linux.errors import HostError
from virtfn_host.linux.read.sysfs import Sysfs

log = logging.getLogger("virtfn.deviceplugin")


class Granter:
    """Allocates functions and checks grants; safe to use from several threads."""

    def __init__(self, sysfs: Sysfs, ledger: LedgerFile, grants: GrantFile, checkpoint: Path) -> None:
        """Wire it up. `checkpoint` is the path of the kubelet's checkpoint file."""
        self._sysfs = sysfs
        self._checkpoint = checkpoint
        self._boot_id = sysfs.boot_id()
        self._ledger = ledger
        self._grants = grants

    def allocate(self, pool: DevicePool, containers: Sequence[Sequence[str]]) -> Sequence[ContainerAnswer]:
        """See `server.Granting`. Nothing is written down before every container of the request is decided."""
        seen: dict[PciAddress, Shown] = {}

        def look(address: PciAddress) -> Shown:
            seen[address] = replace(shown(self._sysfs, address), open_member=used_by(self._sysfs, address))
            return seen[address]

        answers = allocate_all(pool, containers, look)
        addresses = [address for answer in answers for address in answer.addresses]
        self._grants.note([self._grant(pool.resource_name, address, seen[address]) for address in addresses])
        self._ledger.note(self._boot_id, pool.resource_name, addresses)
        log.info("%s: %s handed out", pool.resource_name, ", ".join(map(str, addresses)))
        return answers

    def _grant(self, resource_name: str, address: PciAddress, now: Shown) -> Grant:
        return Grant(
            address=address,
            resource_name=resource_name,
            driver=now.driver or "",
            nodes=tuple(node.host_path for node in nodes([now])),
            boot_id=self._boot_id,
        )

    def expect_still_granted(self, ids: Sequence[str]) -> None:
        """See `server.Granting`."""
        expect_still_granted(
            ids,
            self._grants.of,
            lambda address: shown(self._sysfs, address),
            self._behind,
            lambda ids: remembered(self._checkpoint, ids),
        )

    def _behind(self, node: str) -> str:
        """Return to which functions a group's device node leads now: `belongs to 0000:01:10.2 now`."""
        name = node.rpartition("/")[2].removeprefix("noiommu-")
        try:
            members = self._sysfs.group_members(int(name)) if name.isdecimal() else ()
        except HostError:
            members = ()
        return f"belongs to {', '.join(map(str, members))} now" if members else "leads to no function now"

"""Answers a server's requests for containers: look (`functions.py`), decide (`granted.py`, `prestart.py`), write down
(`effects.py`)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from virtfn_deviceplugin.checkpoint import remembered
from virtfn_deviceplugin.grant.effects import Effects
from virtfn_deviceplugin.grant.functions import members, shown, shown_as_given, used_by
from virtfn_deviceplugin.grant.granted import Granted, grant_all
from virtfn_deviceplugin.grant.grantfile import GrantFile
from virtfn_deviceplugin.grant.infos import DeviceInfos
from virtfn_deviceplugin.grant.leaving import Leaving
from virtfn_deviceplugin.grant.offer import PoolOffer
from virtfn_deviceplugin.grant.prestart import expect_still_granted
from virtfn_deviceplugin.grant.shared import about
from virtfn_deviceplugin.grant.shown import Shown
from virtfn_deviceplugin.grant.specs import Specs
from virtfn_deviceplugin.ledger import LedgerFile
from virtfn_host.core.checks.network import NETWORK_CLASS
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.offered import DevicePool
from virtfn_host.linux.errors import HostError
from virtfn_host.linux.read.onelook import OneLook
from virtfn_host.linux.read.sysfs import Sysfs


class Granter:
    """Grants functions and checks grants; safe to use from several threads."""

    def __init__(
        self,
        sysfs: Sysfs,
        ledger: LedgerFile,
        grants: GrantFile,
        checkpoint: Path,
        offer_now: Callable[[str], PoolOffer | None],
    ) -> None:
        """Wire it up. `checkpoint` is the path of the kubelet's checkpoint file; for `offer_now` see `effects.py`."""
        self._sysfs = sysfs
        self._checkpoint = checkpoint
        self._ledger = ledger
        self._grants = grants
        infos, self._specs = DeviceInfos(grants), Specs(grants, sysfs.boot_id())
        self._effects = Effects(sysfs.boot_id(), ledger, grants, infos, self._specs, offer_now)
        self._leaving = Leaving(sysfs, ledger, grants, infos, self._specs, checkpoint)

    def allocate(self, offer: PoolOffer, containers: Sequence[Sequence[str]]) -> Sequence[Granted]:
        """See `server.Granting`. Nothing is written down before every container of the request is decided."""
        now = OneLook(self._sysfs)  # each file once for a request
        granted = grant_all(offer, containers, lambda address: self._look(now, offer, address))
        self._effects.carry_out(offer, granted)
        return granted

    def published(self, names: Iterable[str]) -> None:
        """Hear which resources the pool file has, served or not: files of a withdrawn one are removed."""
        self._leaving.published(names)

    def offered(self, pool: DevicePool) -> None:
        """See `server.Granting`."""
        self._leaving.offered(pool)

    def withdrawn(self, resource_name: str) -> None:
        """See `server.Granting`."""
        self._leaving.withdrawn(resource_name)

    def _look(self, now: Sysfs, offer: PoolOffer, address: PciAddress) -> Shown:
        others = members(now, address)[1:]
        extras = offer.pool.extras
        return replace(
            shown(now, address, both=extras.iommufd, rdma=offer.devices[str(address)].rdma if extras.rdma else ()),
            open_member=used_by(now, address),
            lately=self._ledger.lately(others),
            network=now.hex_digits(address, "class").startswith(NETWORK_CLASS),
        )

    def expect_still_granted(self, resource_name: str, ids: Sequence[str]) -> None:
        """See `server.Granting`."""
        expect_still_granted(
            resource_name,
            ids,
            self._grants.of,
            self._shown_as_given,
            self._behind,
            lambda ids: remembered(self._checkpoint, ids),
        )
        for name in ids:
            grant = self._grants.of(PciAddress.parse(name))
            if grant is not None:
                with about(grant.address):
                    self._specs.restore(grant)

    def _shown_as_given(self, address: PciAddress) -> Shown:
        given = self._grants.of(address)
        return shown(self._sysfs, address, both=True) if given is None else shown_as_given(self._sysfs, given)

    def _behind(self, node: str) -> str:
        """Return to which functions a group's device node leads now: `belongs to 0000:01:10.2 now`."""
        name = node.rpartition("/")[2].removeprefix("noiommu-")
        try:
            members = self._sysfs.group_members(int(name)) if name.isdecimal() else ()
        except HostError:
            members = ()
        return f"belongs to {', '.join(map(str, members))} now" if members else "leads to no function now"

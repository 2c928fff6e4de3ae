"""Writes everything that must be there before a container is given its functions, or leaves nothing of it behind."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from virtfn_deviceplugin.grant.granted import Granted
from virtfn_deviceplugin.grant.grantfile import GrantFile
from virtfn_deviceplugin.grant.infos import DeviceInfos
from virtfn_deviceplugin.grant.shared import about
from virtfn_deviceplugin.grant.shown import GrantedFunction
from virtfn_deviceplugin.grant.specs import Specs
from virtfn_deviceplugin.ledger import LedgerFile
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.offered import DevicePool, Grant

log = logging.getLogger("virtfn.deviceplugin")


class Effects:
    """The effects of grants; safe to use from several threads."""

    def __init__(self, boot_id: str, ledger: LedgerFile, grants: GrantFile, infos: DeviceInfos, specs: Specs) -> None:
        self._boot_id = boot_id
        self._ledger = ledger
        self._grants = grants
        self._infos = infos
        self._specs = specs

    def carry_out(self, pool: DevicePool, granted: Sequence[Granted]) -> None:
        """Write down what the containers of one request get. The ledger is last: an entry in it cannot be taken back.

        Raises:
            HostError: something cannot be written, so nothing may be handed out; what was written is undone.
        """
        with ExitStack() as undo:
            notes = [self._written(pool, function, undo) for one in granted for function in one.functions]
            before = self._grants.note(notes)
            undo.callback(self._grants.put_back, before)
            addresses = [note.address for note in notes]
            self._ledger.note(self._boot_id, pool.resource_name, addresses)
            undo.pop_all()
        self._remove_earlier(pool, granted, before)
        log.info("%s: %s handed out", pool.resource_name, ", ".join(map(str, addresses)))

    def _remove_earlier(
        self, pool: DevicePool, granted: Sequence[Granted], before: Mapping[PciAddress, Grant | None]
    ) -> None:
        """Remove the files that functions have of another pool, or of this one before it was changed."""
        for function in (function for one in granted for function in one.functions):
            earlier = before.get(function.address)
            if earlier is not None and earlier.resource_name != pool.resource_name:
                self._infos.remove(earlier)
            if earlier is not None:
                self._specs.remove(earlier, keep=function.specs)

    def _written(self, pool: DevicePool, function: GrantedFunction, undo: ExitStack) -> Grant:
        """Write the files of one function, and return the grant to note."""
        with about(function.address):
            info, put_back = self._infos.put(function)
            undo.callback(put_back)
            undo.callback(self._specs.put(function.specs))
        return Grant(
            address=function.address,
            resource_name=pool.resource_name,
            driver=function.driver,
            nodes=function.paths,
            boot_id=self._boot_id,
            device_info=info,
            extras=pool.extras,
            specs=bool(function.specs),
            rdma=function.rdma,
        )

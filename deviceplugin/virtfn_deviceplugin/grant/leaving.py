"""Removes the files about functions that left, and writes again those that a reboot took.

A file stays as long as its function is on offer, or a pod may hold it: a program has the function open, it was handed
out just now, or the kubelet's checkpoint has it. The kubelet does not note the end of a pod at once, so a file may stay
until the next look at every function.
"""

import logging
import threading
from collections.abc import Iterable, Set
from dataclasses import replace
from pathlib import Path

from virtfn_deviceplugin import checkpoint
from virtfn_deviceplugin.grant.device_info import device_info
from virtfn_deviceplugin.grant.functions import shown_as_given, used_by
from virtfn_deviceplugin.grant.grantfile import GrantFile
from virtfn_deviceplugin.grant.infos import DeviceInfos
from virtfn_deviceplugin.grant.shared import about
from virtfn_deviceplugin.grant.specs import Specs
from virtfn_deviceplugin.ledger import LedgerFile
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.offered import DevicePool, Grant
from virtfn_host.linux.errors import HostError
from virtfn_host.linux.read.sysfs import Sysfs

log = logging.getLogger("virtfn.deviceplugin")


class Leaving:
    """Compares the grants that have files with what is on offer; safe to use from several threads."""

    def __init__(
        self,
        sysfs: Sysfs,
        ledger: LedgerFile,
        grants: GrantFile,
        infos: DeviceInfos,
        specs: Specs,
        kubelet_checkpoint: Path,
    ) -> None:
        self._sysfs = sysfs
        self._ledger = ledger
        self._grants = grants
        self._infos = infos
        self._specs = specs
        self._checkpoint = kubelet_checkpoint
        self._offered: dict[str, frozenset[PciAddress]] = {}
        self._published: frozenset[str] | None = None
        """Every resource of the pool file as it was last read; None: it has not been read."""
        self._lock = threading.Lock()

    def published(self, names: Iterable[str]) -> None:
        """Hear which resources the pool file has, served or not."""
        with self._lock:
            self._published = frozenset(names)
            self._tidy()

    def offered(self, pool: DevicePool) -> None:
        """Hear that these functions are on offer now."""
        with self._lock:
            if pool.resource_name not in self._offered:
                self._restore(pool)
            self._offered[pool.resource_name] = frozenset(device.address for device in pool.devices)
            self._tidy()

    def withdrawn(self, resource_name: str) -> None:
        """Hear that a resource is not served any more: it was withdrawn, or the process ends."""
        with self._lock:
            self._offered.pop(resource_name, None)
            self._tidy()

    def _restore(self, pool: DevicePool) -> None:
        for device in pool.devices:
            grant = self._grants.of(device.address)
            if grant is None or grant.resource_name != pool.resource_name:
                continue
            if grant.device_info:
                self._infos.restore(grant, device_info(pool, device))
            if grant.specs:
                self._restore_specs(grant)

    def _restore_specs(self, grant: Grant) -> None:
        """Write the specs of a function whose device nodes are as they were given. Before others nothing can be said:
        the container may not start (`prestart.py`)."""
        try:
            now = shown_as_given(self._sysfs, grant)
            if now.driver == grant.driver and now.paths == grant.nodes and now.rdma == grant.rdma:
                with about(grant.address):
                    self._specs.restore(grant)
        except HostError as error:
            log.warning("%s", error)

    def _tidy(self) -> None:
        gone = [g for g in self._grants.all() if (g.device_info or g.specs) and self._left(g)]
        if not gone:
            return
        given = checkpoint.held(self._checkpoint)
        free = [grant for grant in gone if not self._held(grant, given)]
        removed = [grant for grant in free if all([self._infos.remove(grant), self._specs.remove(grant)])]
        try:
            self._grants.change({grant: replace(grant, device_info="", specs=False) for grant in removed})
        except HostError as error:
            log.warning("%s", error)

    def _left(self, grant: Grant) -> bool:
        offered = self._offered.get(grant.resource_name)
        if offered is not None:
            return grant.address not in offered
        if self._published is not None and grant.resource_name not in self._published:
            return True
        try:  # not served now, though published or unknown: only a function that left its driver is gone
            return self._sysfs.bound_driver(grant.address) != grant.driver
        except HostError:
            return False

    def _held(self, grant: Grant, given: Set[tuple[str, str]] | None) -> bool:
        if given is None or (grant.resource_name, str(grant.address)) in given:
            return True
        try:
            open_member = used_by(self._sysfs, grant.address)
        except HostError:
            return True
        return open_member is not None or self._ledger.lately([grant.address]) is not None

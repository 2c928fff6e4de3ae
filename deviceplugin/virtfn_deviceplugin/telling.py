"""Writes for the agent how each resource stands with the kubelet, in a file beside the ledger.

The agent sees only what the kubelet offers. If that differs from the published pools, this file says why. It is written
again every few seconds even if nothing changes: the agent sees by that whether the device plugin runs.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from virtfn_deviceplugin.names import RefusedPool
from virtfn_deviceplugin.registration import one_line
from virtfn_host.core.values.offered import Registration, Registrations
from virtfn_host.linux import poolfile
from virtfn_host.linux.clock import since_boot
from virtfn_host.linux.poolfile import PoolFileError

log = logging.getLogger("virtfn.deviceplugin")

BEAT = 5.0
"""Seconds after which the next check writes the file again. The agent takes a file that is three times as old for left
behind."""


class Telling:
    """Writes the file when a registration has changed, and every `BEAT` seconds. A failure to write does not hinder the
    service.
    """

    def __init__(self, path: Path, boot_id: str, now: Callable[[], float] = since_boot) -> None:
        self._path = path
        self._boot_id = boot_id
        self._now = now
        self._told: Registrations | None = None
        self._at = 0.0
        self._refused: dict[str, float] = {}
        """Since when each pool is refused."""
        self._complaint = ""

    def tell(self, outlines: Iterable[Registration], refused: Iterable[RefusedPool] = (), complaint: str = "") -> None:
        """Write the registrations, the pools that are not served, and what is wrong with the pool file."""
        now = self._now()
        served = {outline.resource_name: outline for outline in outlines}
        news = Registrations(
            boot_id=self._boot_id,
            registrations=tuple(one for _, one in sorted((self._not_served(refused, now) | served).items())),
            complaint=one_line(complaint) or None,
        )
        if news == self._told and now - self._at < BEAT:
            return
        try:
            poolfile.write_registrations(self._path, replace(news, at=now))
        except PoolFileError as error:
            if str(error) != self._complaint:
                log.warning("%s", error)
            self._complaint = str(error)
        else:
            self._told, self._at, self._complaint = news, now, ""

    def _not_served(self, refused: Iterable[RefusedPool], now: float) -> dict[str, Registration]:
        texts = {pool.resource_name: one_line(pool.message) for pool in refused}
        self._refused = {name: self._refused.get(name, now) for name in texts}
        return {
            name: Registration(resource_name=name, registered=False, since=self._refused[name], refusal=text)
            for name, text in texts.items()
        }

    def remove(self) -> None:
        """Remove the file, because no resource is served any more; one that stays is logged."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s stays: %s", self._path, error.strerror)

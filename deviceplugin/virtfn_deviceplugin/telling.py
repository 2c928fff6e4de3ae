"""Writes for the agent how each resource stands with the kubelet, in a file beside the ledger.

The agent sees only what the kubelet offers. If that differs from the published pools, this file says why.
"""

import logging
from collections.abc import Iterable
from pathlib import Path

from virtfn_deviceplugin.ledger import remove
from virtfn_deviceplugin.registration import Standing
from virtfn_host.core.values.offered import Registrations
from virtfn_host.linux import poolfile
from virtfn_host.linux.poolfile import PoolFileError

log = logging.getLogger("virtfn.deviceplugin")


class Telling:
    """Writes the file when a standing has changed. A failure to write does not hinder the service."""

    def __init__(self, path: Path, boot_id: str) -> None:
        self._path = path
        self._boot_id = boot_id
        self._told: Registrations | None = None
        self._complaint = ""

    def tell(self, standings: Iterable[Standing]) -> None:
        """Write the standings, if they have changed."""
        outlines = tuple(sorted((s.outline for s in standings), key=lambda outline: outline.resource_name))
        news = Registrations(boot_id=self._boot_id, registrations=outlines)
        if news == self._told:
            return
        try:
            poolfile.write_registrations(self._path, news)
        except PoolFileError as error:
            if str(error) != self._complaint:
                log.warning("%s", error)
            self._complaint = str(error)
        else:
            self._told, self._complaint = news, ""

    def remove(self) -> None:
        """Remove the file, because no resource is served any more."""
        remove(self._path)

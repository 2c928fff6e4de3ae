"""The files that agent and device plugin share: what pods are offered, what was allocated lately, and how each resource
stands with the kubelet.
"""

import asyncio
import logging
from pathlib import Path

from virtfn_host.core.values.offered import Ledger, PoolSet
from virtfn_host.linux import poolfile
from virtfn_operator.agent.not_offered import PluginReport
from virtfn_operator.agent.ports import LedgerUnreadableError

logger = logging.getLogger(__name__)


class PoolFiles:
    """The pool file, which the agent writes, and the ledger and registrations, which the device plugin writes."""

    def __init__(self, pools: Path, ledger: Path) -> None:
        self._pools = pools
        self._ledger = ledger

    async def published(self) -> PoolSet | None:
        """Read the pool file; None when it is missing, or invalid and to be replaced."""
        try:
            return await asyncio.to_thread(poolfile.read, self._pools)
        except poolfile.PoolFileError as error:
            logger.warning("the pool file will be replaced: %s", error)
            return None

    async def publish(self, pools: PoolSet) -> None:
        """Replace the pool file.

        Raises:
            PoolFileError: it could not be written; the old file is unchanged.
        """
        await asyncio.to_thread(poolfile.write, self._pools, pools)

    async def ledger(self) -> Ledger | None:
        """Read what the device plugin allocated; None when there is no ledger.

        Raises:
            LedgerUnreadableError: the ledger cannot be read.
        """
        try:
            return await asyncio.to_thread(poolfile.read_ledger, self._ledger)
        except poolfile.PoolFileError as error:
            text = f"{error}; the device plugin replaces it, so check the plugin if this stays"
            raise LedgerUnreadableError(text) from error

    async def ledger_stamp(self) -> object:
        """Return a value that changes whenever the ledger is written, as the device plugin does for the pool file."""
        try:
            found = await asyncio.to_thread(self._ledger.lstat)
        except OSError as error:
            return error.errno
        return (found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)

    async def plugin(self) -> PluginReport:
        """Read what the device plugin says of itself, from the file beside its ledger."""
        path = self._ledger.with_name("registrations.json")
        try:
            return PluginReport(told=await asyncio.to_thread(poolfile.read_registrations, path))
        except poolfile.PoolFileError as error:
            return PluginReport(error=str(error))

    def unpublish(self) -> None:
        """Remove the pool file; the device plugin goes on serving what it has."""
        self._pools.unlink(missing_ok=True)

"""Keeps the grants: the device nodes of the last answer to Allocate for each function, over restarts and reboots.

The kubelet asks once and saves the answer. At each start, also after a reboot, the container gets the same device nodes
without another Allocate. PreStartContainer compares the grant with the present nodes (`prestart.py`).
"""

import logging
import threading
from collections.abc import Iterable
from pathlib import Path

from virtfn_deviceplugin.ledger import set_aside
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.offered import MOST_GRANTS, Grant, Grants
from virtfn_host.linux import poolfile
from virtfn_host.linux.poolfile import PoolFileError

log = logging.getLogger("virtfn.deviceplugin")


class GrantFile:
    """The grants of this node; safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._grants: dict[PciAddress, Grant] = {}

    def load(self) -> None:
        """Load the grants of earlier processes. An unreadable file is set aside, and no grant is known."""
        try:
            found = poolfile.read_grants(self.path)
        except PoolFileError as error:
            set_aside(self.path, error)
            return
        self._grants = {grant.address: grant for grant in found.grants} if found else {}

    def of(self, address: PciAddress) -> Grant | None:
        """Return the last grant of a function; None: there is none."""
        return self._grants.get(address)

    def note(self, given: Iterable[Grant]) -> None:
        """Write down new grants. If none has changed, nothing is written.

        Raises:
            PoolFileError: the file cannot be written, so the functions must not be given; the earlier grants are kept.
        """
        with self._lock:
            fresh = {grant.address: grant for grant in given if self._grants.get(grant.address) != grant}
            if not fresh:
                return
            kept = {address: grant for address, grant in self._grants.items() if address not in fresh} | fresh
            newest = tuple(kept.values())[-MOST_GRANTS:]
            poolfile.write_grants(self.path, Grants(grants=newest))
            self._grants = {grant.address: grant for grant in newest}

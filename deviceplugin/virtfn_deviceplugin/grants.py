"""What the last answer to Allocate named for each function, kept over restarts and reboots.

The kubelet asks once and keeps the answer: whenever the container starts again, also after a reboot, it gets the same
device nodes without another Allocate. PreStartContainer compares them with what is there by then (`prestart.py`).
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
        """Take over what earlier processes gave; a file that cannot be read is set aside, and nothing is known."""
        try:
            found = poolfile.read_grants(self.path)
        except PoolFileError as error:
            set_aside(self.path, error)
            return
        self._grants = {grant.address: grant for grant in found.grants} if found else {}

    def of(self, address: PciAddress) -> Grant | None:
        """What was given for a function the last time, or None where nobody knows."""
        return self._grants.get(address)

    def note(self, given: Iterable[Grant]) -> None:
        """Write down what is given now; what is as before is not written again.

        Raises:
            PoolFileError: it cannot be written, so it must not be given; what was noted before stands.
        """
        with self._lock:
            fresh = {grant.address: grant for grant in given if self._grants.get(grant.address) != grant}
            if not fresh:
                return
            kept = {address: grant for address, grant in self._grants.items() if address not in fresh} | fresh
            newest = tuple(kept.values())[-MOST_GRANTS:]
            poolfile.write_grants(self.path, Grants(grants=newest))
            self._grants = {grant.address: grant for grant in newest}

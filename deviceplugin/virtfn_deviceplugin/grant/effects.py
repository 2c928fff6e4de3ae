"""Writes everything that must be there before a container is given its functions, or leaves nothing of it behind.

Requests that share a function are carried out one after the other, each from its first file to the ledger or to the end
of its undoing. The kubelet may repeat a request while the first one is at work. Both write the same grant and files, so
nothing in them says which request relies on them, and undoing the first one would remove what the repeat was granted.
It is not enough to undo nothing that a later request noted: if that one fails, too, nothing would remove it.

Requests about other functions do not wait, so they share a sync of the ledger (decision 0032). sysfs, whose reads may
hang, is read before. What is waited for is only the disk, and a disk that hangs holds up every request anyway. Requests
to another process of the plugin, in an upgrade (decision 0040), are not waited for.

While a request waits for the disk, the agent may withdraw its function, see that the kubelet does not offer it any
more, and find it free, because the ledger does not have it yet (the two beats). So the request looks at the offer again
after its ledger entry is written. The agent writes the pool file before it reads the ledger: either it finds the entry,
or this look finds the withdrawal, and the request is refused. The pool file as it is now counts: in an upgrade the
kubelet may hear of a withdrawal from the other process before this one has read it. While the file is the one that was
read last, this costs one lstat. The entry of a refused request stays and counts for a minute. A function that was made
anew meanwhile and is on offer as before passes; `prestart.py` compares its device nodes.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack, contextmanager

from virtfn_deviceplugin.grant.device_info import file_name
from virtfn_deviceplugin.grant.granted import Granted, expect_on_offer
from virtfn_deviceplugin.grant.grantfile import GrantFile
from virtfn_deviceplugin.grant.infos import DeviceInfos
from virtfn_deviceplugin.grant.offer import PoolOffer
from virtfn_deviceplugin.grant.shared import about
from virtfn_deviceplugin.grant.shown import GrantedFunction
from virtfn_deviceplugin.grant.specs import Specs
from virtfn_deviceplugin.ledger import LedgerFile
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.offered import DevicePool, Grant

log = logging.getLogger("virtfn.deviceplugin")


class Effects:
    """The effects of grants; safe to use from several threads."""

    def __init__(
        self,
        boot_id: str,
        ledger: LedgerFile,
        grants: GrantFile,
        infos: DeviceInfos,
        specs: Specs,
        offer_now: Callable[[str], PoolOffer | None],
    ) -> None:
        """Wire it up. `offer_now` returns what the pool file has now of a resource."""
        self._boot_id = boot_id
        self._ledger = ledger
        self._grants = grants
        self._infos = infos
        self._specs = specs
        self._offer_now = offer_now
        self._at_work: set[PciAddress] = set()
        """The functions of the requests that are carried out now."""
        self._ended = threading.Condition()

    def carry_out(self, offer: PoolOffer, granted: Sequence[Granted]) -> None:
        """Write down what the containers of one request get. The ledger is last: an entry in it cannot be taken back.

        Raises:
            AllocateRefusedError: a function was withdrawn meanwhile; all but the ledger entry is undone.
            HostError: something cannot be written, so nothing may be handed out; what was written is undone.
        """
        pool = offer.pool
        addresses = [address for one in granted for address in one.addresses]
        with self._alone(frozenset(addresses)):
            with ExitStack() as undo:
                notes = [self._written(pool, function, undo) for one in granted for function in one.functions]
                before = self._grants.note(notes)
                undo.callback(self._grants.put_back, before)
                self._ledger.note(self._boot_id, pool.resource_name, addresses)
                expect_on_offer(offer, self._offer_now(pool.resource_name), granted)
                undo.pop_all()
            self._remove_earlier(pool, granted, before)
        log.info("%s: %s handed out", pool.resource_name, ", ".join(map(str, addresses)))

    @contextmanager
    def _alone(self, addresses: Set[PciAddress]) -> Iterator[None]:
        """Wait until no other request about these functions is at work. All are taken at once, so that two requests
        never wait for each other."""
        with self._ended:
            self._ended.wait_for(lambda: self._at_work.isdisjoint(addresses))
            self._at_work |= addresses
        try:
            yield
        finally:
            with self._ended:
                self._at_work -= addresses
                self._ended.notify_all()

    def _remove_earlier(
        self, pool: DevicePool, granted: Sequence[Granted], before: Mapping[PciAddress, Grant | None]
    ) -> None:
        """Remove the files that functions have of another pool, or of this one before it was changed."""
        for function in (function for one in granted for function in one.functions):
            earlier = before.get(function.address)
            if earlier is None:
                continue
            # Not the resource names: `a-b/c` and `a/b-c` have one file, which is the new one by now.
            if file_name(earlier.resource_name, earlier.address) != file_name(pool.resource_name, earlier.address):
                self._infos.remove(earlier)
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

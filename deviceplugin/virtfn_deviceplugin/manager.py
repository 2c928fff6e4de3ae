"""Reads the pool file, and starts and stops the servers; no other module does.

The kernel tells of changed files, where it can (`events.py`). They are also looked at: every two seconds, or four times
a second where it cannot. That works on every kind of mount; inotify does not.

Every two seconds a few listings of sysfs are compared (`watching.py`), so a function that left its driver becomes
unhealthy without the agent, and healthy again when it is back.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from virtfn_deviceplugin.checkpoint import NAME as CHECKPOINT
from virtfn_deviceplugin.diff import diff
from virtfn_deviceplugin.events import FileEvents
from virtfn_deviceplugin.grant.functions import shown
from virtfn_deviceplugin.grant.granter import Granter
from virtfn_deviceplugin.grant.grantfile import GrantFile
from virtfn_deviceplugin.grant.offer import PoolOffer
from virtfn_deviceplugin.grant.shown import not_as_promised
from virtfn_deviceplugin.instances import Presence
from virtfn_deviceplugin.kubelet import KubeletFolder
from virtfn_deviceplugin.ledger import LedgerFile
from virtfn_deviceplugin.names import RefusedPool, chosen
from virtfn_deviceplugin.registration import summary
from virtfn_deviceplugin.server import PoolServer, to_its_end
from virtfn_deviceplugin.telling import Telling
from virtfn_deviceplugin.watching import Watching
from virtfn_deviceplugin.withheld import Withheld
from virtfn_host.core.values.offered import DevicePool, PoolDevice, PoolSet, with_reason
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.resource_names import Domains
from virtfn_host.linux import poolfile
from virtfn_host.linux.clock import since_boot
from virtfn_host.linux.errors import HostError
from virtfn_host.linux.files import stamp_of
from virtfn_host.linux.read.mounted import MountedFolders, StaleFolderError
from virtfn_host.linux.read.onelook import OneLook
from virtfn_host.linux.read.sysfs import Sysfs

log = logging.getLogger("virtfn.deviceplugin")

LOOK_EVERY = 0.25
"""Seconds between looks at the files where the kernel does not tell of changes."""
CHECK_EVERY = 2.0
WHOLE_LOOK = 150
"""Checks between two looks at every function while no listing changes: five minutes. What no listing shows is found by
the agent's look within seconds, and by Allocate."""
DRIFTED_LOOK = 4
"""The same while a function is not as promised, so that its repair is found within ten seconds."""
THREADS = 32
"""Most requests at work at the same time. asyncio's own limit is six on two processors, so a few requests whose reads
hang in the kernel would hold up those for all other resources. Threads are only made when they are needed."""
PATIENCE = 300.0
"""Seconds after which the process is ready although a resource is not registered, so that an upgrade goes on. The other
plugin of an overlapping upgrade ends then."""
AWAY = 60.0
"""Seconds without a kubelet in its folder after which the liveness probe fails. Only a kubelet probes, so the probe
shows that a kubelet runs and that this folder is not its folder."""


class ServerManager:
    """Keeps one server for each pool of the pool file."""

    def __init__(
        self,
        *,
        pool_file: Path,
        ledger: LedgerFile,
        kubelet_dir: Path,
        sysfs: Sysfs,
        domains: Domains | None = None,
        grants: GrantFile | None = None,
    ) -> None:
        """Wire it up.

        Args:
            domains: domains of resource names that are allowed beside virtfn.dev; None: all.
            grants: the file of grants, which must outlive a boot; None: `grants.json` beside the ledger.
        """
        self._pool_file = pool_file
        self._ledger = ledger
        self._grants = grants or GrantFile(ledger.path.with_name("grants.json"))
        self._kubelet = KubeletFolder(kubelet_dir)
        files = (pool_file, ledger.path, self._grants.path)
        shared = (self._grants.device_info, self._grants.cdi)
        self._folders = MountedFolders(
            kubelet_dir,
            sysfs.dev / "vfio",
            *(path.parent for path in files),
            *(path for path in shared if path is not None),
            proc=sysfs.proc,
        )
        self._sysfs = sysfs
        self._watching = Watching(sysfs)
        self._events = FileEvents(pool_file, kubelet_dir / "kubelet.sock")
        self._unlooked = 0
        """Number of checks since the last look at every function."""
        self._drifted = False
        """Whether that look found a function that is not as promised."""
        self._withheld = Withheld()
        self._granting = Granter(sysfs, ledger, self._grants, kubelet_dir / CHECKPOINT, self._offer_now)
        self._boot_id = sysfs.boot_id()
        self._domains = domains
        self._refused: tuple[RefusedPool, ...] = ()
        self._servers: dict[str, PoolServer] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._published = PoolSet(boot_id=self._boot_id, pools=())
        self._seen: tuple[int, ...] | None = None
        self._known: tuple[tuple[int, ...] | None, Mapping[str, PoolOffer]] = (None, {})
        """The pool file that was read last, and what it offers; replaced as a whole, because threads look at it."""
        self._read = 0.0
        """When the pool file was last read, by the monotonic clock."""
        self._complaint = ""
        self._telling = Telling(ledger.path.with_name("registrations.json"), self._boot_id)
        self._presence = Presence(self._grants.path.parent)
        self.last = True
        """After the end: whether no other process of the plugin runs on this node, which would need the files."""
        self._began = time.monotonic()
        self._was_read = False
        """Whether a pool file has been read."""
        self._registered = False
        """Whether each resource of it has been registered once."""
        self._stale = ""
        """Why a folder is not the node's any more; empty: all are."""
        self.turned = time.monotonic()
        """When the loop made its last turn, by the monotonic clock; the liveness probe compares it."""
        self._former = 0
        """Registrations of resources that are not served any more."""

    @property
    def servers(self) -> dict[str, PoolServer]:
        """The servers by resource name."""
        return self._servers

    @property
    def complaint(self) -> str:
        """The problem with a folder, the pool file or a pool; empty: there is none."""
        return self._stale or self._complaint or (self._refused[0].message if self._refused else "")

    @property
    def told(self) -> str:
        """One line for people: the complaint, and for each resource since when it is registered, or why it is not."""
        said = summary([server.standing for server in self._servers.values()], since_boot())
        if not self.complaint:
            return said
        details = said.removeprefix("ok").removeprefix("; ")
        return f"{self.complaint}; {details}" if details else self.complaint

    @property
    def alive(self) -> bool:
        """Whether the liveness probe succeeds: the folders are the node's, and a kubelet was there lately."""
        return not self._stale and self._kubelet.silent_for < AWAY

    @property
    def registrations(self) -> int:
        """How often the kubelet has asked for a list of devices."""
        return self._former + sum(server.registrations for server in self._servers.values())

    @property
    def ready(self) -> bool:
        """Whether the kubelet has this process's lists: then one that it replaces may end."""
        registered = {name for name, server in self._servers.items() if server.registrations}
        self._registered |= self._was_read and {pool.resource_name for pool in self._published.pools} <= registered
        return self._registered or time.monotonic() - self._began >= PATIENCE

    @property
    def refused(self) -> tuple[RefusedPool, ...]:
        """Pools of the pool file that are not served."""
        return self._refused

    async def run(self) -> None:
        """Serve until cancelled; then stop every server and remove its socket.

        Raises:
            StaleFolderError: a folder was replaced on the node; only a new container can see the new one.
        """
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS, "virtfn"))
        await asyncio.to_thread(self._presence.begin)
        self._ledger.load(self._boot_id)
        self._grants.load()
        checked = 0.0
        try:
            with self._events.open():
                while True:
                    self.turned = time.monotonic()
                    before = self._seen, self._kubelet.current
                    fresh = self._look_at_pool_file()
                    self._events.looked((self._seen, self._kubelet.look()) != before)
                    if fresh or self.turned - checked >= CHECK_EVERY:
                        await self._check(fresh)
                        checked = self.turned
                    for task in self._tasks.values():
                        if task.done():  # by an error, which must be raised: otherwise the resource is silently away
                            task.result()
                    await self._events.wait(CHECK_EVERY if self._events.heard_of else LOOK_EVERY)
        except StaleFolderError as error:
            self._stale = str(error)
            raise
        finally:
            self.last = self._presence.end()
            if self.last:
                self._telling.remove()
            await self._stop(*self._tasks)

    async def _check(self, fresh: bool) -> None:
        self._folders.expect_fresh()
        true = await asyncio.to_thread(self._look, fresh)  # it waits for sysfs and the disk, and an Allocate must not
        if true is not None:
            await self._serve(true)
        self._telling.tell([server.outline for server in self._servers.values()], self._refused, self._complaint)

    def _look(self, fresh: bool) -> PoolSet | None:
        """Return the pools as they are now; None: nothing has moved, and no look at every function is due."""
        self._ledger.look_after(self._boot_id)
        self._grants.look_after()
        drivers = {device.driver for pool in self._published.pools for device in pool.devices}
        self._unlooked += 1
        due = DRIFTED_LOOK if self._drifted else WHOLE_LOOK
        if not self._watching.moved(drivers) and not fresh and self._unlooked < due:
            return None
        self._unlooked = 0
        if self._was_read:
            served = {pool.resource_name for pool in self._published.pools}
            self._granting.published(served | {pool.resource_name for pool in self._refused})
        true = self._true_now(self._published)
        self._drifted = true != self._published
        self._withheld.tell(self._published, true)
        return true

    def _look_at_pool_file(self) -> bool:
        """Return whether there is a new list. A bad file leaves the old list in force and is logged once."""
        try:
            found = self._pool_file.lstat()
            identity = (found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)
        except OSError as error:
            # Missing: the agent has not started yet, or is being replaced.
            self._complain(f"no pool file: {self._pool_file}: {error.strerror}" if self._servers else "")
            self._seen = None
            return False
        # An unreadable file is tried again, because the cause may lie outside the file.
        if identity == self._seen and not (self._complaint and self.turned - self._read >= CHECK_EVERY):
            return False
        self._seen, self._read = identity, self.turned
        try:
            pools = poolfile.read(self._pool_file)
        except HostError as error:
            self._complain(f"{error}; the agent writes it anew in its next turn, so look at the agent if this stays")
            return False
        if pools is None:
            return False
        if pools.boot_id != self._boot_id:
            self._complain(f"{self._pool_file} is of another boot ({pools.boot_id}); waiting for the agent")
            return False
        self._complain("")
        self._known = (identity, _offers(pools))
        choice = chosen(pools, self._servers.keys(), self._domains, cdi=self._grants.cdi is not None)
        for refused in choice.refused if choice.refused != self._refused else ():
            log.warning("%s: %s", refused.reason, refused.message)
        self._published, self._refused, self._was_read = choice.pools, choice.refused, True
        return True

    def _offer_now(self, name: str) -> PoolOffer | None:
        """Return what the pool file offers now of a resource; None: nothing. Requests call it from their threads.

        It is read only if it is not the file that was read last. While it is missing or bad, the old list is in force.
        """
        if stamp_of(self._pool_file) != self._known[0]:
            with contextlib.suppress(HostError):
                pools = poolfile.read(self._pool_file)
                if pools is not None and pools.boot_id == self._boot_id:
                    return _offers(pools).get(name)
        return self._known[1].get(name)

    def _complain(self, text: str) -> None:
        if text and text != self._complaint:
            log.warning("%s; serving what it said before", text)
        if self._complaint and not text:
            log.info("the pool file is good again")
        self._complaint = text

    def _true_now(self, published: PoolSet) -> PoolSet:
        """Return the published pools; a device is healthy only if sysfs shows what its pool promises."""
        look = OneLook.of(self._sysfs)
        return replace(published, pools=tuple(_checked(look, pool) for pool in published.pools))

    async def _serve(self, wanted: PoolSet) -> None:
        changes = diff({name: server.pool for name, server in self._servers.items()}, wanted)
        await self._stop(*changes.stop)
        for pool in changes.update:
            await self._servers[pool.resource_name].offer(pool)
            healthy = sum(device.healthy for device in pool.devices)
            log.info("%s: %d of %d devices healthy", pool.resource_name, healthy, len(pool.devices))
        for pool in changes.start:
            server = PoolServer(pool, self._kubelet, self._granting)
            self._servers[pool.resource_name] = server
            self._tasks[pool.resource_name] = asyncio.create_task(server.serve(), name=pool.resource_name)

    async def _stop(self, *names: str) -> None:
        """Stop these servers and wait for them. A cancellation of this task meanwhile is not taken for theirs."""
        tasks = [self._tasks.pop(name) for name in names]
        for name, task in zip(names, tasks, strict=True):
            self._former += self._servers.pop(name).registrations
            task.cancel()
        if tasks:
            await to_its_end(asyncio.wait(tasks))
        for name, task in zip(names, tasks, strict=True):
            if not task.cancelled():
                task.result()
            log.info("%s: not offered any more", name)


def _offers(pools: PoolSet) -> Mapping[str, PoolOffer]:
    # Of two with the same name the first one is served (`names.py`).
    return {pool.resource_name: PoolOffer.of(pool) for pool in reversed(pools.pools)}


def _checked(look: Sysfs, pool: DevicePool) -> DevicePool:
    both = pool.extras.iommufd
    return replace(pool, devices=tuple(_checked_device(look, device, both=both) for device in pool.devices))


def _checked_device(look: Sysfs, device: PoolDevice, *, both: bool) -> PoolDevice:
    if device.reason is not None:  # also where `healthy` is True: another version may have written it
        return replace(device, healthy=False)
    if not device.healthy:
        return device
    try:
        why = not_as_promised(device, shown(look, device.address, both=both))
    except HostError as error:
        why = f"cannot be looked at: {error}"
    return with_reason(device, Reason.DRIFTED, why) if why else device

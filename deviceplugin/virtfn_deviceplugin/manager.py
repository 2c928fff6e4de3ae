"""The pool file in, servers out; the one place that starts and stops them.

Files are watched by looking at them four times a second: it costs microseconds, and works on every kind of mount, which
inotify does not. What sysfs shows is looked at every two seconds: a function that left its driver turns unhealthy
without the agent, and healthy again when it is back.
"""

import asyncio
import logging
import time
from dataclasses import replace
from pathlib import Path

from virtfn_deviceplugin.allocate import Grant, allocate
from virtfn_deviceplugin.diff import diff
from virtfn_deviceplugin.functions import as_promised, shown
from virtfn_deviceplugin.ledger import LedgerFile
from virtfn_deviceplugin.names import RefusedPool, chosen
from virtfn_deviceplugin.server import PoolServer, to_its_end
from virtfn_host.core.values.offered import DevicePool, PoolDevice, PoolSet
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.resource_names import Domains
from virtfn_host.linux import poolfile
from virtfn_host.linux.errors import HostError
from virtfn_host.linux.read.sysfs import Sysfs

log = logging.getLogger("virtfn.deviceplugin")

LOOK_EVERY = 0.25
CHECK_EVERY = 2.0


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
    ) -> None:
        """Wire it up.

        Args:
            domains: what resource names may lie in beside virtfn.dev; None: anything.
        """
        self._pool_file = pool_file
        self._ledger = ledger
        self._kubelet_dir = kubelet_dir
        self._sysfs = sysfs
        self._boot_id = sysfs.boot_id()
        self._domains = domains
        self._refused: tuple[RefusedPool, ...] = ()
        self._servers: dict[str, PoolServer] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._published = PoolSet(boot_id=self._boot_id, pools=())
        self._seen: tuple[int, ...] | None = None
        self._read = 0.0
        """When the pool file was read last."""
        self._kubelet = self._kubelet_socket()
        self._complaint = ""
        self.turned = time.monotonic()
        """When the loop made its last turn: liveness."""

    @property
    def servers(self) -> dict[str, PoolServer]:
        """The servers by resource name."""
        return self._servers

    @property
    def complaint(self) -> str:
        """What is wrong with the pool file, or nothing."""
        return self._complaint or (self._refused[0].message if self._refused else "")

    @property
    def refused(self) -> tuple[RefusedPool, ...]:
        """Pools of the pool file that are not served."""
        return self._refused

    async def run(self) -> None:
        """Serve until cancelled; then stop every server and remove its socket."""
        self._ledger.load(self._boot_id)
        checked = 0.0
        try:
            while True:
                self.turned = time.monotonic()
                fresh = self._look_at_pool_file()
                if fresh or self.turned - checked >= CHECK_EVERY:
                    await self._serve(self._true_now(self._published))
                    self._ledger.look_after(self._boot_id)
                    checked = self.turned
                self._look_at_kubelet()
                for task in self._tasks.values():
                    if task.done():  # never by itself: a resource that nobody serves must not pass for one that is
                        task.result()
                await asyncio.sleep(LOOK_EVERY)
        finally:
            await self._stop(*self._tasks)

    def _look_at_pool_file(self) -> bool:
        """Whether there is a new list; a file that is no good leaves the old one in force, and is said once."""
        try:
            found = self._pool_file.lstat()
            identity = (found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)
        except OSError as error:
            # Missing: the agent has not started yet, or is being replaced.
            self._complain(f"no pool file: {self._pool_file}: {error.strerror}" if self._servers else "")
            self._seen = None
            return False
        # One that did not read is tried again: what hindered it may not have been the file.
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
        choice = chosen(pools, self._servers.keys(), self._domains)
        for refused in choice.refused if choice.refused != self._refused else ():
            log.warning("%s: %s", refused.reason, refused.message)
        self._published, self._refused = choice.pools, choice.refused
        return True

    def _complain(self, text: str) -> None:
        if text and text != self._complaint:
            log.warning("%s; serving what it said before", text)
        if self._complaint and not text:
            log.info("the pool file is good again")
        self._complaint = text

    def _true_now(self, published: PoolSet) -> PoolSet:
        """The published pools, healthy only where sysfs shows what they promise."""
        pools = [replace(pool, devices=tuple(self._checked(d) for d in pool.devices)) for pool in published.pools]
        return replace(published, pools=tuple(pools))

    def _checked(self, device: PoolDevice) -> PoolDevice:
        if device.reason is not None:  # whatever it is, and whatever else is said: another version may have written it
            return replace(device, healthy=False)
        if not device.healthy:
            return device
        try:
            there = as_promised(device, shown(self._sysfs, device.address))
        except HostError:
            there = False
        return device if there else replace(device, healthy=False, reason=Reason.DRIFTED)

    async def _serve(self, wanted: PoolSet) -> None:
        changes = diff({name: server.pool for name, server in self._servers.items()}, wanted)
        await self._stop(*changes.stop)
        for pool in changes.update:
            await self._servers[pool.resource_name].offer(pool)
            healthy = sum(device.healthy for device in pool.devices)
            log.info("%s: %d of %d devices healthy", pool.resource_name, healthy, len(pool.devices))
        for pool in changes.start:
            server = PoolServer(pool, self._kubelet_dir, self._allocate)
            self._servers[pool.resource_name] = server
            self._tasks[pool.resource_name] = asyncio.create_task(server.serve(), name=pool.resource_name)

    async def _stop(self, *names: str) -> None:
        """To their ends; that we are told to end meanwhile must not be taken for theirs."""
        tasks = [self._tasks.pop(name) for name in names]
        for name, task in zip(names, tasks, strict=True):
            del self._servers[name]
            task.cancel()
        if tasks:
            await to_its_end(asyncio.wait(tasks))
        for name, task in zip(names, tasks, strict=True):
            if not task.cancelled():
                task.result()
            log.info("%s: not offered any more", name)

    def _allocate(self, pool: DevicePool, ids: list[str]) -> Grant:
        answer = allocate(pool, ids, lambda address: shown(self._sysfs, address))
        self._ledger.note(self._boot_id, pool.resource_name, answer.addresses, self._published.pools)
        log.info("%s: %s handed out", pool.resource_name, ", ".join(str(a) for a in answer.addresses))
        return answer

    def _look_at_kubelet(self) -> None:
        """A kubelet that restarts removes every socket here and makes its own anew."""
        found = self._kubelet_socket()
        if found != self._kubelet:
            self._kubelet = found
            if found is not None:
                for server in self._servers.values():
                    server.register_again()

    def _kubelet_socket(self) -> tuple[int, int] | None:
        try:
            found = (self._kubelet_dir / "kubelet.sock").stat()
        except OSError:
            return None
        return (found.st_ino, found.st_ctime_ns)

"""Who of the controllers leads: one Lease, held by renewing it. The only file that knows the `kubernetes` package.

The rules of client-go: a standby measures by its own clock how long it has seen no renewal; a leader that could not
renew for `RENEW_DEADLINE` ends its process, well before a standby may take over. Campaigning runs in a thread of its
own, so that a busy event loop loses no lease; and another thread keeps the deadline (`guard`), so that no answer,
however slow, holds it off. Durations are of the monotonic clock: a wall clock that jumps changes nothing.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

from kubernetes import client

from virtfn_host.backoff import Backoff, between
from virtfn_operator.apiserver.kube import Kube
from virtfn_operator.apiserver.kube_error import KubeError
from virtfn_operator.settings import ApiServer

LEASE_DURATION = 30.0
RENEW_DEADLINE = 20.0
"""Twice client-go's: on a node short of CPU a whole process stood still for 5 s (measured), and a leader that ends is
away for longer than a standby waits."""
RENEW_PERIOD = 5.0
"""Between two renewals; one that is refused is repeated twice before the deadline."""
RETRY_PERIOD = 3.0
"""Between two attempts of a leader, from begin to begin: one that ran into its time-out is repeated at once."""
STANDBY_PERIOD = 3.0
"""Between two looks at somebody else's lease."""
STANDBY_LIMIT = 15.0
"""The same while the looks fail: the back-off's limit."""
REQUEST_TIMEOUT = 3.0
"""For each request in all, however slowly its answer comes; an attempt is two of them at most."""
MOST_TRANSITIONS = 2**31 - 1
"""The API server refuses a lease that counts further, and nobody would ever lead again."""

logger = logging.getLogger(__name__)


class LeaseConflictError(Exception):
    """Somebody else wrote the lease between our reading and our writing."""


class Leases(Protocol):
    """Where the lease is kept."""

    def read(self) -> dict[str, Any] | None:
        """The Lease object, or None."""

    def write(self, lease: dict[str, Any]) -> dict[str, Any] | None:
        """Create it, or replace the version that was read; raises LeaseConflictError when it moved meanwhile.

        Returns the lease as it is then, where the store tells: then it needs not be read for the next renewal.
        """


class KubernetesLeases:
    """One Lease object of the API server. All calls must come from one thread, which has an event loop in here.

    The package's own transport is not used: its time-outs are per packet, so that a byte a second holds off any
    deadline.
    """

    def __init__(self, server: ApiServer, namespace: str, name: str) -> None:
        self._server = server
        self._folder = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._name = name
        self._runner: asyncio.Runner | None = None
        self._kube: Kube | None = None
        self._models: Any = client.ApiClient()

    def read(self) -> dict[str, Any] | None:
        """The Lease object, or None.

        Raises:
            KubeError: no answer in time, not allowed, or none that an API server gives.
        """
        try:
            return self._run("GET", f"{self._folder}/{self._name}", None)
        except KubeError as error:
            if error.absent:
                return None
            raise

    def write(self, lease: dict[str, Any]) -> dict[str, Any]:
        """Create it, or replace the version that was read; what it is then.

        Raises:
            LeaseConflictError: somebody else wrote it meanwhile.
            KubeError: no answer in time, not allowed, or none that an API server gives.
        """
        version = lease["metadata"].get("resourceVersion")
        spec = lease["spec"]
        model = client.V1Lease(
            api_version="coordination.k8s.io/v1",
            kind="Lease",
            metadata=client.V1ObjectMeta(name=self._name),
            spec=client.V1LeaseSpec(
                holder_identity=spec["holderIdentity"],
                lease_duration_seconds=spec["leaseDurationSeconds"],
                acquire_time=spec.get("acquireTime"),
                renew_time=spec.get("renewTime"),
                lease_transitions=spec.get("leaseTransitions"),
            ),
        )
        body: dict[str, Any] = self._models.sanitize_for_serialization(model)
        body["metadata"] = {**lease["metadata"], "name": self._name}
        try:
            if version is None:
                return self._run("POST", self._folder, body)
            return self._run("PUT", f"{self._folder}/{self._name}", body)
        except KubeError as error:
            if error.exists:
                raise LeaseConflictError(str(error)) from error
            raise

    def close(self) -> None:
        """Close connection and event loop; to be called by the thread that read and wrote."""
        if self._runner is not None:
            if self._kube is not None:
                self._runner.run(self._drop(self._kube))
            self._runner.close()
            self._runner = None

    def _run(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(self._ask(method, path, body))

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        """A session lasts while all goes well: the patience after failures is the campaign's own."""
        self._kube = kube = self._kube or Kube(self._server, connections=1)
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT):
                match method:
                    case "GET":
                        return await kube.read(path)
                    case "POST":
                        return await kube.create(path, body or {})
                    case _:
                        return await kube.replace(path, body or {})
        except TimeoutError:
            await self._drop(kube)
            raise KubeError(0, f"{method} {path}: no answer within {REQUEST_TIMEOUT:.0f} s") from None
        except KubeError:
            await self._drop(kube)
            raise

    async def _drop(self, kube: Kube) -> None:
        self._kube = None
        await kube.__aexit__()


class Candidate:
    """One process that wants to lead."""

    def __init__(self, leases: Leases, identity: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._leases = leases
        self._identity = identity
        self._monotonic = monotonic
        self._seen: tuple[object, object] | None = None
        self._seen_at = 0.0
        self._held: dict[str, Any] | None = None
        """Our own lease as last written: renewed without reading it; a conflict tells if it is ours no more."""
        self._leads = threading.Event()
        self._answered = True
        """The last attempt saw whose lease it is, or took it."""
        self.renewed_at = 0.0
        self.overtaken = False
        """The last attempt found that somebody else leads."""

    def campaign(self, stopped: threading.Event, elected: Callable[[], None], lost: Callable[[], None]) -> None:
        """Wait for the lease, call `elected`, renew until `stopped`, then release; call `lost` when renewing fails."""
        backoff = Backoff(first=STANDBY_PERIOD, limit=STANDBY_LIMIT)
        while not self.attempt():
            if self._answered:
                backoff.succeeded()
            pause = STANDBY_PERIOD * between(0.8, 1.2) if self._answered else backoff.failed()
            if stopped.wait(pause):
                return
        self._leads.set()
        elected()
        pause = RENEW_PERIOD
        while not stopped.wait(pause):
            if self._late():
                lost()
                return
            began = self._monotonic()
            renewed = self.attempt()
            pause = RENEW_PERIOD if renewed else max(0.0, RETRY_PERIOD - (self._monotonic() - began))
            if not renewed and (self.overtaken or self._late()):
                lost()
                return
        self._leads.clear()
        self.release()

    def guard(self, stopped: threading.Event, lost: Callable[[], None]) -> None:
        """Call `lost` when a leader has not renewed for `RENEW_DEADLINE`, whatever the campaign is waiting for.

        For a thread of its own. Ends when a leader is stopped.
        """
        self._leads.wait()
        while self._leads.is_set():
            left = self.renewed_at + RENEW_DEADLINE - self._monotonic()
            if left <= 0.0:
                lost()
                return
            if stopped.wait(left):
                return

    def attempt(self) -> bool:
        """Take or renew the lease; False when somebody else has it or the API server does not answer."""
        began, self.overtaken, self._answered = self._monotonic(), False, True
        held, self._held = self._held, None
        try:
            lease = held or self._leases.read()
            if lease is not None and not self._free(lease):
                self.overtaken = True
                return False
            self._held = self._leases.write(self._taken(lease))
        except LeaseConflictError:
            self._answered = False  # one is a race, many in a row are a server that refuses: both may wait
            return False
        except Exception as error:  # whatever it is, it means "not now"
            self._answered = False
            logger.warning("lease: %s", str(error).splitlines()[0] if str(error) else repr(error))
            return False
        self.renewed_at = began
        return True

    def _late(self) -> bool:
        return self._monotonic() - self.renewed_at >= RENEW_DEADLINE

    def release(self) -> None:
        """Let a standby take over at once."""
        try:
            lease = self._leases.read()
            if lease and lease["spec"].get("holderIdentity") == self._identity:
                lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
                self._leases.write(lease)
        except Exception as error:  # it runs out by itself
            logger.warning("lease is not released: %s", error)

    def _free(self, lease: dict[str, Any]) -> bool:
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity")
        if holder in (self._identity, "", None):
            return True
        seen = (holder, spec.get("renewTime"))
        if seen != self._seen:
            self._seen, self._seen_at = seen, self._monotonic()
        return self._monotonic() - self._seen_at >= _seconds(spec.get("leaseDurationSeconds"))

    def _taken(self, lease: dict[str, Any] | None) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        old = (lease or {}).get("spec") or {}
        ours = old.get("holderIdentity") == self._identity
        transitions = _whole(old.get("leaseTransitions"))
        return {
            "metadata": dict((lease or {}).get("metadata") or {}),
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": int(LEASE_DURATION),
                "acquireTime": old.get("acquireTime", now) if ours else now,
                "renewTime": now,
                "leaseTransitions": transitions if ours or lease is None else min(transitions + 1, MOST_TRANSITIONS),
            },
        }


def _seconds(duration: object) -> float:
    """How long somebody's lease lasts; ours where what stands there is no duration, and an hour at most."""
    good = isinstance(duration, int | float) and not isinstance(duration, bool) and duration > 0
    return min(float(duration), 3600.0) if good and isinstance(duration, int | float) else LEASE_DURATION


def _whole(number: object) -> int:
    good = isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= MOST_TRANSITIONS
    return number if good and isinstance(number, int) else 0

"""Leader election among controllers: one Lease, held by renewing it. The only file that uses the `kubernetes` package.

The rules are client-go's: a standby measures with its own clock how long it has seen no renewal; a leader that could
not renew for `RENEW_DEADLINE` ends its process, well before a standby may take over. The campaign runs in its own
thread, so that a busy event loop does not lose the lease. Another thread watches the deadline (`guard`), so that no
slow answer delays it. Durations are measured with the monotonic clock: a wall clock that jumps changes nothing.
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
from virtfn_operator.api.lease import LEASE_DURATION as LEASE_DURATION
from virtfn_operator.api.lease import RENEW_DEADLINE as RENEW_DEADLINE
from virtfn_operator.apiserver.kube import Kube
from virtfn_operator.apiserver.kube_error import KubeError
from virtfn_operator.settings import ApiServer

RENEW_PERIOD = 3.0
"""Seconds between two renewals; a refused one is repeated twice before the deadline."""
RETRY_PERIOD = 2.0
"""Seconds between the starts of two attempts of a leader: an attempt that timed out is repeated at once."""
STANDBY_PERIOD = 2.5
"""Seconds between two looks of a standby at the lease, at most; the last one is when the lease runs out."""
SPREAD = 0.2
"""Part by which that varies, so that standbys do not look at the same time."""
TAKEOVER = STANDBY_PERIOD * (1 + SPREAD) + LEASE_DURATION
"""Seconds from the last renewal of a leader that was killed until a standby asks for the lease, at most; to that comes
the time of three requests. The standby may have looked just before that renewal."""
STANDBY_LIMIT = 15.0
"""The same while the looks fail: the back-off's limit."""
REQUEST_TIMEOUT = 3.0
"""Seconds for one request in all, however slowly its answer comes; an attempt is two requests at most."""
MOST_TRANSITIONS = 2**31 - 1
"""The highest count: the API server refuses a lease with a higher one, and no controller would ever lead again."""

logger = logging.getLogger(__name__)


class LeaseConflictError(Exception):
    """Another process wrote the lease between our read and our write."""


class Leases(Protocol):
    """The store of the lease."""

    def read(self) -> dict[str, Any] | None:
        """Return the Lease object, or None."""

    def write(self, lease: dict[str, Any]) -> dict[str, Any] | None:
        """Create the lease, or replace the version that was read; raise LeaseConflictError when it changed meanwhile.

        Returns the new lease where the store has it; then the next renewal need not read it.
        """


class KubernetesLeases:
    """One Lease object of the API server. Call it from one thread only; its event loop is in here.

    The package's own transport is not used: its time-outs are per packet, so an answer of one byte a second would delay
    any deadline.
    """

    def __init__(self, server: ApiServer, namespace: str, name: str) -> None:
        self._server = server
        self._folder = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._name = name
        self._runner: asyncio.Runner | None = None
        self._kube: Kube | None = None
        self._models: Any = client.ApiClient()

    def read(self) -> dict[str, Any] | None:
        """Return the Lease object, or None.

        Raises:
            KubeError: no answer in time, not allowed, or a malformed answer.
        """
        try:
            return self._run("GET", f"{self._folder}/{self._name}", None)
        except KubeError as error:
            if error.absent:
                return None
            raise

    def write(self, lease: dict[str, Any]) -> dict[str, Any]:
        """Create the lease, or replace the version that was read; return the new one.

        Raises:
            LeaseConflictError: another process wrote it meanwhile.
            KubeError: no answer in time, not allowed, or a malformed answer.
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
        """Close connection and event loop; call it from the thread that read and wrote."""
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
        """Send one request. A failure ends the session, so that its gate holds nothing back: the campaign has its own
        pauses."""
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
    """A process that wants to lead."""

    def __init__(self, leases: Leases, identity: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._leases = leases
        self._identity = identity
        self._monotonic = monotonic
        self._seen: tuple[object, object] | None = None
        self._seen_at = 0.0
        self._version = 0
        """The highest version of the lease that was read or written."""
        self._runs_out = 0.0
        """When the lease that was last looked at runs out, if it is not renewed."""
        self._doubted_until = 0.0
        """Until when nobody but a leader takes the lease, because the store was restored from an older copy."""
        self._held: dict[str, Any] | None = None
        """Our own lease as last written, renewed without reading; a conflict tells when another process took it."""
        self._leads = threading.Event()
        self._answered = True
        """Whether the last attempt saw who holds the lease, or took it."""
        self.renewed_at = 0.0
        self.overtaken = False
        """Whether the last attempt found another leader."""

    def campaign(self, stopped: threading.Event, elected: Callable[[], None], lost: Callable[[], None]) -> None:
        """Wait for the lease, call `elected`, renew until `stopped`, then release; call `lost` when renewing fails."""
        backoff = Backoff(first=STANDBY_PERIOD, limit=STANDBY_LIMIT)
        while not self.attempt():
            if self._answered:
                backoff.succeeded()
            if stopped.wait(self._until_next_look() if self._answered else backoff.failed()):
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

        Runs in its own thread. Returns when the leader is stopped.
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
        """Take or renew the lease; return False when another process holds it or the API server does not answer."""
        began, self.overtaken, self._answered = self._monotonic(), False, True
        held, self._held = self._held, None
        try:
            lease = held or self._leases.read()
            free = lease is None or self._free(lease)
            if self._is_doubtful(lease) or not free:
                self.overtaken = True
                return False
            self._held = self._leases.write(self._taken(lease))
        except LeaseConflictError:
            self._answered = False  # one conflict is a race, many in a row are refusals: waiting is right for both
            return False
        except Exception as error:  # any error means "not now"
            self._answered = False
            logger.warning("lease: %s", str(error).splitlines()[0] if str(error) else repr(error))
            return False
        self.renewed_at = began
        self._note_version(self._held)
        return True

    def _until_next_look(self) -> float:
        """Seconds: a look in time for the moment when the lease runs out costs less than frequent ones."""
        pause = STANDBY_PERIOD * between(1 - SPREAD, 1 + SPREAD)
        left = self._runs_out - self._monotonic()
        return min(pause, left) if left > 0.0 else pause

    def _is_doubtful(self, lease: dict[str, Any] | None) -> bool:
        """Whether the store went back and another process may lead although the lease does not say so.

        Then that process hears of it with its next renewal, or ends because it cannot renew. A leader does not doubt:
        the others wait for it.
        """
        if self._leads.is_set():
            return False
        now = self._monotonic()
        if self._note_version(lease):
            logger.warning("the lease is older than before: the store was restored; waiting for who may lead yet")
            self._doubted_until = now + LEASE_DURATION
        self._runs_out = max(self._runs_out, self._doubted_until)
        return now < self._doubted_until

    def _note_version(self, lease: dict[str, Any] | None) -> bool:
        """Note the version of the lease; return whether it is lower than before, or the lease is gone."""
        text = str(((lease or {}).get("metadata") or {}).get("resourceVersion") or "")
        version = int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else 0
        if lease is not None and version == 0:
            return False  # cannot be compared
        before, self._version = self._version, version
        return version < before

    def holds(self) -> bool:
        """Whether this process surely leads now; callable from any thread."""
        return self._leads.is_set() and not self._late()

    def _late(self) -> bool:
        return self._monotonic() - self.renewed_at >= RENEW_DEADLINE

    def release(self) -> None:
        """Release the lease, so that a standby takes over at once."""
        try:
            lease = self._leases.read()
            if lease and lease["spec"].get("holderIdentity") == self._identity:
                lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
                self._leases.write(lease)
        except Exception as error:  # the lease expires by itself
            logger.warning("cannot release the lease, it expires by itself: %s", error)

    def _free(self, lease: dict[str, Any]) -> bool:
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity")
        if holder in (self._identity, "", None):
            return True
        seen = (holder, spec.get("renewTime"))
        if seen != self._seen:
            self._seen, self._seen_at = seen, self._monotonic()
        self._runs_out = self._seen_at + _seconds(spec.get("leaseDurationSeconds"))
        return self._monotonic() >= self._runs_out

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
    """How long a lease lasts: an hour at most, and `LEASE_DURATION` where the value is invalid."""
    good = isinstance(duration, int | float) and not isinstance(duration, bool) and duration > 0
    return min(float(duration), 3600.0) if good and isinstance(duration, int | float) else LEASE_DURATION


def _whole(number: object) -> int:
    good = isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= MOST_TRANSITIONS
    return number if good and isinstance(number, int) else 0

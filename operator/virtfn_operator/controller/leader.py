"""Who of the controllers leads: one Lease, held by renewing it. The only file that knows the `kubernetes` package.

The rules of client-go: a standby measures by its own clock how long it has seen no renewal; a leader that could not
renew for `RENEW_DEADLINE` ends its process, well before a standby may take over. Runs in a thread of its own, so that a
busy event loop loses no lease.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Protocol, cast

from kubernetes import client

from virtfn_operator.kube import ssl_context
from virtfn_operator.settings import ApiServer

LEASE_DURATION = 15.0
RENEW_DEADLINE = 10.0
RETRY_PERIOD = 2.0
REQUEST_TIMEOUT = 2.0
"""In all, without retries: an attempt is a read and a write, and must end before a standby may take over."""

logger = logging.getLogger(__name__)


class LeaseConflictError(Exception):
    """Somebody else wrote the lease between our reading and our writing."""


class Leases(Protocol):
    """Where the lease is kept."""

    def read(self) -> dict[str, Any] | None:
        """The Lease object, or None."""

    def write(self, lease: dict[str, Any]) -> None:
        """Create it, or replace the version that was read; raises LeaseConflictError when it moved meanwhile."""


class KubernetesLeases:
    """One Lease object, through the generic API: plain JSON, the same in every version of the client."""

    def __init__(self, server: ApiServer, namespace: str, name: str) -> None:
        self._server = server
        self._where = ("coordination.k8s.io", "v1", namespace, "leases")
        self._name = name
        configuration = client.Configuration(host=server.url)
        configuration.ssl_ca_cert = str(server.ca) if server.ca else None
        configuration.retries = 0
        self._client = client.ApiClient(configuration)
        if server.url.startswith("https"):
            self._client.rest_client.pool_manager.connection_pool_kw["ssl_context"] = ssl_context(server.ca)
        self._api = client.CustomObjectsApi(self._client)

    def read(self) -> dict[str, Any] | None:
        """The Lease object, or None."""
        self._show_token()
        try:
            found = self._api.get_namespaced_custom_object(*self._where, self._name, _request_timeout=REQUEST_TIMEOUT)
        except client.ApiException as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise
        return cast("dict[str, Any]", found)

    def write(self, lease: dict[str, Any]) -> None:
        """Create it, or replace the version that was read."""
        self._show_token()
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", **lease}
        try:
            if "resourceVersion" in lease["metadata"]:
                self._api.replace_namespaced_custom_object(
                    *self._where, self._name, body, _request_timeout=REQUEST_TIMEOUT
                )
            else:
                body["metadata"] = {"name": self._name}
                self._api.create_namespaced_custom_object(*self._where, body, _request_timeout=REQUEST_TIMEOUT)
        except client.ApiException as error:
            if error.status == HTTPStatus.CONFLICT:
                raise LeaseConflictError from error
            raise

    def _show_token(self) -> None:
        if self._server.token is not None:
            self._client.default_headers["Authorization"] = f"Bearer {self._server.token.read_text().strip()}"


class Candidate:
    """One process that wants to lead."""

    def __init__(self, leases: Leases, identity: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._leases = leases
        self._identity = identity
        self._monotonic = monotonic
        self._seen: tuple[object, object] | None = None
        self._seen_at = 0.0
        self.renewed_at = 0.0
        self.overtaken = False
        """The last attempt found that somebody else leads."""

    def campaign(self, stopped: threading.Event, elected: Callable[[], None], lost: Callable[[], None]) -> None:
        """Wait for the lease, call `elected`, renew until `stopped`, then release; call `lost` when renewing fails."""
        while not self.attempt():
            if stopped.wait(RETRY_PERIOD):
                return
        elected()
        while not stopped.wait(RETRY_PERIOD):
            if self._late() or (not self.attempt() and (self.overtaken or self._late())):
                lost()
                return
        self.release()

    def attempt(self) -> bool:
        """Take or renew the lease; False when somebody else has it or the API server does not answer."""
        began, self.overtaken = self._monotonic(), False
        try:
            lease = self._leases.read()
            if lease is not None and not self._free(lease):
                self.overtaken = True
                return False
            self._leases.write(self._taken(lease))
        except LeaseConflictError:
            return False
        except Exception as error:  # the client raises urllib3's errors too; all mean "not now"
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
        return self._monotonic() - self._seen_at >= float(spec.get("leaseDurationSeconds") or LEASE_DURATION)

    def _taken(self, lease: dict[str, Any] | None) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        old = (lease or {}).get("spec") or {}
        ours = old.get("holderIdentity") == self._identity
        transitions = int(old.get("leaseTransitions") or 0)
        return {
            "metadata": dict((lease or {}).get("metadata") or {}),
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": int(LEASE_DURATION),
                "acquireTime": old.get("acquireTime", now) if ours else now,
                "renewTime": now,
                "leaseTransitions": transitions if ours or lease is None else transitions + 1,
            },
        }

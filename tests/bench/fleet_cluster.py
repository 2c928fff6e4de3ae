"""A real API server with etcd for `make bench-fleet`: processes of this machine on free ports, and no node."""

import asyncio
import json
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from virtfn_lab.go_tools import tools
from virtfn_lab.paths import repository
from virtfn_lab.pki import make

OURS = "/apis/virtfn.dev/v1alpha1"
AUDITED = "controller"
"""The account of the controller, whose requests are counted."""

STARTS = 120.0
"""Seconds for the API server to become ready."""

MERGE = "application/merge-patch+json"


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A running API server."""

    folder: Path
    port: int

    @property
    def url(self) -> str:
        """The address of the API server."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def audit(self) -> Path:
        """The log of the controller's requests."""
        return self.folder / "audit.log"

    def account(self, name: str) -> Path:
        """Return a folder with token and CA, as a pod has it."""
        return self.folder / f"account-{name}"

    def client(self, *, connections: int = 32) -> aiohttp.ClientSession:
        """Return a bare client with all rights."""
        context = ssl.create_default_context(cafile=str(self.folder / "pki/ca.crt"))
        return aiohttp.ClientSession(
            base_url=self.url,
            headers={"Authorization": f"Bearer {self.account('bench').joinpath('token').read_text()}"},
            connector=aiohttp.TCPConnector(limit=connections, ssl=context),
            timeout=aiohttp.ClientTimeout(total=60),
        )

    def requests(self, since: int = 0) -> list[tuple[str, str]]:
        """Return verb and URI of the controller's requests after that many bytes of the log."""
        found = {}
        with self.audit.open("rb") as log:
            log.seek(since)
            for line in log:
                with suppress(ValueError):  # the last line may be half written
                    entry = json.loads(line)
                    found[entry["auditID"]] = (entry["verb"], entry["requestURI"])
        return list(found.values())

    def logged(self) -> int:
        """Return the size of the log."""
        return self.audit.stat().st_size if self.audit.exists() else 0


@asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[Cluster]:
    """Start etcd and API server, and serve the CRDs."""
    make(folder / "pki", 0)
    ports = _free_ports(3)
    found = Cluster(folder=folder, port=ports[2])
    _accounts(found, ("bench", AUDITED))
    processes = [await _start(folder, name, words) for name, words in _programs(found, ports).items()]
    try:
        async with found.client() as client:
            await _until_ready(client)
            await _crds(client)
        yield found
    finally:
        for process in reversed(processes):
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def side_by_side(number: int, work: Iterable[Any]) -> None:
    """Await many coroutines, so many at once."""
    waiting = iter(work)

    async def worker() -> None:
        for one in waiting:
            await one

    await asyncio.gather(*(worker() for _ in range(number)))


async def send(
    client: aiohttp.ClientSession, method: str, path: str, body: Any, kind: str = "application/json"
) -> bytes:
    """Send one request; return the answer as it is.

    Raises:
        RuntimeError: it was refused.
    """
    data = json.dumps(body).encode()
    async with client.request(method, path, data=data, headers={"Content-Type": kind}) as response:
        answer = await response.read()
        if response.status >= 400:
            raise RuntimeError(f"{method} {path}: {response.status} {answer[:300]!r}")
        return answer


def _programs(found: Cluster, ports: list[int]) -> dict[str, list[str]]:
    folder, pki, binaries = found.folder, found.folder / "pki", tools()
    policy = {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata", "users": [AUDITED]}, {"level": "None"}],
    }
    (folder / "audit-policy.json").write_text(json.dumps(policy))
    return {
        "etcd": [
            f"{binaries}/etcd",
            f"--data-dir={folder}/etcd",
            f"--listen-client-urls=http://127.0.0.1:{ports[0]}",
            f"--advertise-client-urls=http://127.0.0.1:{ports[0]}",
            f"--listen-peer-urls=http://127.0.0.1:{ports[1]}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{ports[1]}",
            f"--initial-cluster=default=http://127.0.0.1:{ports[1]}",
            "--unsafe-no-fsync",
        ],
        "kube-apiserver": [
            f"{binaries}/kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{ports[0]}",
            f"--secure-port={found.port}",
            "--bind-address=127.0.0.1",
            f"--cert-dir={folder}/certificates",
            f"--tls-cert-file={pki}/apiserver.crt",
            f"--tls-private-key-file={pki}/apiserver.key",
            f"--client-ca-file={pki}/ca.crt",
            f"--service-account-key-file={pki}/sa.pub",
            f"--service-account-signing-key-file={pki}/sa.key",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.96.0.0/24",
            f"--token-auth-file={folder}/tokens.csv",
            "--authorization-mode=RBAC",
            f"--audit-policy-file={folder}/audit-policy.json",
            f"--audit-log-path={found.audit}",
            "--audit-log-mode=blocking",
            "--audit-log-maxsize=4000",
        ],
    }


def _accounts(found: Cluster, names: Iterable[str]) -> None:
    lines = []
    for name in names:
        account = found.account(name)
        account.mkdir()
        (account / "token").write_text(f"token-of-{name}")
        (account / "ca.crt").write_text((found.folder / "pki/ca.crt").read_text())
        lines.append(f'token-of-{name},{name},{name},"system:masters"')
    (found.folder / "tokens.csv").write_text("\n".join(lines) + "\n")


async def _start(folder: Path, name: str, words: list[str]) -> asyncio.subprocess.Process:
    with (folder / f"{name}.log").open("wb") as log:
        return await asyncio.create_subprocess_exec(*words, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log)


async def _until_ready(client: aiohttp.ClientSession) -> None:
    until = time.monotonic() + STARTS
    while time.monotonic() < until:
        with suppress(aiohttp.ClientError):
            async with client.get("/readyz") as response:
                if response.status == 200:
                    return
        await asyncio.sleep(0.5)
    raise RuntimeError("the API server did not become ready; see its log")


async def _crds(client: aiohttp.ClientSession) -> None:
    for path in sorted((repository() / "crds").glob("*.yaml")):
        crd = yaml.safe_load(path.read_text())
        await send(client, "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd)
        plural = crd["spec"]["names"]["plural"]
        for _ in range(240):
            async with client.get(f"{OURS}/{plural}") as response:
                if response.status == 200:
                    break
            await asyncio.sleep(0.25)


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def environment(found: Cluster) -> dict[str, str]:
    """Return the environment of the controller's pod."""
    roots = (str(repository() / root) for root in ("host", "operator"))
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(roots),
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "KUBERNETES_SERVICE_PORT": str(found.port),
        "VIRTFN_SERVICE_ACCOUNT": str(found.account(AUDITED)),
        "VIRTFN_HEALTH_PORT": str(_free_ports(1)[0]),
        "VIRTFN_MEMORY": str(512 << 20),
        "POD_NAME": "controller-1",
        "POD_NAMESPACE": "default",
    }

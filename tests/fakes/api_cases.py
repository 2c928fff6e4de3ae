"""Run agent and controller against an API server that misbehaves; measure what that costs and how soon they recover.

A case is a trouble that begins and ends. Requests and log lines are counted while it lasts; the worst minute counts. A
process has recovered when it does its work again: the agent adopts a new spec, the controller hands on a new policy.
"""

import asyncio
import contextlib
import os
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from api_faults import named
from api_result import ENDED, RECOVERED
from api_result import Result as Result
from api_server import OURS, ApiServer

ROOT = Path(__file__).resolve().parents[2]
OWN = f"{OURS}/sriovnodes/n1"
POLICY = {"devices": [{"vendor": "8086"}], "virtualFunctions": {"count": 1, "pools": [{"resourceName": "fast"}]}}
PROCESSES = ("agent", "controller")

STARTED = 180.0
"""Seconds for a process to start up before its trouble begins; the machine may have other work."""

PAUSES = (0.0, *(min(10.0 * 2**n, 300.0) for n in range(100)))
"""Seconds until a kubelet restarts a container that ended: after its first end, its second, and so on."""

AGAIN = 3.0
"""Seconds of the same trouble before SIGTERM, so that requests are under way."""

CLOCK = """
import datetime, pathlib, time
_real, _plain, _file = time.time, datetime.datetime, pathlib.Path({path!r})
def _now():
    try: return _real() + float(_file.read_text() or 0)
    except (OSError, ValueError): return _real()
class _Set(_plain):
    @classmethod
    def now(cls, tz=None): return _plain.fromtimestamp(_now(), tz)
time.time, datetime.datetime = _now, _Set
"""
"""A time of day that the test sets by writing seconds into a file; the monotonic clock is left alone."""


@dataclass(kw_only=True)
class Stage:
    """One process, its API server and its files."""

    api: ApiServer
    process: str
    folder: Path
    url: str
    health_port: int
    starts: int = 0
    keeping: asyncio.Task[None] | None = None
    environ: dict[str, str] = field(default_factory=dict)
    running: asyncio.subprocess.Process | None = None

    @property
    def log(self) -> Path:
        """Path of the process's log."""
        return self.folder / "log"

    async def keep_running(self) -> None:
        """Start the process, and restart it like a kubelet: at once, then after 10 s, 20 s, 40 s ... 5 min."""
        for pause in PAUSES:
            with self.log.open("ab") as log:
                self.running = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "virtfn_operator",
                    self.process,
                    env={**os.environ, **self.environ},
                    cwd="/",
                    stderr=log,
                )
            self.starts += 1
            await self.running.wait()
            await asyncio.sleep(pause)  # as long as a kubelet's

    async def health(self) -> int:
        """Return the status of /healthz, asked once, without the retries of an HTTP library."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.health_port)
        writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
        line = await reader.readline()
        writer.close()
        return int(line.split()[1])

    async def end(self) -> float:
        """End the process like a kubelet and do not restart it; return the seconds that took."""
        if self.keeping is not None:
            self.keeping.cancel()
        began = time.monotonic()
        if self.running is not None and self.running.returncode is None:
            self.running.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.running.wait(), 2 * ENDED)
        return time.monotonic() - began

    async def ask_anew(self) -> Callable[[], bool]:
        """Give the process something new to do; return a function that says whether it is done."""
        if self.process == "agent":
            spec = {"policies": [], "mayChange": not self.api.objects[OWN].get("spec", {}).get("mayChange", True)}
            asked = (await self.api.put(OWN, {**self.api.objects[OWN], "spec": spec}))["metadata"]["generation"]
            return lambda: _observed(self.api.objects.get(OWN, {})) >= asked
        name = f"p{self.api.version}"
        await self.api.put(f"{OURS}/sriovpolicies/{name}", {"metadata": {"name": name}, "spec": POLICY})

        def handed_on() -> bool:
            spec = self.api.objects[OWN].get("spec") or {}
            return name in [policy["name"] for policy in spec.get("policies") or ()]

        return handed_on


def _observed(body: Mapping[str, Any]) -> int:
    conditions = (body.get("status") or {}).get("conditions") or []
    return max((condition.get("observedGeneration", 0) for condition in conditions), default=-1)


Trouble = Callable[[Stage, float], Awaitable[None]]
"""A function that makes trouble for that many seconds; after it the API server behaves."""


def by_fault(name: str) -> Trouble:
    """The API server gives wrong answers, as the named fault says."""

    async def trouble(stage: Stage, seconds: float) -> None:
        stage.api.fault = named(stage.api)[name]
        stage.api.break_watches()
        await asyncio.sleep(seconds)
        stage.api.fault = None

    return trouble


async def refused(stage: Stage, seconds: float) -> None:
    """The API server's port is closed."""
    await stage.api.stop()
    await asyncio.sleep(seconds)
    await stage.api.start()


async def clock_jumps(stage: Stage, seconds: float) -> None:
    """The time of day is set an hour ahead, an hour behind and right again; the API server is well."""
    for offset in (3600, -3600, 0):
        (stage.folder / "offset").write_text(str(offset))
        await asyncio.sleep(seconds / 3)


async def rotated_token(stage: Stage, seconds: float) -> None:
    """The API server wants a new token at once; the file follows later and is half written for a moment."""
    token = Path(stage.environ["VIRTFN_SERVICE_ACCOUNT"]) / "token"
    stage.api.token = f"{token.read_text()}1"
    stage.api.break_watches()
    await asyncio.sleep(seconds)
    token.write_text("")
    await asyncio.sleep(2.0)
    token.write_text(stage.api.token)


async def rotated_ca(stage: Stage, seconds: float) -> None:
    """The API server has a certificate of a new CA at once; the file follows later, half written for a moment."""
    ca = Path(stage.environ["VIRTFN_SERVICE_ACCOUNT"]) / "ca.crt"
    await stage.api.stop()
    await stage.api.start(await asyncio.to_thread(certificate, stage.folder, "other"))
    await asyncio.sleep(seconds)
    whole = (stage.folder / "other.crt").read_text()
    ca.write_text(whole[: len(whole) // 2])
    await asyncio.sleep(2.0)
    ca.unlink()
    await asyncio.sleep(2.0)
    ca.write_text(whole)


def certificate(folder: Path, name: str) -> ssl.SSLContext:
    """Make a CA, `NAME.crt`, and return a server's TLS context with a certificate of that CA."""

    def openssl(*words: str) -> None:
        subprocess.run(("openssl", *words), check=True, capture_output=True, cwd=folder)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *key, "-keyout", f"{name}.key", "-out", f"{name}.crt", "-days", "2", "-subj", f"/CN={name}")
    openssl("req", *key, "-keyout", f"{name}-api.key", "-out", f"{name}-api.csr", "-subj", "/CN=api")
    (folder / f"{name}.ext").write_text("subjectAltName=IP:127.0.0.1\n")
    signed = ("-CA", f"{name}.crt", "-CAkey", f"{name}.key", "-CAcreateserial", "-extfile", f"{name}.ext")
    openssl("x509", "-req", "-in", f"{name}-api.csr", *signed, "-out", f"{name}-api.crt", "-days", "2")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / f"{name}-api.crt", folder / f"{name}-api.key")
    return context


def troubles() -> dict[str, Trouble]:
    """Return every trouble by its name."""
    by_name = {name: by_fault(name) for name in named(ApiServer())}
    return by_name | {
        "connections refused": refused,
        "the clock jumps": clock_jumps,
        "a rotated token": rotated_token,
        "a rotated CA": rotated_ca,
    }


SECURE = ("a rotated token", "a rotated CA")


@asynccontextmanager
async def staged(process: str, folder: Path, *, secure: bool) -> AsyncIterator[Stage]:
    """Start one process and wait until it has found its API server and does its work."""
    api = ApiServer()
    account = folder / "account"
    account.mkdir()
    if secure:
        api.token = "t"
        (account / "token").write_text(api.token)
        await api.start(await asyncio.to_thread(certificate, folder, "first"))
        (account / "ca.crt").write_text((folder / "first.crt").read_text())
    else:
        await api.start()
    await api.put("/api/v1/nodes/n1", {"metadata": {"name": "n1"}})
    if process == "controller":
        await api.put(OWN, {"metadata": {"name": "n1"}})
    stage = Stage(api=api, process=process, folder=folder, url="", health_port=_free_port())
    stage.environ = _environ(stage, account, secure=secure)
    stage.keeping = asyncio.create_task(stage.keep_running())
    try:
        await _until(lambda: api.watching == (1 if process == "agent" else 3), STARTED)
        await _until(lambda: process == "controller" or "status" in api.objects.get(OWN, {}), STARTED)
        await _until(await stage.ask_anew(), STARTED)
        yield stage
    finally:
        stage.keeping.cancel()
        if stage.running is not None and stage.running.returncode is None:
            stage.running.kill()
            await stage.running.wait()
        await api.stop()


def _environ(stage: Stage, account: Path, *, secure: bool) -> dict[str, str]:
    (stage.folder / "sitecustomize.py").write_text(CLOCK.format(path=str(stage.folder / "offset")))
    roots = [str(stage.folder), *(str(ROOT / root) for root in ("host", "operator")), os.environ.get("PYTHONPATH", "")]
    files = ("VIRTFN_HOST_SOCKET", "VIRTFN_POOLS", "VIRTFN_LEDGER", "VIRTFN_PODRESOURCES")
    where = (
        {
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(stage.api.port),
            "VIRTFN_SERVICE_ACCOUNT": str(account),
        }
        if secure
        else {"VIRTFN_API_URL": f"http://127.0.0.1:{stage.api.port}"}
    )
    return {
        "PYTHONPATH": os.pathsep.join(roots),
        "VIRTFN_HEALTH_PORT": str(stage.health_port),
        "NODE_NAME": "n1",
        "POD_NAME": "pod-1",
        "POD_NAMESPACE": "virtfn",
        **{name: str(stage.folder / name) for name in files},
        **where,
    }


async def carry_out(case: str, process: str, folder: Path, seconds: float) -> Result:
    """Run one case with a trouble of that many seconds."""
    async with staged(process, folder, secure=case in SECURE) as stage:
        starts, began, said = stage.starts, time.monotonic(), _Lines(stage.log)
        counting = asyncio.create_task(said.count())
        await troubles()[case](stage, seconds)
        ended = time.monotonic()
        health = await _healthy(stage)
        seen = [request.at for request in stage.api.seen if began <= request.at <= ended]
        if stage.running is not None and stage.running.returncode is not None:
            await _until(lambda: stage.running is not None and stage.running.returncode is None, RECOVERED)
        done = await stage.ask_anew()
        await _until(done, 2 * RECOVERED, strict=False)
        recovered = time.monotonic() - ended if done() else None
        whole = [request.at for request in stage.api.seen if began <= request.at]
        counting.cancel()
        lines = [at for at in said.at if began <= at]
        again = asyncio.ensure_future(troubles()[case](stage, 10 * ENDED))
        await asyncio.sleep(AGAIN)
        took = await stage.end()
        again.cancel()
        return Result(
            case=case,
            process=process,
            requests=worst_minute(seen),
            all_requests=worst_minute(whole),
            lines=worst_minute(lines),
            recovered=recovered,
            starts=stage.starts - starts + 1,
            health=health,
            ended=took,
        )


async def _healthy(stage: Stage) -> int:
    """Return the status of /healthz; a process that is just starting gets some time."""
    for _ in range(240):
        try:
            return await stage.health()
        except OSError:
            await asyncio.sleep(0.5)  # a port sends no event
    return 0


class _Lines:
    """The time at which each line of a log was written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = path.read_bytes().count(b"\n")
        self.at: list[float] = []

    async def count(self) -> None:
        while True:
            await asyncio.sleep(0.5)  # polled, because a file sends no event
            now = self._path.read_bytes().count(b"\n")
            self.at += [time.monotonic()] * (now - self._known)
            self._known = now


def worst_minute(moments: list[float]) -> int:
    """Return the largest number of moments within 60 s."""
    return max((sum(0.0 <= other - first < 60.0 for other in moments) for first in moments), default=0)


async def _until(true: Callable[[], bool], seconds: float, *, strict: bool = True) -> None:
    try:
        async with asyncio.timeout(seconds):
            while not true():
                await asyncio.sleep(0.05)
    except TimeoutError:
        if strict:
            raise


def _free_port() -> int:
    import socket

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port

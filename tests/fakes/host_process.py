"""A real `virtfn-host` process on a fake machine: its socket, its files, threads and children."""

import contextlib
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kernel import FakeKernel

ROOT = Path(__file__).parents[2]
"""The project's folder."""

START = 30.0
"""Seconds for the process to start; a loaded machine takes a few."""

ENVIRONMENT = {"PYTHONPATH": str(ROOT / "host"), "PYTHONDONTWRITEBYTECODE": "1", "MODPROBE_OPTIONS": "-C/nowhere"}
"""Environment that the process is started with; the last variable must not reach modprobe."""

LAST = ("observation", "report", "error", "pong")
"""The first words of lines that end an answer."""


class HostProcess:
    """One host process, and its machine below `folder`."""

    def __init__(
        self, folder: Path, kernel: FakeKernel, *, under: Sequence[str] = (), memory: int | None = None
    ) -> None:
        """`under`: a command that starts it, such as strace; `memory`: limit of its address space in bytes."""
        self.kernel = kernel
        self.socket = folder / "run/host.sock"
        self.journal = folder / "state/journal.json"
        self._log = folder / "log"
        program = [
            sys.executable,
            "-m",
            "virtfn_host.process.serve",
            f"--socket={self.socket}",
            f"--journal={self.journal}",
        ]
        parts = [f"--{name}={kernel.root / name}" for name in ("sys", "dev", "proc")]
        limit = None if memory is None else lambda: resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*under, *program, *parts],
                stderr=log,
                cwd=folder,
                env={**ENVIRONMENT, "PATH": os.environ["PATH"]},
                preexec_fn=limit,
            )
        until = time.monotonic() + START
        while not self._listens():
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < until, self.log()
            time.sleep(0.02)
        self.pid = self._process.pid if not under else _child_of(self._process.pid)

    def log(self) -> str:
        """Return its log so far."""
        return self._log.read_text(errors="replace")

    # --- asking ---------------------------------------------------------------------------------------------------

    def _listens(self) -> bool:
        """Whether it takes connections; a socket is there a moment before it does."""
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            self.connect().close()
            return True
        return False

    def connect(self, seconds: float = 20.0) -> socket.socket:
        """Return a connection; the caller closes it."""
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            client.settimeout(seconds)
            client.connect(str(self.socket))
        except OSError:
            client.close()
            raise
        return client

    def ask(self, word: str, body: object = None) -> list[tuple[str, Any]]:
        """Send one request; return every line of the answer."""
        with self.connect() as client:
            client.sendall(json.dumps({word: body}).encode() + b"\n")
            return answers(client)

    def last(self, word: str, body: object = None) -> Any:
        """Send one request; return the last line of the answer."""
        return self.ask(word, body)[-1]

    # --- what it is -----------------------------------------------------------------------------------------------

    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def threads(self) -> int:
        """Return the number of its threads."""
        return len(os.listdir(f"/proc/{self.pid}/task"))

    def files(self) -> int:
        """Return the number of files that it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def children(self) -> list[int]:
        """Return the ids of its child processes that run."""
        return [pid for pid, parent in _parents() if parent == self.pid]

    def kibibytes(self, name: str = "VmRSS") -> int:
        """Return its memory in KiB: now, or (VmHWM) at most."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
        raise AssertionError(f"no {name}")

    def settle(self, threads: int, files: int, children: int, seconds: float = 45.0) -> bool:
        """Wait until it has no more threads, files and children than these; return whether that came in time."""
        until = time.monotonic() + seconds
        while (self.threads(), self.files(), len(self.children())) > (threads, files, children):
            if time.monotonic() > until:
                return False
            time.sleep(0.05)
        return True

    def end(self) -> None:
        """End the process and wait for it."""
        if self.alive():
            os.kill(self.pid, 15)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise


@contextmanager
def host_process(folder: Path, kernel: FakeKernel, **how: Any) -> Iterator[HostProcess]:
    """Start a host process; it is ended with the context."""
    process = HostProcess(folder, kernel, **how)
    try:
        yield process
    finally:
        process.end()


def answers(client: socket.socket) -> list[tuple[str, Any]]:
    """Return lines of a connection up to the one that ends an answer, or to the connection's end."""
    found: list[tuple[str, Any]] = []
    with client.makefile("rb") as lines:
        for line in lines:
            message: Mapping[str, Any] = json.loads(line)
            ((word, body),) = message.items()
            found.append((word, body))
            if word in LAST:
                break
    return found


def strace() -> str | None:
    """Return the path of strace, which shows what a process and its children open and start; None if not installed."""
    return shutil.which("strace")


def _parents() -> Iterator[tuple[int, int]]:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        yield int(stat.parent.name), int(fields[1])


def _child_of(pid: int) -> int:
    (found,) = [child for child, parent in _parents() if parent == pid]
    return found

"""A container registry for what is released: Debian's docker-registry, without TLS, with its files in one folder."""

import json
import socket
import subprocess
import time
from pathlib import Path

PROGRAM = "docker-registry"
PATIENCE = 30
"""Seconds until a registry that was started must accept connections."""
POLL = 0.05


class NoRegistryError(Exception):
    """The registry did not start. The message has the end of its log."""


def command(folder: Path, address: str, passwords: Path | None = None) -> list[str]:
    """Write the registry's configuration into a folder and return the command that serves it.

    Args:
        address: `host:port`.
        passwords: file as of htpasswd, with bcrypt; None lets everybody in.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings: dict[str, object] = {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": address},
    }
    if passwords is not None:
        settings["auth"] = {"htpasswd": {"realm": "lab", "path": str(passwords)}}
    path = folder / "registry.yml"
    path.write_text(json.dumps(settings))  # JSON is YAML, too
    return [PROGRAM, "serve", str(path)]


def wait(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a registry on this machine accepts connections.

    Raises:
        NoRegistryError: it ended, or does not answer in `PATIENCE` seconds.
    """
    host, _, port = address.rpartition(":")
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection((host, int(port)), 1).close()
        except OSError:
            time.sleep(POLL)
        else:
            return
    raise NoRegistryError(f"no registry at {address}:\n{log.read_text(errors='replace')[-2000:]}")

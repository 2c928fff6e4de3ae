"""A real registry on loopback for a test."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from virtfn_lab import registry
from virtfn_lab.prereqs import FOR_REGISTRIES, ensure

PASSWORDS = "someone:$2b$04$Dxxb4PNylkZrURKHnDnSEOihZ9di7DL246Dr2JkL4vGM9Gzp8dA1S\n"
"""The user `someone` with the password `secret`; four rounds of bcrypt, to be quick."""


@contextmanager
def served(folder: Path, passwords: str = "") -> Iterator[str]:
    """Serve an empty registry until the context ends; give its `host:port`.

    Raises:
        MissingProgramsError: its programs are missing, and may not be installed here.
    """
    ensure(tuple(FOR_REGISTRIES))
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{found.getsockname()[1]}"
    folder.mkdir(exist_ok=True)
    (folder / "passwords").write_text(passwords)
    log = folder / "log"
    words = registry.command(folder, address, folder / "passwords" if passwords else None)
    with log.open("wb") as output, subprocess.Popen(words, stdout=output, stderr=output) as process:
        try:
            registry.wait(address, process, log)
            yield address
        finally:
            process.terminate()

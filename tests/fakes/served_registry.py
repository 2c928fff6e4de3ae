"""A real registry on loopback for a test, or a loud skip where there is no program for it."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from virtfn_lab import registry
from virtfn_lab.paths import cache_dir
from virtfn_lab.prereqs import FOR_REGISTRIES, MissingProgramsError, ensure

PASSWORDS = "someone:$2b$04$Dxxb4PNylkZrURKHnDnSEOihZ9di7DL246Dr2JkL4vGM9Gzp8dA1S\n"
"""The user `someone` with the password `secret`; four rounds of bcrypt, to be quick."""


@contextmanager
def served(folder: Path, passwords: str = "") -> Iterator[str]:
    """Serve an empty registry until the context ends; give its `host:port`.

    On a machine of CI the programs are installed; on a person's they are not, because Debian starts its registry.
    """
    if os.environ.get("CI") == "true":
        try:
            ensure(tuple(FOR_REGISTRIES))
        except MissingProgramsError as error:
            pytest.skip(f"NOTHING IS PUSHED HERE: {error}")
    if missing := [name for name in ("skopeo", registry.PROGRAM) if shutil.which(name) is None]:
        pytest.skip(f"NOTHING IS PUSHED HERE: install {' '.join(missing)}")
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


def helm() -> Path:
    """Return the Helm of the environment, or the one that the lab has built already."""
    built = sorted(cache_dir().glob("go-helm-*/helm"), key=lambda path: path.stat().st_mtime)
    found = shutil.which(os.environ.get("HELM") or "helm") or (built[-1] if built else None)
    if found is None:
        pytest.skip(
            "NO CHART IS PUSHED OR RENDERED HERE: there is no Helm yet; any cluster test builds it, or set HELM"
        )
    return Path(found)

"""Write the lock files from pyproject.toml with uv, and check that they can be installed where the images run.

uv resolves for every Python and machine at once; pip-tools would need one file for each of them.
"""

import os
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from itertools import product

from virtfn_lab.images import PROCESSES
from virtfn_lab.paths import repository
from virtfn_lab.progress import step
from virtfn_lab.run import run
from virtfn_release.locks import LOCKS, path

OLDEST_PYTHON = "3.11"
PYTHONS = (OLDEST_PYTHON, "3.12", "3.13")
MACHINES = ("x86_64-manylinux_2_28", "aarch64-manylinux_2_28")
"""Platforms on which the images' lock files must be installable: wheels for the C library of Debian 12 and later."""

_COMPILE = (
    "pip",
    "compile",
    "--quiet",
    "--universal",
    f"--python-version={OLDEST_PYTHON}",
    "--generate-hashes",
    "--only-binary=:all:",
    "--no-annotate",
    "--no-emit-index-url",
    "--custom-compile-command=make lock",
)


def relock(*, upgrade: bool) -> None:
    """Write every lock file; pins that still satisfy pyproject.toml stay, unless `upgrade`.

    Raises:
        CommandFailedError: uv found no solution, or a platform lacks a wheel.
    """
    for lock in LOCKS:
        with step(f"locking {lock}"):
            _lock(lock, ["--upgrade"] if upgrade else [])
    for lock in (*PROCESSES, "build"):
        with step(f"looking for the wheels of {lock}"):
            for machine, python in product(MACHINES, PYTHONS):
                _look(lock, machine, python)


def _lock(lock: str, options: Sequence[str]) -> None:
    project = tomllib.loads((repository() / "pyproject.toml").read_text())
    backend = "\n".join(project["build-system"]["requires"])
    words: Sequence[str] = ()
    if lock in PROCESSES:
        words, stdin = ["--extra", lock, "pyproject.toml"], None
    elif lock == "dev":
        words, stdin = ["--all-extras", "--group", "dev", "pyproject.toml", "-"], backend
    elif lock == "docs":
        words, stdin = ["--group", "docs"], None
    else:
        words, stdin = ["-"], backend
    _uv(*_COMPILE, *options, "--output-file", str(path(lock)), *words, stdin=stdin)


def _look(lock: str, machine: str, python: str) -> None:
    """Try an installation without carrying it out; into a folder, because an environment fixes the platform."""
    how = ["--dry-run", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:"]
    with tempfile.TemporaryDirectory() as folder:
        where = [f"--target={folder}", f"--python-platform={machine}", f"--python-version={python}"]
        _uv("pip", "install", *how, *where, "--requirement", str(path(lock)))


def _uv(*words: str, stdin: str | None = None) -> None:
    """Run uv with the index and the certificates that are configured for pip."""
    settings = {}
    for theirs, ours in (("UV_DEFAULT_INDEX", "PIP_INDEX_URL"), ("SSL_CERT_FILE", "PIP_CERT")):
        if ours in os.environ:
            settings[theirs] = os.environ[ours]
    run([sys.executable, "-m", "uv", *words], cwd=repository(), env=settings, stdin=stdin, timeout=600)

"""Runs a program to its end and, when it fails, says which and shows the tail of what it printed."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class CommandFailedError(Exception):
    """A program ended with another status than 0."""


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    timeout: float | None = None,
) -> str:
    """Standard output of the program.

    Raises:
        CommandFailedError: it failed; the message has the last lines of both outputs.
    """
    done = subprocess.run(
        [str(word) for word in argv],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
        raise CommandFailedError(f"{' '.join(str(word) for word in argv)}: exit {done.returncode}\n{tail}")
    return done.stdout

"""Run a program to its end; if it fails, the error names it and has the end of its output."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class CommandFailedError(Exception):
    """A program ended with a status other than 0."""


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    timeout: float | None = None,
) -> str:
    """Run a program; return its standard output.

    Raises:
        CommandFailedError: the program failed; the message has the last lines of both outputs.
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

"""The output of `virtfn`: results go to stdout, as text or as one JSON document; problems go to stderr.

A closed pipe (`virtfn list | head -1`) is no failure. A stdout that cannot be written for another reason, as on a full
disk or a lost terminal, is one, which is told when the run ends: neither must end an apply between two steps.
"""

import json
import os
import sys
from collections.abc import Iterable, Mapping
from typing import TextIO

from virtfn_host.cli.paint import Paint, When, paint_for
from virtfn_host.core.values.reasons import Reason


class Output:
    """The output of one run."""

    def __init__(self, *, as_json: bool, color: When, environ: Mapping[str, str]) -> None:
        self.as_json = as_json
        self.paint = Paint(False) if as_json else paint_for(sys.stdout, color, environ)
        self._paint_errors = paint_for(sys.stderr, color, environ)
        self.lost = False
        """Whether some output for stdout could not be written."""

    def say(self, text: str) -> None:
        """Print text for people; nothing with --json."""
        if not self.as_json:
            self._write(text)

    def document(self, value: object) -> None:
        """Print the one JSON document of this run."""
        self._write(json.dumps(value, indent=2))

    def complain(self, text: str, reason: Reason | None = None) -> None:
        """Print a problem to stderr, its reason first; also with --json."""
        word = f"{self._paint_errors.bad(reason)}: " if reason else ""
        _print(f"virtfn: {word}{text}", sys.stderr)

    def complain_of(self, troubles: Iterable[tuple[Reason, str]]) -> None:
        """Print several problems."""
        for reason, text in troubles:
            self.complain(text, reason)

    def failed(self, text: str, reason: Reason | None = None) -> None:
        """Print the problem that ends the run; with --json also as a document."""
        self.complain(text, reason)
        if self.as_json:
            self.document({"error": {"reason": reason.value if reason else None, "message": text}})

    def _write(self, text: str) -> None:
        error = _print(text, sys.stdout)
        if error is not None and not isinstance(error, BrokenPipeError):
            self.lost = True
            self.complain(f"stdout cannot be written, its rest is lost: {error.strerror}", Reason.WRITE_REFUSED)


def _print(text: str, stream: TextIO) -> OSError | None:
    """Print a line; return why that failed. Later lines then go nowhere without failing."""
    try:
        print(text, file=stream, flush=True)
    except OSError as error:
        _to_nowhere(stream)
        return error
    return None


def _to_nowhere(stream: TextIO) -> None:
    """Redirect a stream to /dev/null, so that the interpreter's flush at exit does not fail either."""
    nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)

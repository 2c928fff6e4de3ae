"""The output of `kubectl virtfn`: results go to stdout, as text or as one JSON document; problems go to stderr."""

import json
import os
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import TextIO

from virtfn_host.cli.paint import Paint, When, paint_for


class Screen:
    """The output of one run."""

    def __init__(self, *, as_json: bool, color: When, environ: Mapping[str, str], now: datetime) -> None:
        self.as_json = as_json
        self.now = now
        """The time of this run, for ages."""
        self.paint = Paint(False) if as_json else paint_for(sys.stdout, color, environ)

    def say(self, text: str) -> None:
        """Print text for people; nothing with --json."""
        if not self.as_json:
            _print(text, sys.stdout)

    def document(self, value: object) -> None:
        """Print the one JSON document of this run; nothing without --json."""
        if self.as_json:
            _print(json.dumps(value, indent=2), sys.stdout)

    def raw(self, text: str) -> None:
        """Print what a program on a node printed, text or JSON, as it came."""
        _print(text.rstrip("\n"), sys.stdout)

    def complain(self, text: str) -> None:
        """Print a problem to stderr; also with --json."""
        _print(f"kubectl virtfn: {text}", sys.stderr)

    def failed(self, text: str, reason: str = "") -> None:
        """Print the problem that ends the run; with --json also as a document."""
        self.complain(f"{reason}: {text}" if reason else text)
        self.document({"error": {"reason": reason or None, "message": text}})


def _print(text: str, stream: TextIO) -> None:
    encoding = stream.encoding or "utf-8"
    try:
        print(text.encode(encoding, "replace").decode(encoding), file=stream, flush=True)
    except BrokenPipeError:  # `kubectl virtfn status | head -1` is no failure, nor is the flush at exit
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)

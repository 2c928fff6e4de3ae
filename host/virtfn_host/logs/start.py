"""The options of every process for its log, and its start."""

import argparse
import logging
import os
import sys
import threading
from types import TracebackType
from typing import NoReturn

from virtfn_host.logs.lines import JsonLines, TextLines
from virtfn_host.logs.repeats import Repeats

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("text", "json")

log = logging.getLogger(__name__)


class LoggedArguments(argparse.ArgumentParser):
    """The arguments of a process. Where they ask for a log in JSON, an error in the others is a line of it."""

    def error(self, message: str) -> NoReturn:
        """See argparse. The format may stand behind the wrong argument, so it is looked for on its own."""
        only = argparse.ArgumentParser(prog=self.prog, add_help=False)
        only.add_argument("--log-format")
        if only.parse_known_args()[0].log_format != "json":
            super().error(message)
        start_log(argparse.Namespace(log_format="json", log_level="info"))
        log.error("%s", message)
        sys.exit(2)


def add_log_options(parser: argparse.ArgumentParser) -> None:
    """Add `--log-level` and `--log-format`."""
    parser.add_argument("--log-level", choices=LEVELS, default="info", help="least grave lines (default: %(default)s)")
    text = "text for people, or one JSON object a line (default: %(default)s)"
    parser.add_argument("--log-format", choices=FORMATS, default="text", help=text)


def start_log(options: argparse.Namespace, *, repeats: bool = False) -> None:
    """Begin to log to stderr. As JSON, nothing else is written there: no traceback as text, and no line of grpc's own.

    Call it before grpc is imported: that reads its environment then.

    Args:
        options: those of `add_log_options`.
        repeats: whether a lasting failure is logged ever more rarely; not at level debug, which is for finding faults.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if options.log_format == "json" else TextLines())
    if repeats and options.log_level != "debug":
        handler.addFilter(Repeats())
    logging.basicConfig(level=options.log_level.upper(), handlers=[handler])
    if options.log_format == "json":
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        sys.excepthook = _uncaught
        threading.excepthook = _uncaught_in_thread


def _uncaught_in_thread(it: threading.ExceptHookArgs) -> None:
    if it.exc_value is not None and not isinstance(it.exc_value, SystemExit):
        _uncaught(it.exc_type, it.exc_value, None)


def _uncaught(_: type[BaseException], error: BaseException, __: TracebackType | None) -> None:
    log.critical("an unexpected error", exc_info=error)

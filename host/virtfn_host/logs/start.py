"""The options of every process for its log, and its start."""

import argparse
import logging
import sys

from virtfn_host.logs.lines import JsonLines, TextLines
from virtfn_host.logs.repeats import Repeats

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("text", "json")


def add_log_options(parser: argparse.ArgumentParser) -> None:
    """Add `--log-level` and `--log-format`."""
    parser.add_argument("--log-level", choices=LEVELS, default="info", help="least grave lines (default: %(default)s)")
    text = "text for people, or one JSON object a line (default: %(default)s)"
    parser.add_argument("--log-format", choices=FORMATS, default="text", help=text)


def start_log(options: argparse.Namespace, *, repeats: bool = False) -> None:
    """Begin to log to stderr.

    Args:
        options: those of `add_log_options`.
        repeats: whether a lasting failure is logged ever more rarely; not at level debug, which is for finding faults.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if options.log_format == "json" else TextLines())
    if repeats and options.log_level != "debug":
        handler.addFilter(Repeats())
    logging.basicConfig(level=options.log_level.upper(), handlers=[handler])

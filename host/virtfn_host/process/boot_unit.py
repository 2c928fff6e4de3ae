"""The container that installs the boot unit on its node, where the chart's value `bootUnit.enabled` is set.

It writes three files and a link, below two folders of the node, and then waits for its end: pods of a DaemonSet are
never done. It has no capability, no token and no network. `linux/act/unit.py` tells how the unit is removed again.
"""

import argparse
import logging
import re
import signal
import sys
from pathlib import Path

from virtfn_host.linux.act.unit import ARCHIVE, UNIT, BootUnit
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.logs.start import LoggedArguments, add_log_options, start_log

PYTHON = re.compile(r"(/[A-Za-z0-9._+-]+)+")
"""A path that systemd takes as it is: no white space, quote, specifier or variable."""

log = logging.getLogger("virtfn.boot-unit")


def main() -> None:
    """Install the unit, then wait for SIGTERM. The files stay: a pod also ends when its node shuts down."""
    options = _arguments().parse_args()
    start_log(options)
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        boot_id = Sysfs(Path("/sys"), Path("/dev"), Path("/proc")).boot_id()
        install(options.files, BootUnit(root=options.root, boot_id=boot_id), options.python)
    except (OSError, ValueError) as error:
        log.error("the boot unit is not installed: %s", error)
        sys.exit(1)
    if not options.once:
        signal.sigwait(signals)


def install(files: Path, unit: BootUnit, python: str) -> None:
    """Install archive and unit from the folder `files`.

    Raises:
        OSError: a file could not be read or written.
        ValueError: `python` is not a plain path.
    """
    if PYTHON.fullmatch(python) is None:
        raise ValueError(f"--python: {python!r} is not an absolute path of letters, digits and . _ + -")
    changed = unit.install((files / ARCHIVE).read_bytes(), (files / UNIT).read_text(), python)
    log.info("%s is %s; it starts at the next boot of this node", UNIT, "installed" if changed else "there already")


def _arguments() -> argparse.ArgumentParser:
    parser = LoggedArguments(prog="virtfn-boot-unit", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--files", type=Path, default=Path("/opt/virtfn/boot"), help="folder of the files to install")
    parser.add_argument(
        "--root", type=Path, default=Path("/host"), help="the node's root, as far as it is mounted here"
    )
    parser.add_argument("--python", default="/usr/bin/python3", help="the node's Python, 3.11 or newer")
    add_log_options(parser)
    parser.add_argument("--once", action="store_true", help="end when everything is in place")
    return parser


if __name__ == "__main__":
    main()

"""The verbs of `virtfn`, for one node without a cluster: each replaces a hand step with lspci, modprobe or echo.

Wiring only: the pure functions and the safety law are those of the host process. `looking.py` and `doing.py` have the
verbs, `options.py` the command line, `show.py` and `show_plan.py` the output.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from virtfn_host.cli import completion
from virtfn_host.cli.doing import run_apply, run_bind, run_boot, run_restore
from virtfn_host.cli.import_ import run_import
from virtfn_host.cli.looking import show_explain, show_inventory, show_list, show_plan, show_verify
from virtfn_host.cli.options import BLOCKED, DONE, INTERRUPTED, REFUSED, USAGE, command
from virtfn_host.cli.output import Output
from virtfn_host.cli.policy import UsageError
from virtfn_host.core.values.reasons import Reason
from virtfn_host.linux.errors import HostError


def main() -> None:
    """Entry point of `virtfn`."""
    sys.exit(run(sys.argv[1:]))


def run(words: Sequence[str]) -> int:
    """Run a command line and return its exit status. Mistakes of users and faults of machines cause no traceback."""
    options = command(VERBS).parse_args(words)
    output = Output(as_json=options.json, color=options.color, environ=os.environ)
    status = _status(options, output)
    return REFUSED if output.lost and status == DONE else status


def _status(options: argparse.Namespace, output: Output) -> int:
    verb: Callable[[argparse.Namespace, Output], int] = options.verb
    try:
        return verb(options, output)
    except UsageError as error:
        output.failed(str(error))
        return USAGE
    except HostError as error:
        output.failed(str(error), error.reason)
        return BLOCKED if error.reason is Reason.VFS_IN_USE else REFUSED
    except OSError as error:
        hint = "; run it as root" if isinstance(error, PermissionError) and os.geteuid() else ""
        where = f"{error.filename}: " if error.filename else ""
        output.failed(f"{where}{error.strerror or error}{hint}", Reason.UNREADABLE)
        return REFUSED
    except KeyboardInterrupt:
        output.complain("interrupted")
        return INTERRUPTED


def _completion(options: argparse.Namespace, output: Output) -> int:
    output.say(completion.script(command(VERBS), options.shell))
    return DONE


VERBS: dict[str, Callable[[argparse.Namespace, Output], int]] = {
    "list": show_list,
    "explain": show_explain,
    "bind": run_bind,
    "restore": run_restore,
    "plan": show_plan,
    "apply": run_apply,
    "verify": show_verify,
    "inventory": show_inventory,
    "boot": run_boot,
    "import": run_import,
    "completion": _completion,
}

if __name__ == "__main__":
    main()

"""`virtfn-operator controller`, `agent` and `preview`: read the settings and run that process.

The other words are hooks of the chart, which end when they are done.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Sequence

from virtfn_host.logs.start import LoggedArguments, add_log_options, start_log
from virtfn_operator.ending import end_now
from virtfn_operator.settings import SettingsError, agent_settings, controller_settings, hook_settings

USAGE = 2
PROCESSES = "the process to run; preview answers once, beside an agent, what its node would do with another spec"
HOOKS = ("upgrade-crds", "give-back", "clean-up")


class EndedError(Exception):
    """A process ended because of something that its message explains; where in the code it was helps nobody."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one process; exit with 0 after SIGTERM, 1 after an error, 2 when the settings are wrong."""
    parser = LoggedArguments(prog="virtfn-operator", description="SR-IOV virtual functions in pods.")
    parser.add_argument("process", choices=("controller", "agent", "preview", *HOOKS), help=PROCESSES)
    add_log_options(parser)
    options = parser.parse_args(arguments)
    start_log(options, repeats=True)
    status = 0
    try:
        status = _run(options.process)
    except SettingsError as error:
        logging.getLogger(__name__).error("%s", error)
        sys.exit(USAGE)
    except EndedError as error:
        logging.getLogger(__name__).error("%s", error)
        status = 1
    except Exception:
        logging.getLogger(__name__).exception("cannot go on")
        status = 1
    # Skip the interpreter's own shutdown: it waits for threads of libraries, which took 18 s on a busy machine.
    return end_now(status, logging.shutdown)


def _run(process: str) -> int:
    # Imported here because each image has only what its process needs.
    if process == "controller":
        from virtfn_operator.controller import controller_process as controller

        asyncio.run(controller.run(controller_settings(os.environ)))
    elif process == "preview":
        from virtfn_operator.agent import preview_process as preview

        return preview.run(agent_settings(os.environ))
    elif process in HOOKS:
        from virtfn_operator.lifecycle import hooks

        run = {"upgrade-crds": hooks.upgrade_crds, "give-back": hooks.give_back, "clean-up": hooks.clean_up}[process]
        try:
            asyncio.run(run(hook_settings(os.environ)))
        except hooks.HookFailedError as error:
            raise EndedError(str(error)) from error
    else:
        from virtfn_host.linux.read.mounted import StaleFolderError
        from virtfn_operator.agent import agent_process as agent

        try:
            asyncio.run(agent.run(agent_settings(os.environ)))
        except StaleFolderError as error:
            raise EndedError(str(error)) from error
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The verbs of `kubectl virtfn`, and its entry point. Wiring only.

`options.py` has the command line, `answering.py` and its neighbours the verbs, `judge/` what they answer, `tell/` how.
"""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from virtfn_kubectl import completion
from virtfn_kubectl.answering import show_nodes, show_status, show_why
from virtfn_kubectl.checking import show_check
from virtfn_kubectl.cluster import AskError, Cluster, Run, run_program
from virtfn_kubectl.drawing import show_topology
from virtfn_kubectl.errors import MistakeError, NotThereError
from virtfn_kubectl.on_node import show_explain, show_list
from virtfn_kubectl.options import command
from virtfn_kubectl.planning import show_plan
from virtfn_kubectl.reporting import show_report
from virtfn_kubectl.rolling import rollout
from virtfn_kubectl.screen import Screen
from virtfn_kubectl.statuses import DONE, INTERRUPTED, NOTHING_MATCHES, REFUSED, USAGE

Verb = Callable[[argparse.Namespace, Cluster, Screen], int]


def main() -> None:
    """Entry point of `kubectl-virtfn`, which kubectl runs as `kubectl virtfn`."""
    sys.exit(run(sys.argv[1:], os.environ))


def run(
    words: Sequence[str], environ: Mapping[str, str], program: Run = run_program, now: datetime | None = None
) -> int:
    """Run a command line and return its exit status. Mistakes of users and faults of clusters cause no traceback."""
    options = command(VERBS).parse_args(words)
    screen = Screen(as_json=options.json, color=options.color, environ=environ, now=now or datetime.now(UTC))
    cluster = Cluster(_for_kubectl(options), program=environ.get("KUBECTL") or "kubectl", run=program)
    verb: Verb = options.verb
    try:
        return verb(options, cluster, screen)
    except MistakeError as error:
        screen.failed(str(error))
        return USAGE
    except NotThereError as error:
        screen.failed(str(error))
        return NOTHING_MATCHES
    except AskError as error:
        screen.failed(str(error), error.reason)
        return REFUSED
    except OSError as error:
        screen.failed(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        return REFUSED
    except KeyboardInterrupt:
        screen.complain("interrupted")
        return INTERRUPTED


def _for_kubectl(options: argparse.Namespace) -> list[str]:
    given = (("--context", options.context), ("--kubeconfig", options.kubeconfig))
    return [f"{name}={value}" for name, value in given if value]


def _completion(options: argparse.Namespace, _: Cluster, screen: Screen) -> int:
    screen.raw(completion.script(command(VERBS), options.shell))
    return DONE


VERBS: dict[str, Verb] = {
    "status": show_status,
    "nodes": show_nodes,
    "why": show_why,
    "list": show_list,
    "explain": show_explain,
    "topology": show_topology,
    "plan": show_plan,
    "rollout": rollout,
    "check": show_check,
    "report": show_report,
    "completion": _completion,
}

if __name__ == "__main__":
    main()

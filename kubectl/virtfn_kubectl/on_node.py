"""The verbs that run `virtfn` on a node, in the container `host` of its agent pod: list, explain.

`kubectl exec` needs the permissions to get pods and to create pods/exec there, and that container is privileged: who
may do that may do anything on the node. So these verbs give nobody more than he has.
"""

import argparse
import json
from collections.abc import Sequence

from virtfn_kubectl.asked import fleet_of, pods_of_virtfn
from virtfn_kubectl.cluster import AskError, Cluster, Ran
from virtfn_kubectl.errors import NotThereError
from virtfn_kubectl.judge.explained import some
from virtfn_kubectl.read.members import PodSeen
from virtfn_kubectl.screen import Screen
from virtfn_kubectl.statuses import REFUSED

CONTAINER = "host"
OURS = "virtfn: "
"""How `virtfn` begins what it says on stderr."""
NO_PROGRAM = (126, 127)
"""Exit statuses of a runtime that finds no such program."""

TRIES = 3
"""How often a command is run until an answer comes back: these commands only look."""


def show_list(options: argparse.Namespace, cluster: Cluster, screen: Screen) -> int:
    """Print the functions of a node."""
    flags = [flag for flag, given in (("--all", options.all), ("--verbose", options.verbose)) if given]
    return _on_node(["list", *flags, *map(str, options.addresses)], options, cluster, screen)


def show_explain(options: argparse.Namespace, cluster: Cluster, screen: Screen) -> int:
    """Print what one function of a node is, and what hinders passthrough."""
    return _on_node(["explain", str(options.address)], options, cluster, screen)


def _on_node(words: Sequence[str], options: argparse.Namespace, cluster: Cluster, screen: Screen) -> int:
    pod = agent_pod(options.node, options.namespace, cluster)
    how = ["--json"] if options.json else [f"--color={'always' if screen.paint.on else 'never'}"]
    done = _answer(["virtfn", *words, *how], pod, cluster, as_json=options.json, painted=screen.paint.on)
    if _has_no_program(done):
        older = f"{pod.words} has no `virtfn` on its PATH: it is of an older version"
        screen.failed(f"{older}; upgrade virtfn on {options.node}")
        return REFUSED
    if done.out.strip():
        screen.raw(done.out)
    for line in _said(done):
        screen.complain(line.removeprefix(OURS))
    return done.status


def _answer(words: Sequence[str], pod: PodSeen, cluster: Cluster, *, as_json: bool, painted: bool) -> Ran:
    """Run a command in the container until its answer comes back.

    `kubectl exec` loses output now and then, and may say that all went well (kubernetes/kubernetes#124571, #73056). Of
    a text only the loss of the whole shows; JSON shows every cut.

    Raises:
        AskError: there was no answer.
    """
    for _ in range(TRIES):
        done = cluster.execute(pod.namespace, pod.name, CONTAINER, words, painted=painted)
        if _has_no_program(done) or (_is_document(done.out) if as_json else _is_text(done)):
            return done
    said = "; ".join(_said(done)) or "no error"
    raise AskError(f"{' '.join(words)} in {pod.words}: kubectl exec brought no whole answer in {TRIES} tries: {said}")


def _has_no_program(done: Ran) -> bool:
    return done.status in NO_PROGRAM or "executable file not found" in done.err


def _is_document(out: str) -> bool:
    try:
        json.loads(out)
    except (ValueError, RecursionError):
        return False
    return True


def _is_text(done: Ran) -> bool:
    return bool(done.out.strip()) or any(line.startswith(OURS) for line in _said(done))


def _said(done: Ran) -> list[str]:
    """The lines of stderr, without kubectl's own about the exit status."""
    return [line for line in done.err.splitlines() if not line.startswith("command terminated with exit code")]


def agent_pod(node: str, namespace: str | None, cluster: Cluster) -> PodSeen:
    """Return the agent's pod of a node.

    Raises:
        NotThereError: no agent runs there.
    """
    pods = pods_of_virtfn(cluster, namespace, fieldSelector=f"spec.nodeName={node}")
    agents = [pod for pod in pods if pod.component == "agent" and CONTAINER in pod.containers]
    running = [pod for pod in agents if pod.phase == "Running" and not pod.ending]
    if running:
        return running[0]
    if agents:
        raise NotThereError(f"the agent pod {agents[0].words} on {node} does not run: kubectl virtfn why node/{node}")
    names = [it.name for it in fleet_of(cluster).nodes]
    raise NotThereError(f"no agent pod of virtfn is on a node {node}; there are {some(names) or 'none'}")

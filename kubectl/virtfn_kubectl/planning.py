"""The verb plan: what a change of policies would do on every node, before it is applied.

The policies come as the API server would store them (a dry run), the decisions from the controller's own functions
(`judge/foreseen.py`), and what a node would do from the node: `virtfn-operator preview` runs beside its agent, by
`kubectl exec`, with what the agent has. Several nodes are asked at the same time, each within a deadline.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from virtfn_host.core.values.fields import PolicyError
from virtfn_host.core.values.resource_names import read_domains
from virtfn_kubectl.asked import MEMBERS_PATH, NOT_INSTALLED, OURS, pods_path
from virtfn_kubectl.cluster import NODES_PATH, POLICIES_PATH, AskError, Cluster, parsed_strictly
from virtfn_kubectl.errors import MistakeError, NotThereError
from virtfn_kubectl.judge.explained import some
from virtfn_kubectl.judge.foreseen import AskedFleet, asked, foreseen, stand_of
from virtfn_kubectl.names import policy_name
from virtfn_kubectl.read.documents import ATTACHMENT, Document, documents
from virtfn_kubectl.read.fleet import name_of, read_each
from virtfn_kubectl.read.members import PodSeen, read_member, read_pod
from virtfn_kubectl.read.preview import NodeAnswer, read_answer
from virtfn_kubectl.screen import Screen
from virtfn_kubectl.statuses import status_of
from virtfn_kubectl.tell.foreseen_document import foreseen_document
from virtfn_kubectl.tell.foreseen_text import foreseen_text
from virtfn_operator.api import POLICY_KIND
from virtfn_operator.api.foreign import entries, mapping, text
from virtfn_operator.api.policy import why_ending
from virtfn_operator.controller.decide import Rules, World
from virtfn_operator.controller.evict import Facts

Pods = list[Mapping[str, Any]]
"""Virtfn's pods, as the API server has them."""

CONTAINER = "agent"
WORDS = ("/opt/virtfn/bin/virtfn-operator", "preview", "--log-level=error")
"""By its path, because the agent's image has no PATH of its own."""

AT_ONCE = 16
"""Nodes that are asked at the same time: each is a process of kubectl and a stream through the API server."""

PATIENCE = 60.0
"""Seconds for one node: a look may take 30, and Python starts in some seconds on a slow node."""

TRIES = 3
"""How often a node is asked at most. kubectl may lose an answer and call that success; a preview only looks."""

FILE_LIMIT = 1 << 20
"""Longest file, in bytes: the API server takes no longer object."""

BAD_DOCUMENT = frozenset({"", "Invalid", "BadRequest", "UnprocessableEntity"})
"""Words of a refusal that is about the document; kubectl's own errors have none."""

_OF_STDIN = re.compile(r'.*"STDIN": |error parsing STDIN: ')
"""What kubectl puts before a fault of a document that it has read from standard input."""


def show_plan(options: argparse.Namespace, cluster: Cluster, screen: Screen) -> int:
    """Print what a change of policies would do."""
    if not options.file and not options.delete:
        raise MistakeError("plan: name a file with -f, or a policy with --delete")
    pods = _pods(cluster, options.namespace)
    wanted = _asked(options, pods, cluster, screen)
    found = foreseen(wanted, _answers(wanted, pods, cluster))
    screen.document(foreseen_document(found))
    screen.say(foreseen_text(found, screen.paint))
    for line in found.unread:
        screen.complain(line)
    return status_of(stand_of(found))


def _asked(options: argparse.Namespace, pods: Pods, cluster: Cluster, screen: Screen) -> AskedFleet:
    try:
        policies, states = cluster.items(POLICIES_PATH), cluster.items(NODES_PATH)
    except AskError as error:
        if error.reason == "NotFound":
            raise NotThereError(NOT_INSTALLED) from error
        raise
    deleted = [policy_name(what) for what in options.delete]
    names = [name_of(body) for body in policies]
    if missing := [name for name in deleted if name not in names]:
        raise NotThereError(f"there is no policy {missing[0]}; there are policies {some(names) or 'none'}")
    stored = [body for path in options.file for body in _stored(path, cluster, screen)]
    given = _made_at_once(stored, names)
    _expect_to_stay(given)
    _expect_each_once([*map(name_of, given), *deleted])
    members = cluster.items(MEMBERS_PATH)  # without their labels it is not known which nodes a policy selects
    cordoned = frozenset(it.name for it in read_each(members, "Node", read_member)[0] if it.cordoned)
    return asked(
        World(policies=policies, states=states, nodes=members),
        given,
        deleted,
        rules=_rules(pods, screen),
        facts=Facts(cordoned=cordoned),
        now=screen.now.strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def _made_at_once(given: list[Mapping[str, Any]], there: list[str]) -> list[Mapping[str, Any]]:
    """Give new policies one creation time, as one `kubectl apply` does. Each dry run was a process of its own, so their
    times differ by seconds, and the order in the file would decide between policies of one priority."""
    made = [text(mapping(it.get("metadata")).get("creationTimestamp")) for it in given if name_of(it) not in there]
    once = {"creationTimestamp": max(made, default="")}
    return [it if name_of(it) in there else {**it, "metadata": {**mapping(it.get("metadata")), **once}} for it in given]


def _expect_to_stay(given: list[Mapping[str, Any]]) -> None:
    """Refuse to plan an edit of a deleted policy: nodes are asked for nothing of it."""
    for body in given:
        if ending := why_ending(mapping(body.get("metadata"))):
            raise MistakeError(f"policy {name_of(body)} cannot be edited any more: {ending}")


def _expect_each_once(names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise MistakeError(f"policy {name} is there twice, in the files or in --delete")


def _stored(path: Path, cluster: Cluster, screen: Screen) -> list[Mapping[str, Any]]:
    """Return the policies of a file as the API server would store them."""
    found = documents(str(path), _text(path))
    if not found:
        raise MistakeError(f"{path}: there is nothing in it")
    policies = [it for it in found if not it.attachment]
    if not policies:
        raise MistakeError(f"{path}: there are only {ATTACHMENT}s in it")
    if len(policies) < len(found):
        screen.complain(f"{path}: {ATTACHMENT}s are left out ({len(found) - len(policies)}): they are no policies")
    return [body for document in policies for body in _would_store(document, cluster)]


def _would_store(document: Document, cluster: Cluster) -> list[Mapping[str, Any]]:
    try:
        body = cluster.would_store(document.text)
    except AskError as error:
        if error.reason in BAD_DOCUMENT:
            raise MistakeError(f"{document.place}: {_fault(error)}") from error
        raise AskError(
            f"{document.place}: the API server does not say what it would store: {error}", error.reason
        ) from error
    bodies = entries(mapping(body).get("items"), FILE_LIMIT) or (mapping(body),)
    for one in bodies:
        if one.get("kind") != POLICY_KIND:
            raise MistakeError(f"{document.place}: want kind {POLICY_KIND}, got {str(one.get('kind'))[:64]}")
    return list(bodies)


def _fault(error: AskError) -> str:
    """Return what is wrong, without what kubectl says of its own input, which is not the user's file."""
    return _OF_STDIN.sub("", str(error).removeprefix("the document: ").removeprefix("error: "))


def _text(path: Path) -> str:
    try:
        if str(path) == "-":
            data = sys.stdin.buffer.read(FILE_LIMIT + 1)
        else:
            with path.open("rb") as file:
                data = file.read(FILE_LIMIT + 1)
        if len(data) > FILE_LIMIT:
            raise MistakeError(f"{path}: longer than {FILE_LIMIT} bytes, the limit for a policy file")
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise MistakeError(f"{path}: line {line}: not UTF-8 text") from error
    except OSError as error:
        raise MistakeError(f"{path}: {error.strerror}") from error


# --- the settings of the installation -------------------------------------------------------------------------------


def _rules(pods: Pods, screen: Screen) -> Rules:
    """Return the controller's settings, from the environment that its pod was given."""
    environment = next((_environment(body) for body in pods if read_pod(body).component == "controller"), None)
    if environment is None:
        screen.complain("no pod of the controller is there, so its settings are taken to be the defaults")
        return Rules()
    rules = Rules()
    try:
        domains = read_domains(environment.get("VIRTFN_RESOURCE_DOMAINS", ""), "VIRTFN_RESOURCE_DOMAINS")
        timeout = float(environment.get("VIRTFN_TURN_TIMEOUT", rules.turn_timeout))
    except (PolicyError, ValueError) as error:
        screen.complain(f"the controller's settings cannot be read: {error}; the defaults are taken")
        return rules
    return replace(rules, domains=domains, turn_timeout=timeout)


def _environment(body: Mapping[str, Any]) -> dict[str, str]:
    containers = entries(mapping(body.get("spec")).get("containers"), 64)
    listed = (it for container in containers for it in entries(container.get("env"), 256))
    return {
        it["name"]: it["value"] for it in listed if isinstance(it.get("name"), str) and isinstance(it.get("value"), str)
    }


def _pods(cluster: Cluster, namespace: str | None) -> Pods:
    path = pods_path(cluster, namespace)
    return [body for body in cluster.items(path, labelSelector=OURS) if isinstance(body, Mapping)]


# --- the nodes -------------------------------------------------------------------------------------------------------


def _answers(wanted: AskedFleet, pods: Pods, cluster: Cluster) -> dict[str, NodeAnswer | str]:
    """Ask every node that is concerned; the answer of one that gives none is the reason why."""
    if not wanted.requests:
        return {}
    agents = _agents(read_each(pods, "Pod", read_pod)[0])
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = pool.map(lambda it: _answer(it[0], agents.get(it[0]), it[1], cluster), wanted.requests.items())
        return dict(zip(wanted.requests, found, strict=True))


def _agents(pods: Iterable[PodSeen]) -> dict[str, PodSeen]:
    """Return the agent's pod of each node where one runs."""
    return {
        pod.node: pod
        for pod in pods
        if pod.component == "agent" and CONTAINER in pod.containers and pod.phase == "Running" and not pod.ending
    }


def _answer(node: str, pod: PodSeen | None, request: Mapping[str, Any], cluster: Cluster) -> NodeAnswer | str:
    if pod is None:
        return f"no agent runs there: kubectl virtfn why node/{node}"
    why = ""
    for _ in range(TRIES):
        try:
            done = cluster.ask_in(pod.namespace, pod.name, CONTAINER, WORDS, json.dumps(request), PATIENCE)
        except AskError as error:
            return str(error)
        if done.status == 2 and "preview" in done.err:
            return f"the agent {pod.words} is of an older version, which cannot tell; upgrade virtfn on {node}"
        if (found := _whole(done.out, request["generation"])) is not None:
            return found
        why = " ".join(done.err.split())[-500:] or f"the answer is not whole (kubectl exec ended with {done.status})"
        if "(Forbidden)" in done.err:
            break
    return why


def _whole(out: str, generation: int) -> NodeAnswer | str | None:
    try:
        return read_answer(parsed_strictly(out), generation)
    except ValueError:
        return None

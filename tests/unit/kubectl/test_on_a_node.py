"""`list` and `explain`: which pod runs `virtfn`, with which words, and what comes back."""

from __future__ import annotations

from typing import Any

import pytest
from fake_cluster import Ask, FakeCluster, agent, cluster_of, recorded

from virtfn_kubectl.cluster import Ran


def cluster(*pods: Any, status: int = 0, out: str = "", err: str = "") -> FakeCluster:
    fleet = recorded("healthy")
    return cluster_of({**fleet, "pods": list(pods) or [agent()]}, executed=Ran(status=status, out=out, err=err))


@pytest.mark.parametrize(
    ("words", "run"),
    [
        (["list", "node-1"], ["virtfn", "list", "--color=never"]),
        (
            ["list", "-a", "node-1", "3b:00.0", "-v"],
            ["virtfn", "list", "--all", "--verbose", "0000:3b:00.0", "--color=never"],
        ),
        (["list", "node-1", "--json"], ["virtfn", "list", "--json"]),
        (["list", "node-1", "--color", "always"], ["virtfn", "list", "--color=always"]),
        (["explain", "node-1", "0000:3b:00.1"], ["virtfn", "explain", "0000:3b:00.1", "--color=never"]),
        (["explain", "node-1", "3b:00.1", "--json"], ["virtfn", "explain", "0000:3b:00.1", "--json"]),
    ],
)
def test_the_command_runs_in_the_host_container_of_that_node(ask: Ask, words: list[str], run: list[str]) -> None:
    asked = cluster(out="{}\n")
    answer = ask(asked, *words)
    assert (answer.status, answer.out) == (0, "{}\n")
    begin = ["kubectl", "exec", "--namespace=virtfn-system", "virtfn-agent-x", "--container=host", "--"]
    assert asked.calls[-1] == [*begin, *run]


@pytest.mark.parametrize("status", [0, 1, 3, 4])
def test_the_exit_status_is_that_of_the_command(ask: Ask, status: int) -> None:
    err = f"virtfn: NoMatchingDevice: nothing\ncommand terminated with exit code {status}\n"
    answer = ask(cluster(status=status, err=err), "explain", "node-1", "3b:00.0")
    assert (answer.status, answer.err) == (status, "kubectl virtfn: NoMatchingDevice: nothing\n")


@pytest.mark.parametrize(
    ("status", "err"), [(127, ""), (126, "x"), (1, 'exec: "virtfn": executable file not found in $PATH')]
)
def test_an_older_image_is_told(ask: Ask, status: int, err: str) -> None:
    answer = ask(cluster(status=status, err=err), "list", "node-1")
    assert answer.status == 1
    assert "older version" in answer.err


@pytest.mark.parametrize(
    ("pods", "message"),
    [
        ([agent(node="node-2")], "no agent pod of virtfn is on a node node-1; there are node-1, node-2"),
        ([agent(phase="Pending")], "does not run"),
        ([agent(deletionTimestamp="2026-01-01T00:00:00Z")], "does not run"),
        (
            [{"metadata": {"name": "x", "labels": agent()["metadata"]["labels"]}, "spec": {"nodeName": "node-1"}}],
            "no agent pod",
        ),
    ],
)
def test_without_an_agent_nothing_is_run(ask: Ask, pods: list[Any], message: str) -> None:
    asked = cluster(*pods)
    answer = ask(asked, "list", "node-1")
    assert answer.status == 4
    assert message in answer.err
    assert not [call for call in asked.calls if "exec" in call]


def test_of_an_old_and_a_new_pod_the_one_that_runs_is_taken(ask: Ask) -> None:
    asked = cluster(agent("old", deletionTimestamp="2026-01-01T00:00:00Z"), agent("new"))
    ask(asked, "list", "node-1")
    assert "new" in asked.calls[-1]


def test_escape_sequences_of_a_node_do_not_reach_the_terminal(ask: Ask) -> None:
    out = "\x1b[32mgood\x1b[0m \x1b]0;title\x07 \x1b[2J"
    out = ask(cluster(out=out), "list", "node-1", "--color", "always").out
    assert "\x1b[32mgood\x1b[0m" in out
    assert out.count("\x1b") == 2


@pytest.mark.parametrize(
    "words",
    [["list"], ["list", "a/b"], ["list", "n", "xyz"], ["explain", "n"], ["explain", "n", "--help=x"], ["list", "n?"]],
)
def test_words_that_can_be_no_node_and_no_address_are_refused(ask: Ask, words: list[str]) -> None:
    asked = cluster()
    assert ask(asked, *words).status == 2
    assert asked.calls == []

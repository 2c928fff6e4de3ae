"""`kubectl exec` may lose what a command printed and say that all went well; that is never taken for an answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fake_cluster import Ask, FakeCluster, agent, cluster_of, recorded

from virtfn_kubectl.cluster import Ran

WORDS = ["explain", "node-1", "3b:00.0"]
DOCUMENT = json.dumps({"couldDrive": True, "functions": ["a" * 200] * 50}, indent=2)


def cluster(executed: Ran, *lost: Ran) -> FakeCluster:
    made = cluster_of({**recorded("healthy"), "pods": [agent()]}, executed=executed)
    made.lost.extend(lost)
    return made


def runs(asked: FakeCluster) -> int:
    return len([call for call in asked.calls if "exec" in call])


def ran(out: str = "", err: str = "", status: int = 0) -> Ran:
    return Ran(status=status, out=out, err=err)


@pytest.mark.parametrize(
    "lost",
    [
        ran(),
        ran("\n"),
        ran(status=1, err="command terminated with exit code 1\n"),
        ran(DOCUMENT[: len(DOCUMENT) // 2]),
        ran(DOCUMENT[:-1]),
        ran(status=1, err="error: unable to upgrade connection: container not found\n"),
        ran("[" * 100_000),
    ],
    ids=["nothing", "blank", "nothing but the status", "half", "no last brace", "no connection", "deep"],
)
def test_what_is_no_whole_document_is_asked_again(ask: Ask, lost: Ran) -> None:
    asked = cluster(ran(DOCUMENT), lost, lost)
    answer = ask(asked, *WORDS, "--json")
    assert (answer.status, json.loads(answer.out)) == (0, json.loads(DOCUMENT))
    assert (answer.err, runs(asked)) == ("", 3)


@pytest.mark.parametrize("words", [WORDS, ["list", "node-1"]])
@pytest.mark.parametrize("lost", [ran(), ran(status=3, err="command terminated with exit code 3\n")])
def test_a_text_that_is_lost_whole_is_asked_again(ask: Ask, words: list[str], lost: Ran) -> None:
    asked = cluster(ran("a line\n", status=3), lost)
    answer = ask(asked, *words)
    assert (answer.status, answer.out, runs(asked)) == (3, "a line\n", 2)


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_an_answer_that_never_comes_is_a_failure(ask: Ask, flags: list[str]) -> None:
    asked = cluster(ran(err="error: stream closed\n"))
    answer = ask(asked, *WORDS, *flags)
    assert (answer.status, runs(asked)) == (1, 3)
    assert "virtfn-agent-x" in answer.err
    assert "stream closed" in answer.err
    if flags:
        assert "stream closed" in json.loads(answer.out)["error"]["message"]


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_what_the_api_server_refuses_is_not_asked_again(ask: Ask, flags: list[str]) -> None:
    forbidden = 'Error from server (Forbidden): pods "virtfn-agent-x" is forbidden: may not create pods/exec\n'
    asked = cluster(ran(status=1, err=forbidden))
    answer = ask(asked, *WORDS, *flags)
    assert (answer.status, runs(asked)) == (1, 1)
    assert "may not create pods/exec" in answer.err
    if flags:
        error: Any = json.loads(answer.out)["error"]
        assert error["reason"] == "Forbidden"

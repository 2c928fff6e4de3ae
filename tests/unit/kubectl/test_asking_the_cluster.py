"""How kubectl is run: which words, pages of lists, errors with the API's word, another program, a deadline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fake_cluster import Ask, cluster_of, recorded

from virtfn_kubectl.cluster import AskError, Cluster, Ran, fit, parsed, run_program
from virtfn_kubectl.verbs import run


def test_options_of_kubectl_go_to_every_call(ask: Ask) -> None:
    cluster = cluster_of(recorded("healthy"))
    assert ask(cluster, "why", "pod/dpdk-0", "--context", "lab", "--kubeconfig=/tmp/my config").status == 0
    assert len(cluster.calls) > 3
    for call in cluster.calls:
        assert call[:3] == ["kubectl", "--context=lab", "--kubeconfig=/tmp/my config"]


def test_another_program_can_be_named(ask: Ask) -> None:
    cluster = cluster_of(recorded("healthy"))
    ask(cluster, "status", environ={"KUBECTL": "/usr/bin/oc"})
    assert {call[0] for call in cluster.calls} == {"/usr/bin/oc"}


@pytest.mark.parametrize("number", [1, 500, 501, 1700])
def test_a_list_is_read_page_by_page(number: int) -> None:
    fleet = {"nodes": [{"metadata": {"name": f"node-{n}"}} for n in range(number)]}
    cluster = cluster_of(fleet)
    assert len(Cluster(run=cluster).items("/apis/virtfn.dev/v1alpha1/sriovnodes")) == number
    assert len(cluster.asked) == -(-number // 500)


@pytest.mark.parametrize(
    ("err", "reason", "message"),
    [
        ('Error from server (NotFound): pods "x" not found\n', "NotFound", '/p: pods "x" not found'),
        ("Error from server (Forbidden): no", "Forbidden", "/p: no"),
        ("error: context was not found\n", "", "error: context was not found"),
        ("", "", "kubectl failed without a word"),
        ("\x1b[31mred", "", "\N{REPLACEMENT CHARACTER}[31mred"),
    ],
)
def test_an_error_has_the_words_of_the_api(err: str, reason: str, message: str) -> None:
    def failing(words: Sequence[str], seconds: float, given: str | None = None) -> Ran:
        return Ran(status=1, out="", err=err)

    with pytest.raises(AskError) as caught:
        Cluster(run=failing).get("/p")
    assert (caught.value.reason, str(caught.value)) == (reason, message)


def test_a_kubectl_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status"], {"KUBECTL": "/nonexistent/kubectl"}) == 1
    assert "there is no /nonexistent/kubectl on PATH" in capsys.readouterr().err


def test_a_real_program_is_run_and_its_words_are_no_shell(tmp_path: Path) -> None:
    script = tmp_path / "kubectl"
    script.write_text('#!/bin/sh\nprintf "%s|" "$@"\nexit 7\n')
    script.chmod(0o755)
    assert run_program([str(script), "a b", "$(id)"], 30) == Ran(status=7, out="a b|$(id)|", err="")


def test_a_program_that_does_not_end_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "kubectl"
    script.write_text("#!/bin/sh\nexec tail -f /dev/null\n")
    script.chmod(0o755)
    with pytest.raises(TimeoutError, match="did not end"):
        run_program([str(script)], 0.2)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'{"a": "\u001b[2J"}', {"a": "\N{REPLACEMENT CHARACTER}[2J"}),
        ('["\x9b", "\u202e", "ok"]', ["\N{REPLACEMENT CHARACTER}"] * 2 + ["ok"]),
        (r'{"\u0007": 1, "n": "a\nb\tc"}', {"\N{REPLACEMENT CHARACTER}": 1, "n": "a\nb\tc"}),
        ('{"é": ["日本", 1.5, null]}', {"é": ["日本", 1.5, None]}),
    ],
)
def test_control_characters_of_json_are_replaced(text: str, value: Any) -> None:
    assert parsed(text) == value


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\033[31mbad\033[0m\n", "\033[31mbad\033[0m\n"),
        ("\033]0;title\007", "\N{REPLACEMENT CHARACTER}]0;title\N{REPLACEMENT CHARACTER}"),
        ("a\033[2Jb\tc", "a\N{REPLACEMENT CHARACTER}[2Jb\tc"),
    ],
)
def test_painted_output_of_programs_keeps_colours_only(text: str, shown: str) -> None:
    assert fit(text, painted=True) == shown

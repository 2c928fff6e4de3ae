"""The command line: help that fits a terminal, exit statuses as those of `virtfn`, options that every verb has."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from fake_cluster import Ask

from virtfn_host.cli import options as of_virtfn
from virtfn_kubectl import statuses
from virtfn_kubectl.help import PROSE, STATUSES
from virtfn_kubectl.judge.verdict import Stand
from virtfn_kubectl.verbs import VERBS

DOCS = Path(__file__).resolve().parents[3] / "docs/kubectl.md"


@pytest.mark.parametrize("words", [[], *([verb] for verb in VERBS)])
def test_the_help_fits_80_columns_and_lists_every_status(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    answer = ask("healthy", *words, "--help")
    assert answer.status == 0
    assert [line for line in answer.out.splitlines() if len(line) > 80] == []
    assert all(f"  {line}" in answer.out for line in STATUSES.splitlines())
    assert "examples:" in answer.out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_manual_and_is_on_the_page(verb: str) -> None:
    assert set(PROSE) == set(VERBS)
    assert f"{verb}" in DOCS.read_text()


@pytest.mark.parametrize("name", ["DONE", "REFUSED", "USAGE", "BLOCKED", "NOTHING_MATCHES", "INTERRUPTED"])
def test_exit_statuses_are_those_of_virtfn(name: str) -> None:
    assert getattr(statuses, name) == getattr(of_virtfn, name)


@pytest.mark.parametrize("stand", list(Stand))
def test_every_stand_has_an_exit_status_and_only_what_is_well_is_0(stand: Stand) -> None:
    assert (statuses.status_of(stand) == 0) == (stand in (Stand.READY, Stand.CHANGING))


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "completion"])
@pytest.mark.parametrize("option", ["--json", "--context", "--kubeconfig", "--color"])
def test_every_verb_has_the_options_of_all(ask: Ask, verb: str, option: str) -> None:
    assert option in ask("healthy", verb, "--help").out


@pytest.mark.parametrize(
    "words",
    [[], ["unknown"], ["why"], ["status", "--contex", "x"], ["topology"], ["rollout", "fast"], ["check", "-n", "a/b"]],
)
def test_mistakes_are_status_2(ask: Ask, words: list[str]) -> None:
    assert ask("healthy", *words).status == 2


@pytest.mark.parametrize("color", ["always", "never"])
def test_colour_is_as_asked(ask: Ask, color: str) -> None:
    for words in (["status"], ["why", "fast"], ["topology", "node-1"], ["rollout", "status", "fast"], ["nodes"]):
        assert ("\033[" in ask("failed", *words, "--color", color).out) == (color == "always")


def test_no_color_and_json_have_no_colour(ask: Ask) -> None:
    assert "\033[" not in ask("failed", "status", environ={"NO_COLOR": "1", "TERM": "xterm"}).out
    assert "\033[" not in ask("failed", "status", "--json", "--color", "always").out


ASK = """
source "$1"
COMP_LINE="$2"; read -r -a COMP_WORDS <<< "$2"; [[ "$2" == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
"$(complete -p kubectl-virtfn | sed 's/.*-F \\([^ ]*\\).*/\\1/')" 2>/dev/null
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("kubectl-virtfn top", {"topology"}),
        ("kubectl-virtfn rollout ", {"status"}),
        ("kubectl-virtfn status --js", {"--json"}),
        ("kubectl-virtfn status --color ne", {"never"}),
    ],
)
def test_a_real_bash_completes_with_the_script(ask: Ask, tmp_path: Path, line: str, words: set[str]) -> None:
    path = tmp_path / "completion"
    path.write_text(ask("healthy", "completion", "bash").out)
    done = subprocess.run(["bash", "-c", ASK, "bash", path, line], capture_output=True, text=True, check=True)
    assert words <= set(done.stdout.split())


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_a_script(ask: Ask, shell: str) -> None:
    answer = ask("healthy", "completion", shell)
    assert answer.status == 0
    assert "kubectl-virtfn" in answer.out

"""Every command that README and docs show: parsers, files, targets, resources and values that it names are there."""

import pytest
from doc_commands import CHECKED, NO_COMMANDS, UNCHECKED, Shown, doc_pages, shown, unknown_lines, wrong, wrong_setting

COMMANDS = tuple(shown(doc_pages()))
BY_PAGE = {page: [it for it in COMMANDS if it.page == page and it.words[0] in CHECKED] for page in doc_pages()}


@pytest.mark.parametrize("page", [page for page, commands in BY_PAGE.items() if commands])
def test_the_commands_of_a_page(page: str) -> None:
    assert [f"{command}: {text}" for command in BY_PAGE[page] if (text := wrong(command))] == []


def test_there_are_as_many_as_ever(capsys: pytest.CaptureFixture[str]) -> None:
    """If pages are read otherwise than before, commands get lost without a failure."""
    checked = sum(map(len, BY_PAGE.values()))
    whole = sum(command.whole for commands in BY_PAGE.values() for command in commands)
    with capsys.disabled():
        print(
            f"\n{checked} commands of the docs checked, {whole} of them whole; {len(COMMANDS) - checked} not", end=" "
        )
    assert checked >= 400
    assert whole >= 160


@pytest.mark.parametrize("program", ["virtfn", "kubectl", "helm", "make"])
def test_there_are_commands_of_each_program(program: str) -> None:
    assert sum(command.words[0] == program for command in COMMANDS) >= 5


def test_every_line_of_a_shell_block_is_a_command_that_is_named() -> None:
    assert unknown_lines(doc_pages()) == []


def test_every_program_that_is_not_checked_is_used() -> None:
    used = {command.words[0] for command in COMMANDS}
    assert [program for program in UNCHECKED if program not in used] == []


@pytest.mark.parametrize("text", NO_COMMANDS)
def test_every_text_that_is_no_command_is_there(text: str) -> None:
    assert any(text in " ".join(page.split()) for page in doc_pages().values())


@pytest.mark.parametrize(
    "text",
    [
        "virtfn lst",
        "virtfn plan",
        "virtfn plan -f p.yaml --force",
        "virtfn explain 3b:00",
        "virtfn import sriov file.json",
        "virtfn restore --everything",
        "kubectl virtfn whi policy/fast",
        "kubectl virtfn why",
        "kubectl virtfn list Node_1",
        "kubectl virtfn status --namespaces x",
        "kubectl-virtfn completion ksh",
        "kubectl aply -f examples/pod.yaml",
        "kubectl apply -f examples/pots.yaml",
        "kubectl get svq",
        "kubectl get svp,svx",
        "kubectl -n virtfn-system rollout status daemonsets.apps.x/virtfn-agent daemonst/virtfn-agent",
        "kubectl wait --for=condition=Ready svc-x/fast",
        "helm instal virtfn charts/virtfn",
        "helm install virtfn charts/virtn",
        "helm upgrade virtfn charts/virtfn --set metric.enabled=true",
        "helm upgrade virtfn charts/virtfn --set metrics.enabled=3",
        "make demos",
        "make images BASES=pinned",
        "make kubectl ARGS='get svq'",
    ],
)
@pytest.mark.parametrize("around", ["    {}\n", "    $ {}\n", "```sh\n{}\n```\n", "    {}      # what it does\n"])
def test_a_wrong_command_is_found(text: str, around: str) -> None:
    (command,) = shown({"page.md": f"Look:\n\n{around.format(text)}"})
    assert wrong(command)


@pytest.mark.parametrize(
    "text", ["virtfn plan", "kubectl virtfn why POLICY", "virtfn VERB --help", "virtfn explain ADDRESS", "make test"]
)
def test_within_text_a_command_may_lack_arguments(text: str) -> None:
    (command,) = shown({"page.md": f"Look at `{text}`.\n"})
    assert not command.whole
    assert wrong(command) == ""


@pytest.mark.parametrize(
    "text", ["virtfn plans", "virtfn plan --force", "kubectl virtfn whi", "make tests", "helm instal x"]
)
def test_within_text_a_wrong_word_is_found(text: str) -> None:
    (command,) = shown({"page.md": f"Look at `{text}`,\nthen go on.\n"})
    assert wrong(command)


def test_commands_of_a_pipe_and_a_loop_are_found_one_by_one() -> None:
    block = (
        "```sh\nfor x in a b; do\n  kubectl get svp |\n    virtfn import sno - > out.yaml && virtfn list\ndone\n```\n"
    )
    found = [command.words for command in shown({"page.md": block})]
    assert ("kubectl", "get", "svp") in found
    assert ("virtfn", "import", "sno", "-") in found
    assert ("virtfn", "list") in found


def test_output_is_no_command() -> None:
    text = "Look:\n\n    $ kubectl virtfn status\n    virtfn.dev/fast  2\n    # exit status 3\n    node virtfn 0.2.0\n"
    assert [command.words for command in shown({"page.md": text})] == [("kubectl", "virtfn", "status")]


@pytest.mark.parametrize(
    ("text", "fine"),
    [
        ("image.registry=registry.example/virtfn", True),
        ("resourceDomains={intel.com}", True),
        ("networkPolicy.apiServer.ports={16443}", True),
        ("metrics.enabled=true,metrics.rules.enabled=true", True),
        ("metrics.rules.labels.release=prometheus", True),
        ("image.registri=x", False),
        ("networkPolicy.apiServer.ports={many}", False),
        ("metrics.enabled=true,metrics.rule.enabled=true", False),
    ],
)
def test_a_setting_is_one_of_the_chart(text: str, fine: bool) -> None:
    assert (wrong_setting(text) == "") is fine


def test_a_command_says_where_it_stands() -> None:
    (command,) = shown({"a.md": "One.\n\n```sh\nmake test\n```\n"})
    assert str(command) == "a.md:4: make test"
    assert command == Shown(page="a.md", line=4, words=("make", "test"), whole=True)

"""README's quick start is the tutorial's, without the explanations."""

from doc_commands import ROOT, shown

README, TUTORIAL = (ROOT / "README.md").read_text(), (ROOT / "docs/tutorial.md").read_text()


def typed(text: str) -> list[str]:
    return [" ".join(command.words) for command in shown({"page.md": text}) if command.whole]


def use_it() -> list[str]:
    return typed("## " + README.split("\n## Use it\n")[1].split("\n## ")[0])


def test_each_command_is_in_the_tutorial_and_in_the_same_order() -> None:
    tutorial = iter(typed(TUTORIAL))
    missing = [command for command in use_it() if command not in tutorial]  # goes on behind the one before
    assert missing == []


def test_it_goes_from_the_check_to_everything_given_back() -> None:
    commands = use_it()
    assert len(commands) >= 12
    assert commands[0] == "kubectl virtfn check"
    assert commands[-2:] == ["kubectl delete svp fast", "helm uninstall virtfn --namespace virtfn-system"]


def test_what_is_applied_in_the_tutorial_is_taken_off_again() -> None:
    commands = typed(TUTORIAL)
    assert commands.index("kubectl apply -f examples/pod.yaml") < commands.index("kubectl delete -f examples/pod.yaml")
    assert commands.index("kubectl create namespace virtfn-system") < commands.index(
        "kubectl delete namespace virtfn-system"
    )
    assert [word for word in commands if word.startswith("helm ")][-1].startswith("helm uninstall virtfn ")

"""The help fits a terminal, says what each verb reads and writes, and lists every exit status."""

import pytest

from virtfn_host.cli.help import PROSE, STATUSES
from virtfn_host.cli.verbs import VERBS, run


@pytest.fixture
def helped(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> object:
    monkeypatch.setenv("COLUMNS", "80")

    def ask(*words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            run([*words, "--help"])
        assert ended.value.code == 0
        return capsys.readouterr().out

    return ask


def asked(helped: object, *words: str) -> str:
    assert callable(helped)
    text = helped(*words)
    assert isinstance(text, str)
    return text


@pytest.mark.parametrize("words", [[], *([verb] for verb in VERBS)])
def test_the_help_fits_80_columns_and_lists_every_status(helped: object, words: list[str]) -> None:
    text = asked(helped, *words)
    assert [line for line in text.splitlines() if len(line) > 80] == []
    assert all(f"  {line}" in text for line in STATUSES.splitlines())
    assert "examples:" in text


@pytest.mark.parametrize("verb", ["bind", "restore", "apply"])
def test_who_writes_says_where_and_under_which_lock(helped: object, verb: str) -> None:
    text = asked(helped, verb)
    assert "/var/lib/virtfn/journal.json" in text
    assert "locks the folder" in text
    assert "Needs\n  root" in text or "Needs root" in text


def test_every_verb_has_its_prose() -> None:
    assert set(PROSE) == set(VERBS)


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("virtfn ")

"""The images carry a time that is given or the last commit's; never the time of the build."""

import subprocess
from pathlib import Path

import pytest

from virtfn_release import images


def commit(folder: Path, seconds: int) -> None:
    when = {"GIT_AUTHOR_DATE": f"{seconds} +0000", "GIT_COMMITTER_DATE": f"{seconds} +0000", "HOME": str(folder)}
    who = ["-c", "user.name=n", "-c", "user.email=e@example.com"]
    for words in (["init", "--quiet"], [*who, "commit", "--quiet", "--allow-empty", "--message", "m"]):
        subprocess.run(["git", *words], cwd=folder, env=when | {"PATH": "/usr/bin:/bin"}, check=True)


def test_the_time_that_is_given_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(tmp_path, 1_700_000_000)
    monkeypatch.setattr(images, "repository", lambda: tmp_path)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1600000000")
    assert images.source_date_epoch() == 1_600_000_000


def test_else_the_last_commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit(tmp_path, 1_700_000_000)
    monkeypatch.setattr(images, "repository", lambda: tmp_path)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert images.source_date_epoch() == 1_700_000_000


def test_without_either_the_message_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "repository", lambda: tmp_path)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    with pytest.raises(images.NoTimeError, match="SOURCE_DATE_EPOCH"):
        images.source_date_epoch()


@pytest.mark.parametrize("text", ["", "now", "-1", "1.5", "²"])
def test_what_is_no_number_of_seconds_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", text)
    with pytest.raises(images.NoTimeError, match="SOURCE_DATE_EPOCH"):
        images.source_date_epoch()

"""A release is refused before anything is built: it was made already, is of another commit, or is not all committed."""

import subprocess
from pathlib import Path

import pytest

from virtfn_release.release import check, checked_registry
from virtfn_release.release_version import ReleaseError, read_version

VERSION = read_version("1.2.0-rc.1")


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=n", "-c", "user.email=e@example.com"]
    environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        ["git", *who, *words], cwd=folder, env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 1.1.0 (2026-01-02)\n\n- About 1.2.0-rc.1.\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--message", "m")
    return tmp_path


def test_what_is_released_is_the_commit(clone: Path) -> None:
    assert check(clone, VERSION, dirty=False) == git(clone, "rev-parse", "HEAD")


@pytest.mark.parametrize("name", ["CHANGELOG.md", "new"])
def test_what_is_not_committed_is_named_unless_it_is_wanted(clone: Path, name: str) -> None:
    with (clone / name).open("a") as file:
        file.write("more\n")
    with pytest.raises(ReleaseError, match=rf"(?s)not everything is committed.*DIRTY=1.*{name}"):
        check(clone, VERSION, dirty=False)
    assert check(clone, VERSION, dirty=True) == git(clone, "rev-parse", "HEAD") + "-dirty"


@pytest.mark.parametrize("heading", ["1.2.0-rc.1", "1.2.0rc1"])
def test_a_version_in_the_changelog_was_released(clone: Path, heading: str) -> None:
    with (clone / "CHANGELOG.md").open("a") as file:
        file.write(f"\n## {heading} (2026-02-03)\n")
    with pytest.raises(ReleaseError, match=r"has 1\.2\.0-rc\.1 already.*Take the next version"):
        check(clone, VERSION, dirty=True)


def test_its_tag_may_be_there_but_on_no_other_commit(clone: Path) -> None:
    git(clone, "tag", "v1.2.0-rc.1")
    check(clone, VERSION, dirty=False)
    git(clone, "commit", "--allow-empty", "--message", "m")
    with pytest.raises(ReleaseError, match=r"the tag v1\.2\.0-rc\.1 is on another commit"):
        check(clone, VERSION, dirty=False)


def test_without_git_nobody_knows_what_is_released(tmp_path: Path) -> None:
    (tmp_path / "CHANGELOG.md").touch()
    with pytest.raises(ReleaseError, match=r"not a git clone.*DIRTY=1"):
        check(tmp_path, VERSION, dirty=False)
    assert check(tmp_path, VERSION, dirty=True) == ""


@pytest.mark.parametrize("text", ["registry.example/virtfn", "127.0.0.1:5000/a/b-c/d_e", "ghcr.io/someone/virtfn/", ""])
def test_a_registry_is_host_and_path(text: str) -> None:
    assert checked_registry(text) == text.removesuffix("/")


@pytest.mark.parametrize(
    "text", ["https://registry.example/x", "registry.example", "host/Upper", "host//x", "host/x:1", "/x"]
)
def test_another_registry_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ReleaseError, match=r"like registry\.example/virtfn"):
        checked_registry(text)

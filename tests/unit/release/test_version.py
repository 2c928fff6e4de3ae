"""Our version comes from the tag, is the same when it is asked twice, and is there without git, too."""

import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.version import Version

from virtfn_lab.paths import repository
from virtfn_release import images

HATCH = tomllib.loads((repository() / "pyproject.toml").read_text())["tool"]["hatch"]
FALLBACK = HATCH["version"]["fallback-version"]


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with our settings, without git so far, and nobody who says its version."""
    shutil.copy(repository() / "pyproject.toml", tmp_path)
    monkeypatch.setattr(images, "repository", lambda: tmp_path)
    monkeypatch.delenv("SETUPTOOLS_SCM_PRETEND_VERSION", raising=False)
    return tmp_path


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=n", "-c", "user.email=e@example.com"]
    environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin"}
    subprocess.run(["git", *who, *words], cwd=folder, env=environment, check=True, capture_output=True)


def test_a_tag_is_the_version_and_commits_count_towards_the_next(copy: Path) -> None:
    git(copy, "init", "--quiet")
    git(copy, "add", "pyproject.toml")
    git(copy, "commit", "--message", "m")
    git(copy, "tag", "v1.2.3")
    assert images.version() == "1.2.3"
    git(copy, "commit", "--allow-empty", "--message", "m")
    assert images.version() == "1.2.4.dev1"
    (copy / "pyproject.toml").write_text((copy / "pyproject.toml").read_text() + "# not committed\n")
    assert images.version() == "1.2.4.dev1"


def test_without_git_it_is_the_fallback(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable is what the Dockerfile gives when nobody named a version."""
    monkeypatch.setenv("SETUPTOOLS_SCM_PRETEND_VERSION", "")
    assert images.version() == FALLBACK
    monkeypatch.setenv("SETUPTOOLS_SCM_PRETEND_VERSION", "1.2.3")
    assert images.version() == "1.2.3"


def test_the_chart_names_the_release_of_the_fallback() -> None:
    """Its appVersion is the tag of the images that it installs."""
    chart = yaml.safe_load((repository() / "charts/virtfn/Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == Version(FALLBACK).base_version

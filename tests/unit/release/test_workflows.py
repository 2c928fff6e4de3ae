"""GitHub's workflows only call make: what CI does, everybody can do. Actions are pinned to commits."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from virtfn_lab.paths import repository

ROOT = repository()
FILES = sorted((ROOT / ".github/workflows").glob("*.y*ml"))
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
each = pytest.mark.parametrize("file", FILES, ids=lambda path: path.name)


def jobs(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(file.read_text())["jobs"]
    return found


def steps(file: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for job in jobs(file).values():
        for step in job["steps"]:
            yield job, step


def commands(job: dict[str, Any], step: dict[str, Any]) -> Iterator[str]:
    """The command of a step, once for each value of the matrix that it names."""
    command = step["run"]
    names = re.findall(r"\$\{\{ matrix\.(\w+) \}\}", command)
    for value in job["strategy"]["matrix"][names[0]] if names else [""]:
        yield re.sub(r"\$\{\{ matrix\.\w+ \}\}", value, command)


def test_there_is_one_for_ci_and_one_for_releases() -> None:
    assert {"ci.yml", "release.yml"} <= {path.name for path in FILES}


@each
def test_every_command_is_a_target_of_make(file: Path) -> None:
    called = [command for job, step in steps(file) if "run" in step for command in commands(job, step)]
    assert called
    for command in called:
        assert re.fullmatch(r"(make|\.ci/run)( [a-z-]+)+", command), command
        assert set(command.split()[1:]) <= TARGETS, command


def test_ci_runs_all_that_make_test_runs() -> None:
    (needed,) = re.findall(r"^test: ([a-z ]+?) ##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    called = {c for job, step in steps(ROOT / ".github/workflows/ci.yml") if "run" in step for c in commands(job, step)}
    assert {f".ci/run {target}" for target in needed.split()} <= called


@each
def test_every_action_is_pinned_to_a_commit_and_says_its_version(file: Path) -> None:
    lines = [line for line in file.read_text().splitlines() if "uses:" in line]
    assert len(lines) == sum("uses" in step for _, step in steps(file))
    for line in lines:
        assert re.search(r"uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


@each
def test_a_job_may_write_only_what_it_says_and_leaves_no_token_in_the_checkout(file: Path) -> None:
    assert yaml.safe_load(file.read_text())["permissions"] == {"contents": "read"}
    for _, step in steps(file):
        if "actions/checkout@" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False


@each
def test_every_job_ends_some_day(file: Path) -> None:
    assert all(job["timeout-minutes"] <= 240 for job in jobs(file).values())


def test_what_a_release_is_told_is_documented() -> None:
    file = ROOT / ".github/workflows/release.yml"
    told = set(yaml.safe_load(file.read_text())["env"])
    for job, step in steps(file):
        told |= set(job.get("env", {})) | set(step.get("env", {}))
    text = (ROOT / "docs/releasing.md").read_text()
    assert {name for name in told if name not in text} == set()


@pytest.mark.parametrize(("words", "targets"), [((), "test"), (("lint",), "lint"), (("lint", "unit"), "lint unit")])
def test_ci_run_hands_its_targets_to_make(tmp_path: Path, words: tuple[str, ...], targets: str) -> None:
    make = tmp_path / "make"
    make.write_text('#!/bin/sh\necho "$PWD: $*"\n')
    make.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = [str(ROOT / ".ci/run"), *words]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"{ROOT}: {targets}\n"

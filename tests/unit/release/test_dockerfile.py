"""What the images' build may not do: take files by name only, or a base by a name that can move."""

import re

from virtfn_lab.paths import repository

TEXT = re.sub(r"^#.*\n", "", (repository() / "Dockerfile").read_text(), flags=re.MULTILINE)
COMMANDS = [" ".join(command.split()) for command in TEXT.replace("\\\n", " ").splitlines()]


def test_the_base_is_named_by_its_digest_and_can_be_another() -> None:
    assert re.search(r"^ARG BASE=\S+@sha256:[0-9a-f]{64}$", TEXT, re.MULTILINE)
    froms = [command.split()[1] for command in COMMANDS if command.startswith("FROM ")]
    stages = re.findall(r"^FROM \S+ AS (\S+)$", TEXT, re.MULTILINE)
    assert {each for each in froms if each not in stages} == {"${BASE}", "${RUNTIME}"}


def test_pip_takes_nothing_without_its_hash() -> None:
    """Only our own wheel has no hash before it is built; pip may then ask no index."""
    calls = re.findall(r"pip (?:\S+ \S+ )?(?:install|download|wheel) [^;&]*", " ".join(COMMANDS))
    assert len(calls) == 5
    for call in calls:
        of_ours = "--no-index" in call and "/wheels/virtfn" in call
        assert of_ours or "--require-hashes" in call or "$locked" in call, call
    (locked,) = re.findall(r'locked="([^"]*)"', " ".join(COMMANDS))
    assert {"--require-hashes", "--only-binary", "--no-deps"} <= set(locked.split())


def test_nothing_of_the_builder_stays_in_what_is_shipped() -> None:
    """Arguments and settings of the builder stand in the stage that builds, which no image contains."""
    building, shipped = TEXT.split("FROM ${RUNTIME} AS process")
    assert "PIP_" in building
    assert "PIP_" not in shipped
    copies = [line for line in shipped.splitlines() if line.startswith("COPY")]
    assert len(copies) == 5
    assert all(line.startswith("COPY --from=build /venvs/") for line in copies)


def test_our_wheel_is_told_its_version() -> None:
    """No git comes in. The argument stands after the downloads: another version does not repeat them."""
    building, _ = TEXT.split("FROM ${RUNTIME} AS process")
    downloads, ours = building.split("\nARG VERSION\n")
    assert 'RUN SETUPTOOLS_SCM_PRETEND_VERSION="$VERSION"' in ours
    assert "pip download" in downloads
    assert "pip download" not in ours


def test_compiled_code_is_told_by_its_source_not_by_a_time() -> None:
    assert "--no-compile" in TEXT
    assert "--invalidation-mode unchecked-hash" in TEXT
    assert "PYTHONHASHSEED=0" in TEXT


def test_the_context_has_what_is_copied_and_no_more() -> None:
    """.dockerignore keeps everything out but what it names; a folder that it forgets ends the build."""
    lines = (repository() / ".dockerignore").read_text().splitlines()
    assert lines[0] == "*"
    let_in = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copies = [line.split()[1:-1] for line in COMMANDS if line.startswith("COPY") and "--from=" not in line]
    assert let_in == {source.partition("/")[0] for sources in copies for source in sources}

"""What users are told of a release: each fragment in changes.d has a type, and towncrier makes notes of all of them."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from virtfn_lab.paths import repository

SETTINGS = tomllib.loads((repository() / "pyproject.toml").read_text())["tool"]["towncrier"]
TYPES = {each["directory"]: each["name"] for each in SETTINGS["type"]}
README = repository() / "changes.d/README.md"
FRAGMENTS = sorted(set((repository() / "changes.d").iterdir()) - {README})


def towncrier(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-m", "towncrier", "build", "--dir", str(folder), "--date", "2026-01-02", *words]
    return subprocess.run(call, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What towncrier reads, outside of the checkout: it writes, and takes fragments away."""
    for name in ("pyproject.toml", "CHANGELOG.md"):
        shutil.copy(repository() / name, tmp_path)
    shutil.copytree(repository() / "changes.d", tmp_path / "changes.d")
    return tmp_path


def test_every_fragment_has_a_known_type_and_says_something() -> None:
    name = re.compile(rf"[a-z0-9-]+\.({'|'.join(TYPES)})\.md")
    assert [path.name for path in FRAGMENTS if not name.fullmatch(path.name)] == []
    assert [path.name for path in FRAGMENTS if not path.read_text().strip()] == []


def test_links_lead_somewhere_from_the_root() -> None:
    links = [(path.name, link) for path in FRAGMENTS for link in re.findall(r"\]\(([^)#]+)", path.read_text())]
    assert [each for each in links if "://" not in each[1] and not (repository() / each[1]).exists()] == []


def test_the_readme_explains_the_types() -> None:
    assert re.findall(r"^\| `(\w+)` \|", README.read_text(), re.MULTILINE) == list(TYPES)


def test_the_draft_has_every_fragment_under_its_type_and_writes_nothing(copy: Path) -> None:
    (copy / "changes.d/of-a-test.security.md").write_text("A change of a test.\n")
    before = (copy / "CHANGELOG.md").read_bytes()
    done = towncrier(copy, "--draft", "--version", "1.2.3")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().startswith("## 1.2.3 (2026-01-02)\n")
    for path in FRAGMENTS:
        assert path.read_text().splitlines()[0] in done.stdout
    assert "- A change of a test.\n" in done.stdout[done.stdout.index("### Security\n") :]
    assert (copy / "CHANGELOG.md").read_bytes() == before


def test_a_release_stands_above_the_one_before_and_takes_its_fragments(copy: Path) -> None:
    for version in ("1.2.3", "1.2.4"):
        (copy / "changes.d/of-a-test.added.md").write_text(f"New in {version}.\n")
        done = towncrier(copy, "--yes", "--version", version)
        assert done.returncode == 0, done.stderr
        assert [path.name for path in (copy / "changes.d").iterdir()] == ["README.md"]
    text = (copy / "CHANGELOG.md").read_text()
    header, marker, older = (repository() / "CHANGELOG.md").read_text().partition(SETTINGS["start_string"])
    assert text.startswith(header + marker)
    assert text.endswith(older)
    assert text.index("New in 1.2.4.") < text.index("## 1.2.3 (2026-01-02)") < text.index("New in 1.2.3.")


def test_a_fragment_without_a_type_is_refused(copy: Path) -> None:
    (copy / "changes.d/what-is-it.md").write_text("Nobody knows.\n")
    done = towncrier(copy, "--draft", "--version", "1.2.3")
    assert done.returncode != 0
    assert "what-is-it.md" in done.stderr

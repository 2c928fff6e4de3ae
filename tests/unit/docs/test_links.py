"""Every link of the docs within the repository leads to a file, and to a heading of it."""

from pathlib import Path

import pytest

from virtfn_lab.paths import repository
from virtfn_release.site import broken, files, pages

GOOD = "# Start\n\n[a](docs/a.md#second-part), [b](https://b.example/x.md#y), [c](#start), [d](LICENSE), `[e](no.md)`\n"
PAGE = "# A\n\n## Second *part*\n\n[up](../README.md) ![p](p.svg) [deeper](sub/c.md)\n\n    [code](no.md)\n"


def test_no_link_is_broken() -> None:
    assert broken(repository()) == []


def test_pages_are_found() -> None:
    found = pages(repository())
    assert {"README.md", "docs/tutorial.md", "packaging/README.md", "SECURITY.md"} < found
    assert len(found) > 70


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A small repository without git."""
    for name, text in {
        "README.md": GOOD,
        "LICENSE": "",
        "other.md": "[x](no.md)",
        "docs/a.md": PAGE.replace("*", ""),
        "docs/p.svg": "<svg/>",
        "docs/sub/c.md": "# C\n\n## C\n\n[two](#c-1)\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_links_that_lead_somewhere(root: Path) -> None:
    assert broken(root) == []


def test_the_site_has_pages_pictures_and_what_is_linked_to_and_nothing_else(root: Path) -> None:
    assert files(root) == {"README.md", "LICENSE", "docs/a.md", "docs/p.svg", "docs/sub/c.md"}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("docs/a.md#second-part", "docs/b.md", "README.md:3: there is no file docs/b.md"),
        ("docs/a.md#second-part", "docs/a.md#third-part", "README.md:3: docs/a.md has no heading for #third-part"),
        ("docs/a.md#second-part", "docs", "README.md:3: there is no file docs"),
        ("(#start)", "(#end)", "README.md:3: README.md has no heading for #end"),
        ("(LICENSE)", "(../LICENSE)", "README.md:3: there is no file ../LICENSE"),
        ("(LICENSE)", "(COPYING)", "README.md:3: there is no file COPYING"),
    ],
)
def test_a_broken_link_is_told_with_its_line(root: Path, old: str, new: str, told: str) -> None:
    (root / "README.md").write_text(GOOD.replace(old, new))
    assert broken(root) == [told]


def test_a_page_that_only_a_page_links_to_is_looked_at_too(root: Path) -> None:
    (root / "README.md").write_text(f"{GOOD}\n[other](other.md)\n")
    assert broken(root) == ["other.md:1: there is no file no.md"]

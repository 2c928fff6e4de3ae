"""The site's description: every page of its navigation exists, and nothing comes from another host."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from virtfn_lab.paths import repository
from virtfn_release.site import BrokenLinkError, build, files, from_elsewhere, pages

ROOT = repository()
TEXT = (ROOT / "mkdocs.yml").read_text()
SITE: dict[str, Any] = yaml.safe_load(re.sub(r"!!python\S+ ", "", TEXT))


def navigation(entries: list[Any]) -> Iterator[str]:
    for entry in entries:
        for below in entry.values():
            yield from [below] if isinstance(below, str) else navigation(below)


def test_the_navigation_has_every_page_but_decisions_and_changes() -> None:
    listed = list(navigation(SITE["nav"]))
    assert len(listed) == len(set(listed))
    shown = {name for name in pages(ROOT) if not re.match(r"docs/decisions/\d|changes\.d/", name)}
    assert set(listed) == shown


def test_every_link_that_mkdocs_can_judge_is_a_warning_and_warnings_end_it() -> None:
    assert set(SITE["validation"].values()) == {"warn"}


def test_no_font_comes_from_elsewhere_and_its_own_files_are_there() -> None:
    assert SITE["theme"]["font"] is False
    assert {*SITE["extra_css"], SITE["theme"]["favicon"]} <= files(ROOT)


def test_a_broken_link_ends_it_before_mkdocs_starts(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("[x](no.md)\n")
    with pytest.raises(BrokenLinkError, match=r"README\.md:1: there is no file no\.md"):
        build(tmp_path)


@pytest.mark.parametrize(
    ("element", "found"),
    [
        ('<script src="https://x.example/a.js">', True),
        ("<link rel=stylesheet href=//x.example/a.css>", True),
        ('<img alt="" src="http://x.example/a.png">', True),
        ('<script src="assets/a.js">', False),
        ('<a href="https://x.example/">', False),
    ],
)
def test_what_a_page_loads_from_another_host_is_found(tmp_path: Path, element: str, found: bool) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/index.html").write_text(f"<html>{element}</html>")
    assert from_elsewhere(tmp_path) == ([f"a/index.html: {element}"] if found else [])

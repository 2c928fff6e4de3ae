"""The site's description: every page of its navigation exists, and nothing comes from another host."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from virtfn_lab.paths import repository
from virtfn_release.site import TOOLS, BrokenLinkError, build, files, pages

ROOT = repository()
TEXT = (ROOT / "mkdocs.yml").read_text()
SITE: dict[str, Any] = yaml.safe_load(re.sub(r"!!python\S+ ", "", TEXT))
OUTSIDE = re.compile(r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=\"?(?:https?:)?//[^>]*>")


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


@pytest.mark.timeout(300)
@pytest.mark.skipif(
    not (ROOT / TOOLS / "bin/mkdocs").exists(), reason="`make docs` installs MkDocs, and builds it strictly"
)
def test_the_site_is_built_and_its_pages_ask_no_other_host() -> None:
    html = sorted(build(ROOT).rglob("*.html"))
    assert len(html) > 70
    assert [(path.name, found) for path in html for found in OUTSIDE.findall(path.read_text())] == []

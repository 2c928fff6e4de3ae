"""The site of the docs: `make docs`.

MkDocs reads a copy of the pages, in the folders of the repository: README.md is the start page, and a link to a file
that is no page (an example, a source file) leads to a copy of that file. So every link that works in the repository
works on the site, too, and the site needs no other host. Nothing else of the repository is copied.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from posixpath import normpath

from virtfn_lab.run import run
from virtfn_release.markdown import anchors, links

START = "README.md"
STAGE, SITE, TOOLS = "dist/docs", "dist/site", "dist/docs-venv"
_OUTSIDE = re.compile(r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=\"?(?:https?:)?//[^>]*>")
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


class BrokenLinkError(Exception):
    """A link of a page leads nowhere. The message names page, line and link."""


class OtherHostError(Exception):
    """A page of the site takes something from another host. The message names pages and elements."""


def build(root: Path) -> Path:
    """Build the site of the repository at `root`; return its folder.

    Raises:
        BrokenLinkError: a link leads nowhere.
        CommandFailedError: MkDocs refuses the pages; it has said why.
        OtherHostError: a page would load something from another host.
    """
    if found := broken(root):
        raise BrokenLinkError("\n".join(found))
    stage = root / STAGE
    shutil.rmtree(stage, ignore_errors=True)
    for name in sorted(files(root)):
        (stage / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, stage / name)
    site = root / SITE
    run(
        [str(root / TOOLS / "bin/mkdocs"), "build", "--strict", "--clean", "--site-dir", str(site)],
        cwd=root,
        env={"NO_MKDOCS_2_WARNING": "1", "DISABLE_MKDOCS_2_WARNING": "true"},
        timeout=600,
    )
    if found := from_elsewhere(site):
        raise OtherHostError("\n".join(found))
    return site


def from_elsewhere(site: Path) -> list[str]:
    """Return a line for each element of a page that a browser would load from another host."""
    html = {path.relative_to(site): path.read_text() for path in sorted(site.rglob("*.html"))}
    return [f"{name}: {found}" for name, text in html.items() for found in _OUTSIDE.findall(text)]


def pages(root: Path) -> frozenset[str]:
    """Return the pages: the start page, those below docs/, and those that they link to, by path in the repository."""
    return frozenset(name for name in files(root) if name.endswith(".md"))


def files(root: Path) -> frozenset[str]:
    """Return all files of the site: pages, pictures, and files that pages link to; not those that are missing."""
    found: set[str] = set()
    ahead = [START, *_listed(root, "docs")]
    while ahead:
        name = ahead.pop()
        if name not in found and (root / name).is_file():
            found.add(name)
            if name.endswith(".md"):
                ahead += [target for _, target, _ in _targets(root, name)]
    return frozenset(found)


def broken(root: Path) -> list[str]:
    """Return a line for each link of a page that leads to no file, or to no heading of its page."""
    return sorted(line for name in pages(root) for line in _broken_in(root, name))


def _broken_in(root: Path, name: str) -> Iterator[str]:
    for line, target, anchor in _targets(root, name):
        if target.startswith("../") or not (root / target).is_file():
            yield f"{name}:{line}: there is no file {target}"
        elif anchor and target.endswith(".md") and anchor not in anchors((root / target).read_text()):
            yield f"{name}:{line}: {target} has no heading for #{anchor}"


def _targets(root: Path, name: str) -> Iterator[tuple[int, str, str]]:
    """Yield line, file and anchor of each link of a page that stays in the repository."""
    for link in links((root / name).read_text()):
        if _ELSEWHERE.match(link.target):
            continue
        path, _, anchor = link.target.partition("#")
        yield link.line, normpath(f"{Path(name).parent}/{path}") if path else name, anchor


def _listed(root: Path, folder: str) -> list[str]:
    """Return the files below a folder that belong to the repository: what git knows or would, else all of them."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", folder], cwd=root, capture_output=True, check=False
    )
    if listed.returncode == 0 and listed.stdout:
        return listed.stdout.decode().split()
    return [str(path.relative_to(root)) for path in (root / folder).rglob("*") if path.is_file()]

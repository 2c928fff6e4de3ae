"""A file of an image keeps each of its names and stays one file: a library in two files would be loaded twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from virtfn_lab.consumer_images import copy_with_its_name

REAL = "usr/lib/libx.so.1.0"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root as Debian lays it: /lib is a link, and so are most names of libraries."""
    made = tmp_path / "root"
    (made / "usr/lib/plugins").mkdir(parents=True)
    (made / REAL).write_text("code")
    (made / "usr/lib/libx.so.1").symlink_to("libx.so.1.0")
    (made / "usr/lib/plugins/libx.so.1").symlink_to("../libx.so.1")
    (made / "usr/lib/absolute.so.1").symlink_to("/lib/libx.so.1")
    (made / "lib").symlink_to("usr/lib")
    return made


@pytest.mark.parametrize(
    "path",
    [
        *(REAL, "usr/lib/libx.so.1", "usr/lib/plugins/libx.so.1", "usr/lib/absolute.so.1"),
        *("lib/libx.so.1", "lib/libx.so.1.0", "lib/absolute.so.1"),
    ],
)
def test_a_name_leads_to_the_one_file(root: Path, tmp_path: Path, path: str) -> None:
    tree = tmp_path / "tree"
    copy_with_its_name(f"/{path}", root, tree)
    assert (tree / REAL).read_text() == "code"
    assert [found for found in tree.rglob("*") if found.is_file() and not found.is_symlink()] == [tree / REAL]
    if path != REAL:
        assert (tree / path).readlink() == Path(f"/{REAL}")


def test_names_of_one_file_are_copied_one_after_the_other(root: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for path in ("/usr/lib/libx.so.1", "/usr/lib/plugins/libx.so.1", f"/{REAL}"):
        copy_with_its_name(path, root, tree)
    assert sum(found.is_symlink() for found in tree.rglob("*")) == 2
    assert (tree / REAL).read_text() == "code"

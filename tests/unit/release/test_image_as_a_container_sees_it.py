"""Files of an image are those of its last layer that has them, through whiteouts and links."""

from pathlib import Path

import pytest
from oci_archive import Layer, write_archive

from virtfn_release.archive import ArchiveError, Image, read_image


def image(folder: Path, *layers: Layer) -> Image:
    return read_image(write_archive(folder / "image.tar", layers, name="localhost/x:1"), lambda _: True)


def test_a_later_layer_replaces_a_file(tmp_path: Path) -> None:
    assert image(tmp_path, {"a/b": b"old"}, {"a": None, "./a/b": b"new"}).read("a/b") == b"new"


@pytest.mark.parametrize("whiteout", ["a/.wh.b", ".wh.a", "a/.wh..wh..opq"])
def test_what_a_layer_removes_is_gone(tmp_path: Path, whiteout: str) -> None:
    seen = image(tmp_path, {"a/b": b"old", "ab": b"stays"}, {whiteout: b""})
    assert seen.read("a/b") is None
    assert seen.read("ab") == b"stays"


def test_a_whiteout_spares_what_its_own_layer_brings(tmp_path: Path) -> None:
    seen = image(tmp_path, {"a/old": b"1"}, {"a/new": b"2", "a/.wh..wh..opq": b""})
    assert (seen.read("a/old"), seen.read("a/new")) == (None, b"2")


def test_a_folder_that_becomes_a_link_takes_its_files_with_it(tmp_path: Path) -> None:
    seen = image(tmp_path, {"doc/x/copyright": b"mine", "doc/y/copyright": b"yours"}, {"doc/x": "y"})
    assert seen.read("doc/x/copyright") == b"yours"


@pytest.mark.parametrize("target", ["../doc/y", "/doc/y", "./y", "/../doc/y"])
def test_links_of_folders_are_followed(tmp_path: Path, target: str) -> None:
    assert image(tmp_path, {"doc/y/copyright": b"yours", "doc/x": target}).read("doc/x/copyright") == b"yours"


def test_a_link_that_leads_to_itself_is_no_file(tmp_path: Path) -> None:
    seen = image(tmp_path, {"a": "b", "b": "a", "c": "c/c"})
    assert [seen.read(path) for path in ("a", "b", "c", "c/d")] == [None] * 4


@pytest.mark.parametrize("content", [b"", b"no archive", b"\0" * 10240])
def test_anything_else_is_no_archive(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "image.tar").write_bytes(content)
    with pytest.raises(ArchiveError, match=r"image\.tar"):
        read_image(tmp_path / "image.tar", lambda _: True)

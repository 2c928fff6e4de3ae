"""Reads files out of an OCI archive without unpacking it, as a container made of it would see them.

It knows layers, their whiteouts and symbolic links, and nothing of what the files mean.
"""

import json
import posixpath
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_LINKS_FOLLOWED = 8
"""More than any image of ours has; a loop ends here."""


class ArchiveError(Exception):
    """The file is no OCI archive of one image. The message names it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """What an image is called and says of itself, and those of its files that were asked for."""

    name: str
    digest: str
    """Of its manifest, `sha256:HEX`: what a registry calls it by."""
    created: datetime
    size: int
    """Bytes of its layers as they are transferred."""
    layers: tuple[str, ...]
    files: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)

    def read(self, path: str) -> bytes | None:
        """The content of a file by its path without the leading slash, through links; None when there is none."""
        for _ in range(_LINKS_FOLLOWED):
            if path in self.files:
                return self.files[path]
            link = next((each for each in _ancestors(path) if each in self.links), None)
            if link is None:
                return None
            target = posixpath.join("/", posixpath.dirname(link), self.links[link])
            path = posixpath.normpath(target + path.removeprefix(link)).lstrip("/")
        return None


def read_image(archive: Path, wanted: Callable[[str], bool]) -> Image:
    """The image in an archive with the files whose path, without a leading slash, is wanted; and all its links.

    Raises:
        ArchiveError: it is no OCI archive, or not of exactly one image.
    """
    try:
        with tarfile.open(archive) as blobs:
            return _read(blobs, wanted)
    except (tarfile.TarError, KeyError, ValueError) as error:
        raise ArchiveError(f"{archive} is no OCI archive of one image: {error}") from error


def _read(blobs: tarfile.TarFile, wanted: Callable[[str], bool]) -> Image:
    (entry,) = _json(blobs, "index.json")["manifests"]
    manifest = _json(blobs, _blob(entry["digest"]))
    config = _json(blobs, _blob(manifest["config"]["digest"]))
    image = Image(
        name=entry.get("annotations", {}).get("org.opencontainers.image.ref.name", ""),
        digest=entry["digest"],
        created=datetime.fromisoformat(config["created"]).astimezone(UTC),
        size=sum(layer["size"] for layer in manifest["layers"]),
        layers=tuple(layer["digest"] for layer in manifest["layers"]),
    )
    for layer in image.layers:
        with tarfile.open(fileobj=blobs.extractfile(_blob(layer))) as files:
            _add_layer(image, files, wanted)
    return image


def _add_layer(image: Image, layer: tarfile.TarFile, wanted: Callable[[str], bool]) -> None:
    """A layer's whiteouts speak of the layers below it only, so they come first."""
    members = [(posixpath.normpath(member.name).lstrip("/"), member) for member in layer]
    for path, _ in members:
        folder, name = posixpath.split(path)
        if name == _OPAQUE:
            _remove(image, folder, itself=False)
        elif name.startswith(_WHITEOUT):
            _remove(image, posixpath.join(folder, name.removeprefix(_WHITEOUT)), itself=True)
    for path, member in members:
        if not member.isdir():
            _remove(image, path, itself=True)
        if member.issym():
            image.links[path] = member.linkname
        elif wanted(path) and (file := layer.extractfile(member)) is not None:
            image.files[path] = file.read()


def _remove(image: Image, path: str, *, itself: bool) -> None:
    for known in (image.files, image.links):
        for each in [name for name in known if name.startswith(f"{path}/") or (itself and name == path)]:
            del known[each]


def _ancestors(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _json(blobs: tarfile.TarFile, name: str) -> Any:
    file = blobs.extractfile(name)
    if file is None:
        raise KeyError(name)
    return json.load(file)

"""Read files of an OCI archive without unpacking it, as a container of that image would see them.

It knows layers, whiteouts and symbolic links; what the files mean is the caller's business.
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
"""Links followed for one path: more than any image of ours needs, so a loop ends here."""


class ArchiveError(Exception):
    """The file is not an OCI archive of exactly one image. The message names the file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Image:
    """An image: its digest, its configuration, and those of its files that were asked for."""

    name: str
    digest: str
    """Digest of its manifest, `sha256:HEX`; a registry knows the image by it."""
    created: datetime
    size: int
    """Size of its compressed layers, in bytes."""
    layers: tuple[str, ...]
    files: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)

    def read(self, path: str) -> bytes | None:
        """Return a file's content by its path without leading slash, following links; None if it does not exist."""
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
    """Return the image in an archive, with its links and the files whose path (without leading slash) is wanted.

    Raises:
        ArchiveError: the file is not an OCI archive of exactly one image.
    """
    try:
        with tarfile.open(archive) as blobs:
            return _read(blobs, wanted)
    except (tarfile.TarError, KeyError, ValueError) as error:
        raise ArchiveError(f"{archive} is not an OCI archive of one image: {error}") from error


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
    """Apply one layer. Its whiteouts remove files of the layers below only, so they are applied first."""
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

"""Make a small OCI archive in memory: layers of files, links and whiteouts, as a builder writes them."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

Layer = Mapping[str, bytes | str | None]
"""Contents by path; a string is the target of a symbolic link, None makes a folder."""


def write_archive(path: Path, layers: Sequence[Layer], *, name: str, created: str = "2026-01-02T03:04:05Z") -> Path:
    """Write the archive of one image and return its path."""
    blobs: dict[str, bytes] = {}

    def blob(content: bytes) -> dict[str, object]:
        digest = hashlib.sha256(content).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = content
        return {"digest": f"sha256:{digest}", "size": len(content)}

    config = blob(json.dumps({"created": created}).encode())
    packed = [blob(gzip.compress(_tar(layer), mtime=0)) for layer in layers]
    manifest = blob(json.dumps({"config": config, "layers": packed}).encode())
    manifest["annotations"] = {"org.opencontainers.image.ref.name": name}
    blobs["index.json"] = json.dumps({"manifests": [manifest]}).encode()
    path.write_bytes(_tar(blobs))
    return path


def _tar(files: Layer) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            if content is None:
                member.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
            else:
                member.size = len(content)
            archive.addfile(member, io.BytesIO(content) if isinstance(content, bytes) else None)
    return buffer.getvalue()

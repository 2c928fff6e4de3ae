"""Make a small OCI archive in memory: layers of files, links and whiteouts, as a builder writes them."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

MEDIA = "application/vnd.oci.image"
Layer = Mapping[str, bytes | str | None]
"""Contents by path; a string is the target of a symbolic link, None makes a folder."""


def write_archive(path: Path, layers: Sequence[Layer], *, name: str, created: str = "2026-01-02T03:04:05Z") -> Path:
    """Write the archive of one image and return its path."""
    blobs: dict[str, bytes] = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}

    def blob(kind: str, content: bytes) -> dict[str, object]:
        digest = hashlib.sha256(content).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = content
        return {"mediaType": f"{MEDIA}.{kind}", "digest": f"sha256:{digest}", "size": len(content)}

    packed = [_tar(layer) for layer in layers]
    root = {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in packed]}
    about = {"created": created, "architecture": "amd64", "os": "linux", "config": {}, "rootfs": root}
    config = blob("config.v1+json", json.dumps(about).encode())
    written = [blob("layer.v1.tar+gzip", gzip.compress(layer, mtime=0)) for layer in packed]
    image = {"schemaVersion": 2, "mediaType": f"{MEDIA}.manifest.v1+json", "config": config, "layers": written}
    manifest = blob("manifest.v1+json", json.dumps(image).encode())
    manifest["annotations"] = {"org.opencontainers.image.ref.name": name}
    blobs["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [manifest]}).encode()
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

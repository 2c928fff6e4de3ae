"""`kubectl-virtfn`: the plugin in one file that Python runs (a zipapp), its archive for krew, and krew's manifest.

Two builds of the same source are the same bytes, as in `boot_archive.py`, whose rules hold here, too.
"""

import hashlib
import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from virtfn_release.boot_archive import TIME, main_of, metadata, write_zipapp

PROGRAM = "kubectl-virtfn"
DECIDING = (
    "__init__",
    "decide",
    "evict",
    "merge",
    "remembered",
    "rollout",
    "seats",
    "see",
    "status",
    "tainted",
    "turns",
)
"""What the controller decides by; `plan` decides by the same."""
ROOTS: Mapping[str, tuple[str, ...]] = {
    "kubectl": ("virtfn_kubectl/**/*.py",),
    "operator": (
        "virtfn_operator/__init__.py",
        "virtfn_operator/api/*.py",
        *(f"virtfn_operator/controller/{name}.py" for name in DECIDING),
    ),
    "host": (
        "virtfn_host/__init__.py",
        "virtfn_host/core/**/*.py",
        "virtfn_host/cli/__init__.py",
        "virtfn_host/cli/paint.py",
        "virtfn_host/cli/parser.py",
        "virtfn_host/cli/prose.py",
    ),
}
"""By source root, the modules that the plugin may import: what its import contract in pyproject.toml allows."""
MAIN = main_of("virtfn_kubectl.verbs", "kubectl virtfn", "docs/kubectl.md")
TEMPLATE = "packaging/krew/virtfn.yaml"
NOWHERE = "https://example.invalid/virtfn"
"""The URL in a manifest that nobody has published."""


def contents(root: Path, version: str) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of every file of the zipapp, sorted by name.

    Raises:
        OSError: a file cannot be read.
    """
    found = {
        path.relative_to(root / source).as_posix(): path.read_bytes()
        for source, patterns in ROOTS.items()
        for pattern in patterns
        for path in (root / source).glob(pattern)
    }
    found["__main__.py"] = MAIN.encode()
    found |= metadata(version)
    yield from sorted(found.items())


def write(folder: Path, root: Path, version: str, base: str = NOWHERE, krew: str = "") -> dict[str, str]:
    """Write program, archive and manifest into a folder; return their digests, `sha256:HEX`, by name.

    Args:
        version: what the program says of itself.
        base: URL of the folder that the archive is published in.
        krew: the same version as krew wants it, a semantic one; empty: `version`.

    Raises:
        OSError: a file cannot be read or written.
    """
    program = folder / PROGRAM
    digests = {PROGRAM: write_zipapp(program, contents(root, version))}
    archive = _zip({PROGRAM: (program.read_bytes(), 0o755), "LICENSE": ((root / "LICENSE").read_bytes(), 0o644)})
    (folder / f"{PROGRAM}.zip").write_bytes(archive)
    filled = manifest((root / TEMPLATE).read_text(), krew or version, hashlib.sha256(archive).hexdigest(), base)
    (folder / "virtfn.yaml").write_text(filled)
    found = {f"{PROGRAM}.zip": archive, "virtfn.yaml": filled.encode()}
    return digests | {name: f"sha256:{hashlib.sha256(data).hexdigest()}" for name, data in found.items()}


def _zip(files: Mapping[str, tuple[bytes, int]]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as parts:
        for name, (data, mode) in files.items():
            entry = zipfile.ZipInfo(name, TIME)
            entry.create_system = 3  # Unix, so that the program stays executable
            entry.external_attr = (0o100000 | mode) << 16
            parts.writestr(entry, data)
    return made.getvalue()


def manifest(template: str, version: str, digest: str, base: str) -> str:
    """Return the manifest, filled in, without the comment that explains the template."""
    lines = [line for line in template.splitlines(keepends=True) if not line.startswith("#")]
    return "".join(lines).replace("@VERSION@", version).replace("@SHA256@", digest).replace("@BASE@", base)

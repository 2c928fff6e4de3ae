"""`make release`: everything that users get of one version, in one flat folder, with a list of it.

It checks first and writes last: the folder appears whole, by one rename. The same commit and version give the same
bytes: times are the commit's, and no order depends on the machine.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from virtfn_lab.images import PROCESSES
from virtfn_lab.progress import step
from virtfn_lab.run import run
from virtfn_release import boot_archive, chart_package, kubectl_archive
from virtfn_release.contents import OURS, Contents, read_locked
from virtfn_release.release_version import ReleaseError, ReleaseVersion
from virtfn_release.sbom import bill

LIST = "artefacts.json"
SUMS = "SHA256SUMS"
NOTES = "notes.md"
INSTALL = "install.yaml"
CRDS = "crds.yaml"

_HEADING = re.compile(r"^## (\S+)", re.MULTILINE)
_REGISTRY = re.compile(r"[A-Za-z0-9.-]+(?::[0-9]+)?(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a release is made from."""

    root: Path
    """The repository."""
    version: ReleaseVersion
    time: int
    """Of everything in the release, in seconds since 1970."""
    commit: str
    """What `check` returns."""
    registry: str
    """`host/path` where images and chart will be pushed; empty: not known yet."""
    base: str
    """URL of the folder where the files will be published, for krew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artefact:
    """One file of a release."""

    name: str
    kind: str
    sha256: str
    """Of the file, 64 hexadecimal digits."""
    size: int
    """In bytes."""
    image: str | None = None
    """For an image, the digest by which registries know it, `sha256:HEX`."""


def folder(root: Path) -> Path:
    """Return the folder of the release of a repository."""
    return root / "dist/release"


def checked_registry(text: str) -> str:
    """Return a registry without a slash at its end.

    Raises:
        ReleaseError: it is not `host/path`, or empty.
    """
    stripped = text.removesuffix("/")
    if stripped and not _REGISTRY.fullmatch(stripped):
        raise ReleaseError(
            f"REGISTRY={text} is not host/path in lower case, without https://, like registry.example/virtfn"
        )
    return stripped


def check(root: Path, version: ReleaseVersion, *, dirty: bool) -> str:
    """Return the hash of the commit that is released, with `-dirty` if more is than it has; empty without git.

    Args:
        dirty: also release what is not committed.

    Raises:
        ReleaseError: this version was released, or is the tag of another commit; or something is not committed.
    """
    spellings = {version.python, version.semantic}
    if spellings & set(_HEADING.findall((root / "CHANGELOG.md").read_text())):
        raise ReleaseError(
            f"CHANGELOG.md has {version.semantic} already: it was released. Take the next version; to build the old"
            f" one again, check out its tag v{version.semantic}"
        )
    changed = _git(root, "status", "--porcelain")
    if changed is None:
        if not dirty:
            raise ReleaseError(
                "this is not a git clone, so nobody knows what would be released; DIRTY=1 does it anyway"
            )
        return ""
    if changed and not dirty:
        names = "\n".join(changed.splitlines()[:10])
        raise ReleaseError(f"not everything is committed; commit it, or release it anyway with DIRTY=1:\n{names}")
    commit = (_git(root, "rev-parse", "HEAD") or "").strip() + ("-dirty" if changed else "")
    tagged = (_git(root, "rev-parse", "--verify", "--quiet", f"v{version.semantic}^{{commit}}") or "").strip()
    if tagged and tagged != commit.removesuffix("-dirty"):
        raise ReleaseError(f"the tag v{version.semantic} is on another commit ({tagged[:12]}); check that out")
    return commit


def _git(root: Path, *words: str) -> str | None:
    """Return what git prints; None if it refuses, or if `root` is no clone."""
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else None


def make(source: Source, helm: Path, archives: Mapping[str, Path]) -> tuple[Artefact, ...]:
    """Write the release into `folder(source.root)` in place of an older one; return its files, sorted by name.

    Args:
        archives: the OCI archive of each process's image.

    Raises:
        ReleaseError: an image is of another version, or the chart's values have no place for its digest.
        ArchiveError: an archive is not one of our images.
        CommandFailedError: a program failed.
    """
    target = folder(source.root)
    target.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix="release-", dir=target.parent))
    try:
        artefacts = _make(source, helm, archives, made)
        made.chmod(0o755)
        shutil.rmtree(target, ignore_errors=True)
        made.rename(target)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    return artefacts


def _make(source: Source, helm: Path, archives: Mapping[str, Path], into: Path) -> tuple[Artefact, ...]:
    semantic = source.version.semantic
    with step("images and their bills of materials"):
        digests = _images(source, archives, into)
    with step("wheel and sdist"):
        _python(source, into)
    with step("programs in one file"):
        boot_archive.write(into / "virtfn.pyz", source.root / "host", source.version.python)
        kubectl_archive.write(into, source.root, source.version.python, source.base, krew=semantic)
    with step("chart and manifests"):
        about = chart_package.About(version=semantic, registry=source.registry, digests=digests, time=source.time)
        chart = chart_package.package(source.root, into, helm, about)
        (into / CRDS).write_text(chart_package.crds(source.root))
        (into / INSTALL).write_text(chart_package.install_manifest(helm, chart, about))
    (into / NOTES).write_text(notes(source))
    artefacts = described(into, digests)
    (into / LIST).write_text(listed(source, artefacts))
    (into / SUMS).write_text(sums([*artefacts, _described(into / LIST, {})]))
    for path in into.iterdir():
        # Helm writes this time into what it pushes, so that a chart pushed twice has one digest.
        os.utime(path, (source.time, source.time))
    return artefacts


def _images(source: Source, archives: Mapping[str, Path], into: Path) -> dict[str, str]:
    if missing := [str(path) for path in archives.values() if not path.exists()]:
        raise ReleaseError(f"there are no archives {', '.join(missing)}; leave IMAGES out to build them")
    digests = {}
    for process in PROCESSES:
        contents = read_locked(process, archives[process])
        _expect_version(process, contents, source.version.python)
        stem = f"{OURS}-{process}-{source.version.semantic}"
        settle(archives[process], into / f"{stem}.oci.tar", source.time)
        (into / f"{stem}.cdx.json").write_text(bill(contents))
        digests[process] = contents.image.digest
    return digests


def _expect_version(process: str, contents: Contents, version: str) -> None:
    found = [each.version for each in contents.distributions if each.name == OURS]
    if found != [version]:
        raise ReleaseError(f"the image of {process} has {OURS} {', '.join(found) or 'nowhere'}, not {version}")


def settle(archive: Path, into: Path, time: int) -> None:
    """Copy an OCI archive with the same blobs, but in the order of their names and with this time and no owner."""
    with tarfile.open(archive) as given, tarfile.open(into, "w", format=tarfile.USTAR_FORMAT) as taken:
        for member in sorted(given.getmembers(), key=lambda each: each.name):
            member.mtime = time
            member.mode = 0o755 if member.isdir() else 0o644
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.pax_headers = {}
            taken.addfile(member, given.extractfile(member) if member.isfile() else None)


def _python(source: Source, into: Path) -> None:
    words = [sys.executable, "-m", "hatchling", "build", "--directory", str(into)]
    words += ["--target", "wheel", "--target", "sdist"]
    settings = {"SETUPTOOLS_SCM_PRETEND_VERSION": source.version.python, "SOURCE_DATE_EPOCH": str(source.time)}
    run(words, cwd=source.root, env=settings)


def notes(source: Source) -> str:
    """Return the section of the changelog that this release will have.

    Raises:
        CommandFailedError: towncrier refuses a fragment.
    """
    day = datetime.fromtimestamp(source.time, UTC).date().isoformat()
    words = ["--draft", "--version", source.version.semantic, "--date", day, "--dir", str(source.root)]
    return run([sys.executable, "-m", "towncrier", "build", *words], cwd=source.root).strip() + "\n"


def described(made: Path, digests: Mapping[str, str]) -> tuple[Artefact, ...]:
    """Return the files of a folder, sorted by name.

    Args:
        digests: the digest of each process's image, for those that are in the folder.
    """
    return tuple(_described(path, digests) for path in sorted(made.iterdir()))


def _described(path: Path, digests: Mapping[str, str]) -> Artefact:
    content = path.read_bytes()
    kind = _kind(path.name)
    process = path.name.split("-")[1] if kind == "image" else None
    return Artefact(
        name=path.name,
        kind=kind,
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        image=digests[process] if process else None,
    )


def _kind(name: str) -> str:
    by_end = {
        ".whl": "wheel",
        ".tar.gz": "sdist",
        ".oci.tar": "image",
        ".tgz": "chart",
        ".cdx.json": "bill of materials",
        ".pyz": "boot archive",
        INSTALL: "manifests",
        CRDS: "CRDs",
        NOTES: "release notes",
        LIST: "list",
        "virtfn.yaml": "krew manifest",
        "kubectl-virtfn.zip": "krew archive",
        "kubectl-virtfn": "kubectl plugin",
    }
    return next(kind for end, kind in by_end.items() if name.endswith(end))


def listed(source: Source, artefacts: Sequence[Artefact]) -> str:
    """Return the list of a release's files as JSON."""
    about = {"version": source.version.semantic, "commit": source.commit, "time": source.time}
    about |= {"registry": source.registry}
    files = [{name: value for name, value in asdict(each).items() if value is not None} for each in artefacts]
    return json.dumps(about | {"artefacts": files}, indent=1) + "\n"


def sums(artefacts: Sequence[Artefact]) -> str:
    """Return the file that `sha256sum --check` reads."""
    return "".join(f"{each.sha256}  {each.name}\n" for each in artefacts)


def table(artefacts: Sequence[Artefact]) -> Iterator[str]:
    """Yield the lines that people read: each file with its digest, then each image with the one that registries use."""
    width = max(len(each.name) for each in artefacts)
    for each in artefacts:
        yield f"{each.name:<{width}} {each.kind:<17} {each.size:>11,} {each.sha256}"
    yield ""
    for each in artefacts:
        if each.image:
            yield f"{each.name:<{width}} in a registry     {each.image}"

"""`python -m virtfn_release VERB`: the targets of the Makefile of these names."""

import argparse
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from virtfn_lab import go_tools
from virtfn_lab.images import PROCESSES
from virtfn_lab.paths import repository
from virtfn_lab.prereqs import MissingProgramsError
from virtfn_lab.progress import say
from virtfn_lab.run import CommandFailedError
from virtfn_release import boot_archive, images, kubectl_archive, release, relock
from virtfn_release.archive import ArchiveError
from virtfn_release.contents import Contents, read_locked
from virtfn_release.dashboard_picture import PICTURE, write_picture
from virtfn_release.licences import PAGE, write_page
from virtfn_release.push import Registry, push
from virtfn_release.release_version import ReleaseError, read_version
from virtfn_release.sbom import bill

MIB = 1024 * 1024


def main() -> int:
    """Run one verb; return the exit status."""
    parser = argparse.ArgumentParser(prog="virtfn_release", description="What we ship, and how it can be checked.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    lock = verbs.add_parser("lock", help="write the lock files from pyproject.toml")
    lock.add_argument("--upgrade", action="store_true", help="take the newest versions, else keep pins that fit")
    verbs.add_parser("dashboard", help=f"draw {PICTURE}, the chart's dashboard with recorded data")
    verbs.add_parser(
        "archive", help="write dist/virtfn.pyz, which the boot unit runs, and kubectl-virtfn with its krew manifest"
    )
    for name, text in (
        ("images", "build the images into dist/images"),
        ("sbom", "write dist/sbom from dist/images, which is built if missing"),
        ("licences", f"write {PAGE} from dist/images, likewise"),
    ):
        verb = verbs.add_parser(name, help=text)
        verb.add_argument("--base", default="", help=f"base image, or `{images.PINNED}`; absent: Debian's packages")
    made = verbs.add_parser("release", help="write dist/release: everything that users get of one version")
    made.add_argument("--version", default="", help="1.2.3, or a pre-release like 1.2.3-rc.1")
    made.add_argument("--registry", default="", help="host/path where images and chart will be pushed")
    made.add_argument("--base", default="", help=f"base image, or `{images.PINNED}`; absent: Debian's packages")
    made.add_argument("--images", type=Path, help="folder of the images' archives; absent: they are built")
    made.add_argument("--dirty", action="store_true", help="also release what is not committed")
    pushed = verbs.add_parser("push", help="push images and chart of dist/release, and print each reference by digest")
    pushed.add_argument("--registry", default="", help="host/path")
    pushed.add_argument("--plain-http", action="store_true", help="without TLS, for a registry on this machine")
    options = parser.parse_args()
    try:
        _run(options)
    except (ArchiveError, CommandFailedError, MissingProgramsError, ReleaseError, images.NoTimeError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _run(options: argparse.Namespace) -> None:
    match options.verb:
        case "lock":
            relock.relock(upgrade=options.upgrade)
        case "dashboard":
            say(f"wrote {write_picture()}")
        case "archive":
            _archives(repository() / "dist", images.version(), os.environ.get("BASE_URL") or kubectl_archive.NOWHERE)
        case "release":
            _release(options)
        case "push":
            _push(options)
        case "images":
            for process, image in images.build(options.base).items():
                print(f"{process:<13} {image.digest} {image.size / MIB:6.1f} MiB compressed")
        case "sbom":
            _write_bills(options.base)
        case _:
            say(f"wrote {write_page(_contents(options.base))}")


def _archives(folder: Path, version: str, base: str) -> None:
    digests = {"virtfn.pyz": boot_archive.write(folder / "virtfn.pyz", repository() / "host", version)}
    for name, digest in (digests | kubectl_archive.write(folder, repository(), version, base)).items():
        print(f"{(folder / name).relative_to(repository())} {digest}")


def _write_bills(base: str) -> None:
    folder = repository() / "dist/sbom"
    folder.mkdir(parents=True, exist_ok=True)
    for process, contents in _contents(base):
        path = folder / f"{process}.cdx.json"
        path.write_text(bill(contents))
        parts = f"{len(contents.distributions)} distributions, {len(contents.packages)} packages"
        print(f"{path.relative_to(repository())}: {parts}")


def _contents(base: str) -> Iterator[tuple[str, Contents]]:
    archives = {process: images.folder() / f"{process}.tar" for process in PROCESSES}
    if not all(archive.exists() for archive in archives.values()):
        images.build(base)
    for process, archive in archives.items():
        yield process, read_locked(process, archive)


def _release(options: argparse.Namespace) -> None:
    root = repository()
    version = read_version(options.version)
    source = release.Source(
        root=root,
        version=version,
        commit=release.check(root, version, dirty=options.dirty),
        time=images.source_date_epoch(),
        registry=release.checked_registry(options.registry),
        base=os.environ.get("BASE_URL") or kubectl_archive.NOWHERE,
    )
    helm = _helm()
    if options.images is None:
        images.build(options.base, version.python, version.semantic)
    folder = options.images or images.folder()
    artefacts = release.make(source, helm, {process: folder / f"{process}.tar" for process in PROCESSES})
    for line in release.table(artefacts):
        print(line)
    if not source.registry:
        say("REGISTRY is not set: chart and install.yaml do not say where the images are")
    say(f"wrote {release.folder(root).relative_to(root)}; then: make push REGISTRY=host/path")


def _push(options: argparse.Namespace) -> None:
    name = release.checked_registry(options.registry)
    if not name:
        raise ReleaseError("REGISTRY is not set. Say where to push: make push REGISTRY=registry.example/virtfn")
    user, password = (os.environ.get(f"REGISTRY_{what}", "") for what in ("USER", "PASSWORD"))
    registry = Registry(name=name, plain_http=options.plain_http, user=user, password=password)
    for what, reference in push(release.folder(repository()), registry, _helm()).items():
        print(f"{what:<13} {reference}")


def _helm() -> Path:
    """Return the Helm that the environment names, else the lab's, whose version is locked.

    Raises:
        ReleaseError: there is none, and it cannot be built here.
    """
    if named := os.environ.get("HELM"):
        if (found := shutil.which(named)) is None:
            raise ReleaseError(f"HELM={named} is not a program; leave HELM out for the Helm that the lab builds")
        return Path(found)
    try:
        return go_tools.helm()
    except CommandFailedError as error:
        raise ReleaseError(
            f"a release needs Helm, and it cannot be built here: {error}\nOr name one: HELM=/path/to/helm"
        ) from error


if __name__ == "__main__":
    sys.exit(main())

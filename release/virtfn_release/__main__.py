"""`python -m virtfn_release VERB`: the targets of the Makefile of these names."""

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from virtfn_lab.images import PROCESSES
from virtfn_lab.paths import repository
from virtfn_lab.prereqs import MissingProgramsError
from virtfn_lab.progress import say
from virtfn_lab.run import CommandFailedError
from virtfn_release import boot_archive, images, kubectl_archive, locks, relock
from virtfn_release.archive import ArchiveError
from virtfn_release.contents import Contents, not_locked, read_contents
from virtfn_release.dashboard_picture import PICTURE, write_picture
from virtfn_release.licences import PAGE, write_page
from virtfn_release.locks import FOLDER
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
    options = parser.parse_args()
    try:
        _run(options)
    except (ArchiveError, CommandFailedError, MissingProgramsError, images.NoTimeError) as error:
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
        contents = read_contents(archive)
        if strangers := not_locked(locks.pins(process), contents.distributions):
            names = ", ".join(strangers)
            raise ArchiveError(f"{archive} has what {FOLDER}/{process}.txt does not lock: {names}; `make images` first")
        yield process, contents


if __name__ == "__main__":
    sys.exit(main())

"""`python -m virtfn_release lock | images | sbom | licences`: what the Makefile's targets of these names call."""

import argparse
import sys
from collections.abc import Iterator

from virtfn_lab.images import PROCESSES
from virtfn_lab.paths import repository
from virtfn_lab.prereqs import MissingProgramsError
from virtfn_lab.progress import say
from virtfn_lab.run import CommandFailedError
from virtfn_release import images, relock
from virtfn_release.archive import ArchiveError
from virtfn_release.contents import Contents, read_contents
from virtfn_release.licences import write_page
from virtfn_release.sbom import bill

MIB = 1024 * 1024


def main() -> int:
    """Exit status."""
    parser = argparse.ArgumentParser(prog="virtfn_release", description="What we ship, and how it can be checked.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    lock = verbs.add_parser("lock", help="write the lock files from pyproject.toml")
    lock.add_argument("--upgrade", action="store_true", help="to the newest versions; without it, pins that fit stay")
    build = verbs.add_parser("images", help="build the images into dist/images")
    build.add_argument(
        "--base", default="", help=f"base image, or `{images.PINNED}`; absent: made of Debian's packages"
    )
    verbs.add_parser("sbom", help="write dist/sbom from dist/images")
    verbs.add_parser("licences", help="write docs/licences.md from dist/images")
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
        case "images":
            for process, image in images.build(options.base).items():
                print(f"{process:<13} {image.digest} {image.size / MIB:6.1f} MiB compressed")
        case "sbom":
            _write_bills()
        case _:
            say(f"wrote {write_page(_contents())}")


def _write_bills() -> None:
    folder = repository() / "dist/sbom"
    folder.mkdir(parents=True, exist_ok=True)
    for process, contents in _contents():
        path = folder / f"{process}.cdx.json"
        path.write_text(bill(contents))
        parts = f"{len(contents.distributions)} distributions, {len(contents.packages)} packages"
        print(f"{path.relative_to(repository())}: {parts}")


def _contents() -> Iterator[tuple[str, Contents]]:
    archives = {process: images.folder() / f"{process}.tar" for process in PROCESSES}
    if not all(archive.exists() for archive in archives.values()):
        images.build("")
    for process, archive in archives.items():
        yield process, read_contents(archive)


if __name__ == "__main__":
    sys.exit(main())

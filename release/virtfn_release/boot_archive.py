"""`virtfn.pyz`: the host library in one file that a node's own Python runs (a zipapp), for the boot unit.

    python3 boot_archive.py --host host --version 1.2.3 dist/virtfn.pyz

Two builds of the same source are the same bytes: names are sorted, times fixed, and nothing is compressed, because zlib
differs from version to version. Standard library only, because the image's build runs it, too.
"""

import argparse
import hashlib
import sys
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

LEAST = (3, 11)
"""The oldest Python that can run the library; `requires-python` in pyproject.toml."""

TIME = (1980, 1, 1, 0, 0, 0)
"""The time of every file in the archive: the earliest that a zip file can have."""

SHEBANG = b"#!/usr/bin/env python3\n"


def main_of(module: str, program: str, page: str) -> str:
    """Return the `__main__.py` that runs a module's `main`, and refuses an older Python in one line."""
    return f"""\
# For every Python, also for those that cannot run the rest: nothing newer than its first words may be here.
import sys

if sys.version_info < {LEAST}:
    sys.stderr.write(
        "{program}: needs Python {LEAST[0]}.{LEAST[1]} or newer, and %s is %d.%d; see {page} of virtfn\\n"
        % (sys.executable or "this", sys.version_info[0], sys.version_info[1])
    )
    sys.exit(1)

from {module} import main

main()
"""


MAIN = main_of("virtfn_host.cli.verbs", "virtfn", "packaging/README.md")


def fallback(project: Path) -> str:
    """Return the version of a checkout without git.

    Raises:
        OSError: the file cannot be read.
    """
    settings = tomllib.loads(project.read_text())
    return str(settings["tool"]["hatch"]["version"]["fallback-version"])


def contents(host: Path, version: str) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of every file of the archive, sorted by name.

    Args:
        host: the folder of the package virtfn_host.
        version: what `virtfn --version` prints.

    Raises:
        FileNotFoundError: the package is not there.
    """
    sources = {path.relative_to(host).as_posix(): path for path in (host / "virtfn_host").rglob("*.py")}
    if "virtfn_host/cli/verbs.py" not in sources:
        raise FileNotFoundError(f"there is no virtfn_host in {host}")
    found = {name: path.read_bytes() for name, path in sources.items()}
    found["__main__.py"] = MAIN.encode()
    found |= metadata(version)
    yield from sorted(found.items())


def metadata(version: str) -> dict[str, bytes]:
    """Return the file that tells the version."""
    text = f"Metadata-Version: 2.1\nName: virtfn\nVersion: {version}\n"
    return {f"virtfn-{version}.dist-info/METADATA": text.encode()}


def write(archive: Path, host: Path, version: str) -> str:
    """Write the archive; return its digest, `sha256:HEX`.

    Raises:
        OSError: a file cannot be read or written.
    """
    return write_zipapp(archive, contents(host, version))


def write_zipapp(archive: Path, files: Iterable[tuple[str, bytes]]) -> str:
    """Write files as a program that Python runs; return its digest, `sha256:HEX`.

    Raises:
        OSError: it cannot be written.
    """
    archive.parent.mkdir(parents=True, exist_ok=True)
    with archive.open("wb") as file:
        file.write(SHEBANG)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as parts:
            for name, data in files:
                entry = zipfile.ZipInfo(name, TIME)
                entry.create_system = 3  # Unix, whatever system builds it
                entry.external_attr = 0o100644 << 16
                parts.writestr(entry, data)
    archive.chmod(0o755)
    return f"sha256:{hashlib.sha256(archive.read_bytes()).hexdigest()}"


def main() -> int:
    """Write one archive and print its digest; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("archive", type=Path)
    parser.add_argument("--host", type=Path, default=Path("host"), help="folder of virtfn_host (default: %(default)s)")
    parser.add_argument("--version", default="", help="version of virtfn (default: pyproject.toml's)")
    options = parser.parse_args()
    try:
        version = options.version or fallback(options.host.parent / "pyproject.toml")
        print(write(options.archive, options.host, version))
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

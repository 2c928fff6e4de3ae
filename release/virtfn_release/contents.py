"""What is installed in an image: Python distributions and Debian packages, with the licences that they state.

All of it is read from the image itself, not from what the image should have been built from.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email import message_from_string
from email.message import Message
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from virtfn_release.archive import ArchiveError, Image, read_image
from virtfn_release.locks import FOLDER, Pin, pins

OURS = "virtfn"
"""The distribution of this repository."""

WHEELS = "opt/virtfn/wheels.sha256"
"""Hashes of the wheels that the environment was installed from; the Dockerfile writes the file with sha256sum."""

_ENVIRONMENT = "opt/virtfn/pyvenv.cfg"
_STATUS = "var/lib/dpkg/status"
_METADATA = re.compile(r".*/(?:site|dist)-packages/[^/]+\.dist-info/METADATA")
_COPYRIGHT = re.compile(r"usr/share/doc/[^/]+/copyright")
_COMMON_LICENCE = re.compile(r"/usr/share/common-licenses/([A-Za-z0-9][A-Za-z0-9.+-]*[A-Za-z0-9+])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """A Python distribution."""

    name: str
    """Name, normalised as PyPI does."""
    version: str
    licences: tuple[str, ...]
    """Its licence expression, or else its licence field or classifiers."""
    requires: tuple[str, ...]
    """Names of the distributions that it needs here."""
    ours: bool
    """Whether it is in our environment; if not, it came with the base image."""
    sha256: str | None
    """Hash of the wheel that it was installed from, if known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A Debian package."""

    name: str
    version: str
    architecture: str
    source: str
    licences: tuple[str, ...]
    """Short names of the licences in its copyright file; empty if that file is in free form."""
    mentions: tuple[str, ...]
    """Common licences that a free-form copyright file refers to; they are not always the package's own licence."""
    requires: tuple[str, ...]
    """Names of the packages or virtual packages that it needs, with all alternatives."""
    provides: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """One image and what is installed in it."""

    image: Image
    python: str
    """Version of the Python interpreter."""
    python_of_debian: bool
    """Whether the interpreter is a Debian package; if not, it was built into the base image."""
    distributions: tuple[Distribution, ...]
    packages: tuple[Package, ...]


def read_contents(archive: Path) -> Contents:
    """Return what is installed in the image of an archive, sorted by name.

    Raises:
        ArchiveError: not an OCI archive, or the image lacks our environment or Debian's list of packages.
    """
    image = read_image(archive, lambda path: path in (WHEELS, _ENVIRONMENT, _STATUS) or _wanted(path))
    environment = dict(line.split(" = ", 1) for line in _text(image, _ENVIRONMENT).splitlines() if " = " in line)
    wheels = dict(_wheels(_text(image, WHEELS)))
    python = environment["version"]
    return Contents(
        image=image,
        python=python,
        python_of_debian=environment["home"] == "/usr/bin",
        distributions=tuple(sorted(_distributions(image, python, wheels), key=lambda each: (each.name, each.version))),
        packages=tuple(sorted(_packages(image), key=lambda each: (each.name, each.architecture))),
    )


def read_locked(process: str, archive: Path) -> Contents:
    """Return what is installed in the image of a process, after a comparison with its lock file.

    Raises:
        ArchiveError: as `read_contents`; or the image has a distribution that its lock file does not have.
    """
    contents = read_contents(archive)
    if strangers := not_locked(pins(process), contents.distributions):
        names = ", ".join(strangers)
        raise ArchiveError(f"{archive} has what {FOLDER}/{process}.txt does not lock: {names}; `make images` first")
    return contents


def not_locked(locked: Iterable[Pin], distributions: Iterable[Distribution]) -> list[str]:
    """Return the distributions of our environment whose wheel no pin accepts. Our own wheel is built, not locked."""
    accepted = {digest.removeprefix("sha256:") for pin in locked for digest in pin.hashes}
    return [each.name for each in distributions if each.ours and each.name != OURS and each.sha256 not in accepted]


def _wanted(path: str) -> bool:
    return _METADATA.fullmatch(path) is not None or _COPYRIGHT.fullmatch(path) is not None


def _text(image: Image, path: str) -> str:
    content = image.read(path)
    if content is None:
        raise ArchiveError(f"{image.name}: no /{path} in the image")
    return content.decode()


def _wheels(text: str) -> Iterator[tuple[tuple[str, str], str]]:
    for line in text.splitlines():
        sha256, file = line.split(maxsplit=1)
        name, version, _, _ = parse_wheel_filename(file.lstrip("*"))
        yield (name, str(version)), sha256


def _distributions(image: Image, python: str, wheels: dict[tuple[str, str], str]) -> Iterator[Distribution]:
    for path, content in image.files.items():
        if not _METADATA.fullmatch(path):
            continue
        metadata = message_from_string(content.decode())
        name, version = canonicalize_name(metadata["Name"]), metadata["Version"]
        yield Distribution(
            name=name,
            version=version,
            licences=_python_licences(metadata),
            requires=tuple(sorted(set(_python_requires(metadata, python)))),
            ours=path.startswith("opt/virtfn/"),
            sha256=wheels.get((name, version)) if path.startswith("opt/virtfn/") else None,
        )


def _python_licences(metadata: Message) -> tuple[str, ...]:
    """Return the licence names. The field may hold a whole licence text; then the classifiers may have the name."""
    if expression := metadata["License-Expression"]:
        return (expression,)
    field = (metadata["License"] or "").strip()
    if field and field != "UNKNOWN" and "\n" not in field:
        return (field,)
    classifiers = metadata.get_all("Classifier") or []
    return tuple(sorted(each.split(" :: ")[-1] for each in classifiers if each.startswith("License :: ")))


def _python_requires(metadata: Message, python: str) -> Iterator[str]:
    environment = {
        "python_version": ".".join(python.split(".")[:2]),
        "python_full_version": python,
        "sys_platform": "linux",
        "os_name": "posix",
        "platform_system": "Linux",
        "extra": "",
    }
    for text in metadata.get_all("Requires-Dist") or []:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            yield canonicalize_name(requirement.name)


def _packages(image: Image) -> Iterator[Package]:
    for paragraph in _text(image, _STATUS).split("\n\n"):
        fields = message_from_string(paragraph.strip("\n"))
        if not (fields["Status"] or "").endswith(" installed"):
            continue
        licences, mentions = _debian_licences(image, fields["Package"])
        needs = f"{fields['Pre-Depends'] or ''},{fields['Depends'] or ''}"
        yield Package(
            name=fields["Package"],
            version=fields["Version"],
            architecture=fields["Architecture"],
            source=(fields["Source"] or fields["Package"]).split()[0],
            licences=licences,
            mentions=mentions,
            requires=_package_names(needs.replace("|", ",")),
            provides=_package_names(fields["Provides"] or ""),
        )


def _package_names(relation: str) -> tuple[str, ...]:
    """Parse package names out of `libc6 (>= 2.34), python3:any`: without versions and architectures."""
    return tuple(sorted({each.split("(")[0].split(":")[0].strip() for each in relation.split(",")} - {""}))


def _debian_licences(image: Image, package: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    content = image.read(f"usr/share/doc/{package}/copyright")
    text = content.decode(errors="replace") if content is not None else ""
    if re.search(r"^Format:", text, re.MULTILINE):
        return tuple(sorted(set(re.findall(r"^License:[ \t]*(\S.*?)[ \t]*$", text, re.MULTILINE)))), ()
    return (), tuple(sorted(set(_COMMON_LICENCE.findall(text))))

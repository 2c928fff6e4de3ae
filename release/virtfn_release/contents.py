"""What is installed in an image: Python distributions and Debian packages, with the licences that they state.

Read from the image itself, not from what it should have been built from.
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
from virtfn_release.locks import Pin

OURS = "virtfn"
"""The distribution that this repository is."""

WHEELS = "opt/virtfn/wheels.sha256"
"""Written by the Dockerfile, as sha256sum does: the wheels that the environment was installed from."""

_ENVIRONMENT = "opt/virtfn/pyvenv.cfg"
_STATUS = "var/lib/dpkg/status"
_METADATA = re.compile(r".*/(?:site|dist)-packages/[^/]+\.dist-info/METADATA")
_COPYRIGHT = re.compile(r"usr/share/doc/[^/]+/copyright")
_COMMON_LICENCE = re.compile(r"/usr/share/common-licenses/([A-Za-z0-9][A-Za-z0-9.+-]*[A-Za-z0-9+])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """A Python distribution."""

    name: str
    """Normalised, as PyPI compares names."""
    version: str
    licences: tuple[str, ...]
    """Its licence expression; where it has none, its licence field or its classifiers."""
    requires: tuple[str, ...]
    """Names of the distributions it needs here."""
    ours: bool
    """Whether it is in our environment; else it came with the base image."""
    sha256: str | None
    """Of the wheel it was installed from, where that is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A Debian package."""

    name: str
    version: str
    architecture: str
    source: str
    licences: tuple[str, ...]
    """Short names that its copyright file gives for any of its files; none where that file is in free form."""
    mentions: tuple[str, ...]
    """Names of the common licences that a copyright file in free form refers to: not what the package is under."""
    requires: tuple[str, ...]
    """Names of the packages or virtual packages it needs; of alternatives, each."""
    provides: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """One image and what is installed in it."""

    image: Image
    python: str
    """Version of the interpreter."""
    python_of_debian: bool
    """Whether the interpreter is one of the packages; else it was built into the base image."""
    distributions: tuple[Distribution, ...]
    packages: tuple[Package, ...]


def read_contents(archive: Path) -> Contents:
    """What is installed in the image of an archive, by name.

    Raises:
        ArchiveError: no OCI archive, or an image without our environment or without Debian's list of packages.
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


def not_locked(pins: Iterable[Pin], distributions: Iterable[Distribution]) -> list[str]:
    """Names of what our environment has from a wheel that no pin accepts. Our own wheel is built, not locked."""
    accepted = {digest.removeprefix("sha256:") for pin in pins for digest in pin.hashes}
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
    """The field may hold a whole licence text; its name is then in the classifiers, or nowhere."""
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
    """`libc6 (>= 2.34), python3:any` without versions and architectures."""
    return tuple(sorted({each.split("(")[0].split(":")[0].strip() for each in relation.split(",")} - {""}))


def _debian_licences(image: Image, package: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    content = image.read(f"usr/share/doc/{package}/copyright")
    text = content.decode(errors="replace") if content is not None else ""
    if re.search(r"^Format:", text, re.MULTILINE):
        return tuple(sorted(set(re.findall(r"^License:[ \t]*(\S.*?)[ \t]*$", text, re.MULTILINE)))), ()
    return (), tuple(sorted(set(_COMMON_LICENCE.findall(text))))

"""The licences of what we ship: their SPDX names, and the page that lists them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from virtfn_lab.paths import repository
from virtfn_release.contents import OURS, Contents

PAGE = "docs/licences.md"

VENDORED: Mapping[str, tuple[str, str]] = {
    "deviceplugin/virtfn_deviceplugin/v1beta1/": (
        "the messages of the kubelet's device plugin API that virtfn speaks, and what is generated from them",
        "Apache-2.0",
    ),
    "operator/virtfn_operator/agent/podresources_v1/": (
        "the messages of the kubelet's pod resources API that virtfn reads, and what is generated from them",
        "Apache-2.0",
    ),
}
"""Folders with files derived from other people's work: what they are, and the licence of that work."""

_OPENING = """\
# Licences of what virtfn ships

virtfn is under the Apache License 2.0 ([LICENSE](../LICENSE)). `make licences` writes this page from the images; a test
compares it with the lock files. `make sbom` lists one image, with hashes and the versions of its base.

## Python distributions in the images
"""

_OF_THE_BASE = """
## Debian packages of the base that `make images` makes

Another `BASE` brings other packages. Copyright files are in `/usr/share/doc` of the image; the licences here are those
that these files name for any of the package's files, sources included.
"""

_NAMES = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License 2.0": "Apache-2.0",
    "BSD-2-clause": "BSD-2-Clause",
    "BSD-3-clause": "BSD-3-Clause",
    "Expat": "MIT",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "The MIT License": "MIT",
}
"""SPDX identifiers by the names that Debian's copyright files and Python's classifiers use."""

_GNU = re.compile(r"(A|L)?GPL-(\d)(\.\d)?(\+?)")


def spdx(name: str) -> str:
    """Return the SPDX identifier of a licence's name; a name that may mean several licences is returned unchanged."""
    if match := _GNU.fullmatch(name):
        family, major, minor, later = match.groups()
        return f"{family or ''}GPL-{major}{minor or '.0'}-{'or-later' if later else 'only'}"
    return _NAMES.get(name, name)


def page(images: Iterable[tuple[str, Contents]]) -> str:
    """Return the text of docs/licences.md, from what is installed in each process's image."""
    return "\n".join(_lines(list(images))) + "\n"


def write_page(images: Iterable[tuple[str, Contents]]) -> Path:
    """Write the page and return its path."""
    path = repository() / PAGE
    path.write_text(page(images))
    return path


def _lines(images: list[tuple[str, Contents]]) -> Iterator[str]:
    yield _OPENING
    yield "| Distribution | Version | Licence | Images |"
    yield "|---|---|---|---|"
    for (name, version), (licences, where) in _gathered(images).items():
        yield f"| {name} | {version} | {_joined(licences)} | {', '.join(where)} |"
    yield ""
    yield "## In this repository, after other people's work"
    yield ""
    yield "| Where | What | Licence |"
    yield "|---|---|---|"
    for path, (what, licence) in VENDORED.items():
        yield f"| `{path}` | {what} | {licence} |"
    yield _OF_THE_BASE
    yield "| Package | Licences |"
    yield "|---|---|"
    packages = {each.name: each for _, contents in images for each in contents.packages}
    for name, package in sorted(packages.items()):
        mentions = f", which mentions {', '.join(package.mentions)}" if package.mentions else ""
        yield f"| {name} | {_joined(package.licences) or f'its copyright file{mentions}'} |"


def _gathered(images: list[tuple[str, Contents]]) -> dict[tuple[str, str], tuple[tuple[str, ...], list[str]]]:
    """Return what the lock files name, with licences and images; our own distribution is left out."""
    found: dict[tuple[str, str], tuple[tuple[str, ...], list[str]]] = {}
    for process, contents in images:
        for each in contents.distributions:
            if each.ours and each.name != OURS:
                found.setdefault((each.name, each.version), (each.licences, []))[1].append(process)
    return dict(sorted(found.items()))


def _joined(licences: Iterable[str]) -> str:
    return ", ".join(sorted({spdx(name).replace("|", "/") for name in licences}))

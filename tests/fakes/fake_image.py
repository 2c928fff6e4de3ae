"""A small image like those of our Dockerfile: an environment of two distributions on a Debian of three packages."""

from collections.abc import Mapping
from pathlib import Path

from oci_archive import Layer, write_archive

SITE = "opt/virtfn/lib/python3.11/site-packages"
SHA256 = "0123456789abcdef" * 4

DEP5 = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: 2020 Somebody
License: GPL-2+

Files: lib/*
License: Expat

License: GPL-2+
 On Debian systems, see /usr/share/common-licenses/GPL-2.
"""

STATUS = """Package: libc6
Status: install ok installed
Architecture: amd64
Source: glibc (2.36-9)
Version: 2.36-9
Description: GNU C Library
 with more lines

Package: kmod
Status: install ok installed
Architecture: amd64
Version: 30+20221128-1
Depends: libc6 (>= 2.34), kernel-tools | libkmod2 (= 30)

Package: libkmod2
Status: install ok installed
Architecture: amd64
Source: kmod
Version: 30+20221128-1
Provides: kernel-tools

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1
"""


def metadata(name: str, version: str, *lines: str) -> bytes:
    """Return a distribution's METADATA."""
    return "\n".join(["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", *lines, "", "Text", ""]).encode()


def base() -> dict[str, bytes | str | None]:
    """Return a Debian with each kind of copyright file: machine-readable, a link to another package's, free form."""
    return {
        "var/lib/dpkg/status": STATUS.encode(),
        "usr/share/doc/kmod/copyright": DEP5.encode(),
        "usr/share/doc/libkmod2": "kmod",
        "usr/share/doc/libc6/copyright": b"It is free. See /usr/share/common-licenses/LGPL-2.1.\n",
    }


def environment(home: str = "/usr/bin") -> dict[str, bytes | str | None]:
    """Return the files that the Dockerfile puts into /opt/virtfn."""
    return {
        "opt/virtfn/pyvenv.cfg": f"home = {home}\nversion = 3.11.2\n".encode(),
        "opt/virtfn/wheels.sha256": f"{SHA256}  Py_Route2-0.9.7-py3-none-any.whl\n"
        f"{SHA256[::-1]}  virtfn-0.1.0-py3-none-any.whl\n".encode(),
        f"{SITE}/py_route2-0.9.7.dist-info/METADATA": metadata("Py.Route2", "0.9.7", "License-Expression: MIT OR ISC"),
        f"{SITE}/virtfn-0.1.0.dist-info/METADATA": metadata(
            "virtfn",
            "0.1.0",
            "License-Expression: Apache-2.0",
            "Requires-Dist: py-route2>=0.9",
            "Requires-Dist: kopf; extra == 'agent'",
        ),
    }


def write_image(
    folder: Path,
    *,
    name: str = "localhost/virtfn/host:0.1.0",
    more: Mapping[str, bytes] | None = None,
    home: str = "/usr/bin",
) -> Path:
    """Write the image as an archive, with `more` in a layer of its own; return its path."""
    layers: list[Layer] = [base(), environment(home), more or {}]
    return write_archive(folder / "host.tar", layers, name=name)

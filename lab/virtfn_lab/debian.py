"""Debian's packages: a small root made of them, or one of them unpacked. Nothing here is installed on the machine."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from virtfn_lab.prereqs import mirror
from virtfn_lab.run import run

MINBASE = ("--variant=minbase",)
"""What every Debian has, and apt."""

_FETCH = """#!/bin/sh
set -eu
chroot "$1" sh -c 'cd /
package=$(apt-get -s -t {suite} install --no-install-recommends {package} |
    sed -n "s/^Inst \\({pattern}[^ ]*\\).*/\\1/p")
apt-get -qq -t {suite} download "$package"'
"""
"""A metapackage names the newest of its suite; only that package is wanted, not what it would set up."""


def debootstrap(
    root: Path, suite: str, packages: Sequence[str], hook: Path | None = None, *, options: Sequence[str] = MINBASE
) -> None:
    """A minimal Debian in `root`; the program `hook` runs at the end with the root's path as its argument.

    `options` are mmdebstrap's.
    """
    site = mirror()
    sources = [f"deb {site} {name} main" for name in dict.fromkeys(("bookworm", suite))]
    words = ["mmdebstrap", *options]
    words += [f"--include={','.join(packages)}"] if packages else []
    words += [f"--customize-hook={hook}"] if hook else []
    run([*words, "bookworm", root, *sources])


def unpack(folder: Path, suite: str, package: str, pattern: str) -> None:
    """Lay the files of one package in `folder`: the one among those that `package` brings whose name fits `pattern`."""
    root, hook = folder / "apt", folder / "hook"
    folder.mkdir(parents=True, exist_ok=True)
    hook.write_text(_FETCH.format(suite=suite, package=package, pattern=pattern))
    hook.chmod(0o755)
    debootstrap(root, suite, (), hook)
    (found,) = root.glob("*.deb")
    run(["dpkg", "-x", found, folder])
    hook.unlink()
    shutil.rmtree(root)

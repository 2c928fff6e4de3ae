"""Make a small root from Debian's packages, or unpack one package. Nothing is installed on the machine."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from virtfn_lab.prereqs import mirror
from virtfn_lab.run import run

MINBASE = ("--variant=minbase",)
"""Packages of every root: Debian's essential ones, and apt."""

_FETCH = """#!/bin/sh
set -eu
chroot "$1" sh -c 'cd /
package=$(apt-get -s -t {suite} install --no-install-recommends {package} |
    sed -n "s/^Inst \\({pattern}[^ ]*\\).*/\\1/p")
apt-get -qq -t {suite} download "$package"'
"""
"""A hook that downloads one package. A metapackage names the newest; what else it depends on is not downloaded."""


def debootstrap(
    root: Path, suite: str, packages: Sequence[str], hook: Path | None = None, *, options: Sequence[str] = MINBASE
) -> None:
    """Make a minimal Debian in `root`; at its end the program `hook` runs with the root's path as its argument.

    `options` are mmdebstrap's.
    """
    site = mirror()
    sources = [f"deb {site} {name} main" for name in dict.fromkeys(("bookworm", suite))]
    words = ["mmdebstrap", *options]
    words += [f"--include={','.join(packages)}"] if packages else []
    words += [f"--customize-hook={hook}"] if hook else []
    run([*words, "bookworm", root, *sources])


def unpack(folder: Path, suite: str, package: str, pattern: str) -> None:
    """Unpack one package into `folder`: of those that `package` would install, the one that matches `pattern`."""
    root, hook = folder / "apt", folder / "hook"
    folder.mkdir(parents=True, exist_ok=True)
    hook.write_text(_FETCH.format(suite=suite, package=package, pattern=pattern))
    hook.chmod(0o755)
    debootstrap(root, suite, (), hook)
    (found,) = root.glob("*.deb")
    run(["dpkg", "-x", found, folder])
    hook.unlink()
    shutil.rmtree(root)

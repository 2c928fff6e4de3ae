"""Check for the programs that the lab needs, and install them. Nothing else in the lab installs on the machine."""

import os
import shutil
import subprocess
from collections.abc import Collection, Sequence
from pathlib import Path

from virtfn_lab.progress import step
from virtfn_lab.run import run

PROGRAMS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "mmdebstrap": "mmdebstrap",
    "buildah": "buildah",
    "mke2fs": "e2fsprogs",
    "busybox": "busybox-static",
    "cpio": "cpio",
    "depmod": "kmod",
    "openssl": "openssl",
    "ip": "iproute2",
    "unshare": "util-linux",
    "dpkg": "dpkg",
}
"""Debian package of each program that every lab needs."""

FOR_REGISTRIES = {"skopeo": "skopeo", "docker-registry": "docker-registry"}
"""Likewise of the programs that push images, and that serve them in the lab."""

KERNEL_BUILD = ("bc", "bison", "flex", "gcc", "libc6-dev", "libelf-dev", "make", "xz-utils")
"""Debian packages for building our own kernels; some bring no program to look for."""

OLDEST_QEMU = (8, 0)
"""The first QEMU with an igb that makes VFs; Debian 12 has 7.2, its backports 10."""

BACKPORTS = Path("/etc/apt/sources.list.d/virtfn-lab.sources")


class MissingProgramsError(Exception):
    """Programs are missing and cannot be installed here; the message names the command that installs them."""


def ensure(programs: Collection[str] = PROGRAMS.keys()) -> None:
    """Install those of these PROGRAMS, or of FOR_REGISTRIES, that are missing, as root on Debian or Ubuntu.

    Raises:
        MissingProgramsError: a program is missing, and we may not install it here or its package did not bring it.
    """
    packages = PROGRAMS | FOR_REGISTRIES
    _bring(sorted({packages[program] for program in programs if not _there(program)}))
    if missing := [program for program in programs if not _there(program)]:
        raise MissingProgramsError(f"still missing after installing their packages: {', '.join(missing)}")


def ensure_kernel_build() -> None:
    """Do the same with the packages for building a kernel.

    Raises:
        MissingProgramsError: as above.
    """
    _bring([package for package in KERNEL_BUILD if not _installed(package)])


def _bring(packages: Sequence[str]) -> None:
    if not packages:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        text = f"the lab needs these Debian packages: {' '.join(packages)} (QEMU {OLDEST_QEMU[0]} or newer)"
        raise MissingProgramsError(f"{text}; as root: apt-get install {' '.join(packages)}")
    with step(f"installing {' '.join(packages)}"):
        _apt("update", "-qq")
        if "qemu-system-x86" in packages and codename() == "bookworm":
            _add_backports()
        newer = ["-t", "bookworm-backports"] if codename() == "bookworm" and "qemu-system-x86" in packages else []
        _apt("install", "-y", "-qq", "--no-install-recommends", *newer, *packages)


def _installed(package: str) -> bool:
    words = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout == "installed"


def codename() -> str:
    """Return this machine's release, `bookworm` on Debian 12; empty if it is unknown."""
    release = Path("/etc/os-release")
    lines = release.read_text().splitlines() if release.exists() else []
    return next((line.split("=", 1)[1].strip('"') for line in lines if line.startswith("VERSION_CODENAME=")), "")


def mirror() -> str:
    """Return the URL that this machine gets its Debian packages from."""
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages", "Codename: bookworm"],
        capture_output=True,
        text=True,
        check=False,
    )
    sites = [line for line in listed.stdout.split() if line.startswith("http")]
    if not sites:
        raise MissingProgramsError("no Debian 12 mirror is configured on this machine; apt-get update first")
    return sites[0]


def _there(program: str) -> bool:
    if shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is None:
        return False
    return program != "qemu-system-x86_64" or _qemu_version() >= OLDEST_QEMU


def _qemu_version() -> tuple[int, int]:
    words = subprocess.run(
        ["qemu-system-x86_64", "--version"], capture_output=True, text=True, check=True
    ).stdout.split()
    major, minor = words[words.index("version") + 1].split(".")[:2]
    return int(major), int(minor)


def _add_backports() -> None:
    known = run(["apt-cache", "policy"])
    if "n=bookworm-backports" in known:
        return
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    BACKPORTS.write_text(
        f"Types: deb\nURIs: {mirror()}\nSuites: bookworm-backports\nComponents: main\nSigned-By: {keyring}\n"
    )
    _apt("update", "-qq")


def _apt(*words: str) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(["apt-get", *words], env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise MissingProgramsError(f"apt-get {' '.join(words)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")

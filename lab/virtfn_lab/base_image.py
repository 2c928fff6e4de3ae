"""The images below ours where no registry can be reached: Debian with Python, made of Debian's packages.

Two of them with one Python: what builds has pip and venv, what runs has not; neither has apt. Made twice of the same
packages they have the same digest: nothing of this machine and no time stays in them.
"""

import shutil
from pathlib import Path

from virtfn_lab.buildah import Buildah
from virtfn_lab.cache import cached
from virtfn_lab.debian import debootstrap
from virtfn_lab.run import run

BUILD = "localhost/virtfn/base-build:1"
RUNTIME = "localhost/virtfn/base:1"

TIME = 315532800
"""Seconds since 1970 that stand for every time in them: 1980, the oldest that every archive format can hold."""

SUITE = "bookworm"
RUNTIME_PACKAGES = ("python3", "kmod", "ca-certificates", "libstdc++6")
"""The last because gRPC's wheel needs it; elsewhere apt brings it."""
BUILD_PACKAGES = (*RUNTIME_PACKAGES, "python3-venv")

_NO_USRMERGE = "etc/apt/preferences.d/no-usrmerge"
OPTIONS = (
    "--variant=essential",
    "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
    f"--setup-hook=printf 'Package: usrmerge\\nPin: version *\\nPin-Priority: -1\\n' > \"$1\"/{_NO_USRMERGE}",
)
"""Without apt. Left to itself, apt takes usrmerge, which moves files into /usr and brings 50 MB of Perl, before
usr-is-merged, which says that they are there."""

LEFT_OUT = (
    _NO_USRMERGE,
    "etc/apt/sources.list",
    "etc/hostname",
    "etc/machine-id",
    "etc/resolv.conf",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
    "var/cache/apt",
    "var/cache/debconf",
    "var/cache/ldconfig/aux-cache",
    "var/lib/apt",
    "var/log/apt",
    "var/log/alternatives.log",
    "var/log/bootstrap.log",
    "var/log/dpkg.log",
)
"""What differs from machine to machine or from day to day, and what nobody reads in a container."""


def load_bases(buildah: Buildah) -> None:
    """Have BUILD and RUNTIME in the storage."""
    inputs = {
        "suite": SUITE,
        "build": " ".join(BUILD_PACKAGES),
        "runtime": " ".join(RUNTIME_PACKAGES),
        "options": " ".join(OPTIONS),
        "left out": " ".join(LEFT_OUT),
        "time": str(TIME),
    }
    folder = cached("base-image", inputs, _build)
    buildah.load(folder / "build.tar", BUILD)
    buildah.load(folder / "runtime.tar", RUNTIME)


def _build(folder: Path) -> None:
    buildah = Buildah(storage=folder / "storage")
    for name, packages in (("build", BUILD_PACKAGES), ("runtime", RUNTIME_PACKAGES)):
        root = folder / name
        debootstrap(root, SUITE, packages, options=OPTIONS)
        tidy(root)
        _compile(root)
        _commit(buildah, root, folder / f"{name}.tar")
        shutil.rmtree(root)
    shutil.rmtree(folder / "storage")


def tidy(root: Path) -> None:
    """Remove LEFT_OUT, dpkg's backups, and all documentation but the copyright files, which licences ask for."""
    for name in LEFT_OUT:
        path = root / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for backup in (*root.glob("var/lib/dpkg/*-old"), *root.glob("var/backups/*")):
        backup.unlink()
    for document in root.glob("usr/share/doc/*/*"):
        if document.is_dir() and not document.is_symlink():
            shutil.rmtree(document)
        elif document.name != "copyright":
            document.unlink()


def _compile(root: Path) -> None:
    """Compile Python's modules anew, marked by hash: Debian's mark is the source's time, and all times are set."""
    for folder in list(root.glob("usr/lib/python3*/**/__pycache__")):
        shutil.rmtree(folder)
    folders = [f"/{folder.relative_to(root)}" for folder in sorted(root.glob("usr/lib/python3*"))]
    words = ["python3", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", *folders]
    run(["chroot", root, *words], env={"PYTHONHASHSEED": "0"})


def _commit(buildah: Buildah, root: Path, archive: Path) -> None:
    container = buildah("from", "scratch").strip()
    buildah("add", "--quiet", container, root, "/")
    buildah("config", "--env", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", container)
    buildah("commit", "--quiet", "--rm", "--timestamp", str(TIME), container, f"oci-archive:{archive}")

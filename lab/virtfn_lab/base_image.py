"""Base images for use without a registry: Debian with Python, made of Debian's packages.

There are two, with the same Python: BUILD has pip and venv, RUNTIME has neither; none has apt. Two builds from the same
packages have the same digest: nothing of this machine and no time stays in them.
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
"""The time of every file in the images, in seconds since 1970: 1980, the oldest that every archive format can hold."""

SUITE = "bookworm"
RUNTIME_PACKAGES = ("python3", "kmod", "ca-certificates", "libstdc++6")
"""The last one is for gRPC's wheel; on other bases apt brings it."""
BUILD_PACKAGES = (*RUNTIME_PACKAGES, "python3-venv")

_NO_USRMERGE = "etc/apt/preferences.d/no-usrmerge"
OPTIONS = (
    "--variant=essential",
    "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
    f"--setup-hook=printf 'Package: usrmerge\\nPin: version *\\nPin-Priority: -1\\n' > \"$1\"/{_NO_USRMERGE}",
)
"""Options that keep apt and usrmerge out. By itself apt prefers usrmerge, which brings 50 MB of Perl to move files into
/usr, to usr-is-merged, which states that they are there already."""

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
"""Files that differ from machine to machine or from day to day, or that no container needs."""


def load_bases(buildah: Buildah) -> None:
    """Make sure that the storage has BUILD and RUNTIME."""
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
    """Remove LEFT_OUT, dpkg's backups, and all documentation except the copyright files, which licences require."""
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
    """Recompile Python's modules, checked by hash: Debian's are checked by the source's time, and we set all times."""
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

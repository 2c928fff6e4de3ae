"""The lab's kernels: Debian's own, and two built from Debian's source with VFIO features that Debian leaves out.

`cdev` has /dev/vfio/devices/vfioN beside the groups, and noiommu; `cdev-only` has no groups at all.
"""

import os
import shutil
from pathlib import Path

from virtfn_lab.cache import cached, digest
from virtfn_lab.debian import unpack
from virtfn_lab.paths import repository
from virtfn_lab.prereqs import ensure_kernel_build
from virtfn_lab.run import run

DEBIAN = {"6.1": "bookworm", "6.12": "bookworm-backports"}
"""Debian suite of each kernel series."""

OWN = {"cdev": ("cdev.config",), "cdev-only": ("cdev.config", "no-group.config")}
"""Configuration files of our own kernels, in lab/kernel-config: what they do not name is off; a later file wins."""

KERNELS = (*DEBIAN, *OWN)

SOURCE = ("bookworm-backports", "linux-source-6.12")


def kernel(series: str) -> Path:
    """Return a folder with boot/vmlinuz-* and lib/modules/RELEASE, from the cache or else fetched or built."""
    if series in OWN:
        return _own_kernels() / series
    suite = DEBIAN[series]
    inputs = {"suite": suite, "package": "linux-image-amd64"}
    pattern = "linux-image-[0-9]"
    return cached(f"kernel-{series}", inputs, lambda folder: unpack(folder, suite, inputs["package"], pattern))


def _own_kernels() -> Path:
    """Build both kernels in one tree, one after the other, so that the second compiles only what differs."""
    inputs = {
        "source": " ".join(SOURCE),
        "series": str(OWN),
        "configuration": digest(repository() / "lab/kernel-config"),
    }
    return cached("kernels", inputs, _build)


def _build(folder: Path) -> None:
    ensure_kernel_build()
    suite, package = SOURCE
    unpack(folder / "source", suite, package, package)
    run(["tar", "-xf", folder / f"source/usr/src/{package}.tar.xz", "-C", folder])
    for series in OWN:
        _compile(folder / package, series, folder / series)
    shutil.rmtree(folder / "source")
    shutil.rmtree(folder / package)


def _compile(tree: Path, series: str, target: Path) -> None:
    # Start without a .config: an old one would keep options on that no file names any more.
    wanted = tree / "wanted.config"
    wanted.write_text("".join((repository() / "lab/kernel-config" / name).read_text() for name in OWN[series]))
    make = [
        "nice",
        "-n5",
        "make",
        "-s",
        "-C",
        str(tree),
        "ARCH=x86_64",
        f"LOCALVERSION=-{series}",
        f"-j{os.cpu_count() or 1}",
    ]
    run([*make, f"KCONFIG_ALLCONFIG={wanted}", "allnoconfig"])
    run([*make, "bzImage", "modules"])
    run([*make, f"INSTALL_MOD_PATH={target}", "INSTALL_MOD_STRIP=1", "modules_install"])
    (target / "boot").mkdir()
    shutil.copy(tree / "arch/x86/boot/bzImage", target / f"boot/vmlinuz-{series}")

"""What a guest in a pod boots: a small kernel of our own, and an initrd of busybox with one script.

Debian's kernel takes minutes where the processor is emulated twice, once for the node and once for the guest.
"""

import os
import shutil
import subprocess
from pathlib import Path

from virtfn_lab.cache import cached, digest
from virtfn_lab.debian import unpack
from virtfn_lab.kernels import SOURCE
from virtfn_lab.paths import repository
from virtfn_lab.prereqs import ensure_kernel_build
from virtfn_lab.run import run

_SOURCES = repository() / "lab/inner"


def inner_guest() -> Path:
    """Return a folder with `vmlinux` and `initrd`, from the cache or newly built."""
    inputs = {"source": " ".join(SOURCE), "files": digest(_SOURCES / "init"), "kernel": inner_kernel().name}
    return cached("inner-guest", inputs, _build)


def inner_kernel() -> Path:
    """Return a folder with the guest's `vmlinux`: without modules, and not packed."""
    inputs = {"source": " ".join(SOURCE), "configuration": digest(_SOURCES / "kernel.config")}
    return cached("inner-kernel", inputs, _build_kernel)


def _build_kernel(folder: Path) -> None:
    ensure_kernel_build()
    suite, package = SOURCE
    unpack(folder / "source", suite, package, package)
    run(["tar", "-xf", folder / f"source/usr/src/{package}.tar.xz", "-C", folder])
    tree = folder / package
    make = [
        "nice",
        "-n5",
        "make",
        "-s",
        "-C",
        str(tree),
        "ARCH=x86_64",
        "LOCALVERSION=-guest",
        f"-j{os.cpu_count() or 1}",
    ]
    run([*make, "LOCALVERSION=-guest", f"KCONFIG_ALLCONFIG={_SOURCES / 'kernel.config'}", "allnoconfig"])
    run([*make, "LOCALVERSION=-guest", "vmlinux"])
    run(["strip", "-o", folder / "vmlinux", tree / "vmlinux"])
    shutil.rmtree(folder / "source")
    shutil.rmtree(tree)


def _build(folder: Path) -> None:
    shutil.copy(inner_kernel() / "vmlinux", folder / "vmlinux")
    tree = folder / "tree"
    for name in ("bin", "dev", "proc", "sys"):
        (tree / name).mkdir(parents=True)
    shutil.copy(shutil.which("busybox") or "/bin/busybox", tree / "bin/busybox")
    shutil.copy(_SOURCES / "init", tree / "init")
    (tree / "init").chmod(0o755)
    run(["chroot", tree, "/bin/busybox", "--install", "-s", "/bin"])
    names = subprocess.run(["find", "."], cwd=tree, capture_output=True, check=True).stdout
    with (folder / "initrd").open("wb") as archive:
        subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=tree, input=names, stdout=archive, check=True)
    shutil.rmtree(tree)

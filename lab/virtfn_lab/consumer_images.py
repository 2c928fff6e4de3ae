"""Images for pods that use their VFs: dpdk-testpmd, RDMA, QEMU with a guest. They are the lab's, not the product's.

Each image is busybox, a few programs of Debian's packages and the libraries that these load: tens of megabytes, because
the packages bring hundreds. Examples name the images `registry.example/NAME:1`; in the lab the images have these names.
"""

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from virtfn_lab.buildah import Buildah
from virtfn_lab.cache import cached
from virtfn_lab.debian import debootstrap, unpack
from virtfn_lab.inner_guest import inner_guest
from virtfn_lab.run import run

SUITE = "bookworm"
IPC_LOCK = bytes.fromhex("0100000200400000" + "00000000" * 3)
"""The file capability cap_ipc_lock=ep, as Linux keeps it (struct vfs_cap_data, version 2): a program that is not root
gets a capability of its container only from the program's file."""

PLUGINS = "usr/lib/x86_64-linux-gnu/dpdk/pmds-23.0"
"""The folder from which DPDK loads drivers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What an image is made of."""

    packages: Sequence[str]
    """Debian packages to install in the root that the image is taken from."""
    unpacked: str = ""
    """A package that is only unpacked into that root, because installing it brings far more."""
    programs: Sequence[str]
    """Programs of that root; they come with the libraries that they are linked to."""
    loaded: Sequence[str] = ()
    """Libraries that a program loads by itself; patterns of paths in that root."""
    files: Sequence[str] = ()
    """Other files and folders of that root."""
    locks_memory: bool = False
    """Whether the programs have the file capability IPC_LOCK."""


RECIPES: Mapping[str, Recipe] = {
    "dpdk": Recipe(
        packages=(
            *("librte-crypto-scheduler23", "librte-bitratestats23", "librte-bpf23", "librte-gro23", "librte-gso23"),
            *("librte-latencystats23", "librte-pdump23", "librte-cmdline23", "librte-net-bnxt23", "librte-net-i40e23"),
            *("librte-net-ixgbe23", "librte-net-dpaa23", "librte-net-bond23", "librte-net-ice23", "librte-net-mlx5-23"),
            *("librte-net-e1000-23", "librte-mempool-ring23", "libbsd0", "libelf1", "libfdt1", "libjansson4"),
        ),
        unpacked="dpdk-dev",
        programs=("/usr/bin/dpdk-testpmd",),
        loaded=(
            *(f"{PLUGINS}/librte_{name}.so.[0-9][0-9]" for name in ("net_e1000", "mempool_ring")),
            "usr/lib/x86_64-linux-gnu/libgcc_s.so.1",  # glibc loads it when a thread is cancelled
        ),
        locks_memory=True,
    ),
    "rdma": Recipe(
        packages=("ibverbs-utils", "ibverbs-providers", "rdmacm-utils"),
        programs=("/usr/bin/ibv_rc_pingpong", "/usr/bin/rping"),
        loaded=("usr/lib/x86_64-linux-gnu/libibverbs/librxe-rdmav34.so",),
        files=("/etc/libibverbs.d/rxe.driver",),
    ),
    "qemu": Recipe(
        packages=("qemu-system-x86",),
        programs=("/usr/bin/qemu-system-x86_64",),
        loaded=("usr/lib/x86_64-linux-gnu/qemu/accel-tcg-x86_64.so",),
        files=(
            "/usr/share/seabios/bios-256k.bin",
            *("/usr/share/qemu/linuxboot_dma.bin", "/usr/share/qemu/pvh.bin", "/usr/share/qemu/kvmvapic.bin"),
        ),
    ),
}


def image_name(name: str) -> str:
    """Return the name by which examples know an image."""
    return f"registry.example/{name}:1"


def archive(name: str) -> Path:
    """Return an image as an OCI archive, from the cache or newly built."""
    inputs = {"recipe": str(RECIPES[name]), "suite": SUITE, "guest": inner_guest().name if name == "qemu" else ""}
    return cached(f"consumer-{name}", inputs, lambda folder: _build(folder, name)) / "image.tar"


def _build(folder: Path, name: str) -> None:
    recipe, root, tree = RECIPES[name], folder / "root", folder / "tree"
    debootstrap(root, SUITE, recipe.packages)
    if recipe.unpacked:
        unpack(folder / "unpacked", SUITE, recipe.unpacked, recipe.unpacked)
        for program in recipe.programs:
            shutil.copy(folder / f"unpacked{program}", root / program[1:])
        shutil.rmtree(folder / "unpacked")
    _lay(recipe, root, tree)
    if name == "qemu":
        shutil.copytree(inner_guest(), tree / "guest")
    _commit(Buildah(storage=folder / "storage"), tree, name, folder / "image.tar")
    for work in (root, tree, folder / "storage"):
        shutil.rmtree(work)


def _lay(recipe: Recipe, root: Path, tree: Path) -> None:
    """Copy from `root` to `tree` what the recipe names, and every library that it is linked to."""
    loaded = [f"/{path.relative_to(root)}" for pattern in recipe.loaded for path in sorted(root.glob(pattern))]
    linked = run(["chroot", root, "ldd", *recipe.programs, *loaded])
    for path in {*recipe.programs, *recipe.files, *loaded, *re.findall(r"(/\S+) \(0x", linked)}:
        copy_with_its_name(path, root, tree)
    (tree / "var/run").mkdir(parents=True)
    (tree / "tmp").mkdir()
    (tree / "tmp").chmod(0o1777)
    (tree / "bin").mkdir(exist_ok=True)
    shutil.copy(shutil.which("busybox") or "/bin/busybox", tree / "bin/busybox")
    run(["chroot", tree, "/bin/busybox", "--install", "-s", "/bin"])
    if recipe.locks_memory:
        for program in recipe.programs:
            os.setxattr(tree / program[1:], "security.capability", IPC_LOCK)


def copy_with_its_name(path: str, root: Path, tree: Path) -> None:
    """Copy a file under its real name, with a link from `path`: a library that lies in two files is loaded twice."""
    real = _without_links(path, root)
    for name in {real, path}:
        (tree / name[1:]).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(root / real[1:], tree / real[1:])
    if real != path:
        (tree / path[1:]).symlink_to(real)


def _without_links(path: str, root: Path) -> str:
    """Return the path that `path` leads to for a program whose root folder is `root`; links may be absolute."""
    done, left = PurePosixPath("/"), list(PurePosixPath(path).parts[1:])
    while left:
        part = left.pop(0)
        here = root / str(done / part)[1:]
        if part == "..":
            done = done.parent
        elif here.is_symlink():
            target = here.readlink()
            done = PurePosixPath("/") if target.is_absolute() else done
            left = [*target.parts[target.is_absolute() :], *left]
        else:
            done /= part
    return str(done)


def _commit(buildah: Buildah, tree: Path, name: str, archive: Path) -> None:
    container = buildah("from", "scratch").strip()
    buildah("add", "--quiet", container, tree, "/")
    buildah("config", "--env", "PATH=/usr/bin:/bin", "--cmd", "sh", container)
    buildah("commit", "--quiet", "--rm", container, f"oci-archive:{archive}:{image_name(name)}")

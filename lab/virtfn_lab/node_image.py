"""Build the node's image: firmware, a kernel, a small Debian root in one ext4 file, and an initrd that finds it.

It needs no loop mount and no boot. What changes often (our code, binaries, credentials) is not in the image: the guest
mounts it from the machine (qemu.py).
"""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from virtfn_lab import kernels
from virtfn_lab.cache import cached, digest
from virtfn_lab.debian import debootstrap, unpack
from virtfn_lab.paths import cache_dir, repository
from virtfn_lab.run import run

PACKAGES: tuple[str, ...] = (
    "ca-certificates",
    "containernetworking-plugins",
    "busybox-static",
    "iproute2",
    "kmod",
    "nftables",
    "pciutils",
    "procps",
    "python3",
    "runc",
)

PYTHON_PACKAGES: tuple[str, ...] = (
    "pytest>=9",
    "pytest-timeout",
    "pytest-asyncio",
    "hypothesis",
    "PyYAML",
    "pyroute2",
)
"""Python packages for tests in the guest; in /opt/site, because Debian's are too old."""

LEFT_OUT: tuple[str, ...] = (
    "kernel/sound",
    "kernel/drivers/gpu",
    "kernel/drivers/media",
    "kernel/drivers/staging",
    "kernel/drivers/infiniband/hw",
    "kernel/drivers/infiniband/ulp",
    "kernel/drivers/net/wireless",
    "kernel/drivers/iio",
    "kernel/drivers/scsi",
    "kernel/drivers/usb",
    "kernel/drivers/hid",
    "kernel/drivers/isdn",
    "kernel/drivers/input",
    "kernel/drivers/hwmon",
    "kernel/drivers/mtd",
    "kernel/drivers/video",
    "kernel/drivers/target",
    "kernel/drivers/bluetooth",
    "kernel/net/bluetooth",
    "kernel/fs/ocfs2",
    "kernel/fs/xfs",
    "kernel/fs/btrfs",
)
"""Folders of kernel modules for hardware that no node of the lab has."""

FIRMWARE = ("bookworm", "seabios")
"""Suite and package of the firmware: SeaBIOS 1.16.2, not the 1.16.3 that comes with Debian's QEMU 10.0.2.

1.16.3 gives root ports windows above 4 GiB, and this QEMU takes only the lower 32 bits of where VFs have their
registers (it makes VFs before it knows that these BARs have 64 bits). Then every access goes nowhere: igbvf waits two
seconds a VF and gives up, DPDK and guests have a VF that does not answer (measured: 5.5 s for two VFs, 1.1 s with
1.16.2).
"""

DISK_SIZE = "2G"
"""Size of the root file: sparse; the guest writes to a snapshot of it, so this also limits what a node can write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeImage:
    """The files that QEMU boots; they are never written to."""

    firmware: Path
    vmlinuz: Path
    initrd: Path
    disk: Path


def node_image(series: str = "6.1") -> NodeImage:
    """Return the node's image with a kernel of this series, from the cache or newly built."""
    guest = repository() / "lab/guest"
    kernel = kernels.kernel(series)
    inputs = {
        "kernel": str(kernel.relative_to(cache_dir())),
        "packages": " ".join(PACKAGES),
        "python": " ".join(PYTHON_PACKAGES),
        "left out": " ".join(LEFT_OUT),
        "init": digest(guest / "init", guest / "initrd-init"),
        "size": DISK_SIZE,
        "firmware": " ".join(FIRMWARE),
    }
    folder = cached(f"node-{series}", inputs, lambda made: _build(made, kernel, guest))
    return in_folder(folder)


def in_folder(folder: Path) -> NodeImage:
    """Return the files of an image that was built."""
    return NodeImage(
        firmware=folder / "bios.bin", vmlinuz=folder / "vmlinuz", initrd=folder / "initrd", disk=folder / "node.ext4"
    )


def _build(folder: Path, kernel: Path, guest: Path) -> None:
    suite, package = FIRMWARE
    unpack(folder / "firmware", suite, package, package)
    shutil.copy(folder / "firmware/usr/share/seabios/bios-256k.bin", folder / "bios.bin")
    shutil.rmtree(folder / "firmware")
    root = folder / "root"
    debootstrap(root, "bookworm", PACKAGES)
    (modules,) = (kernel / "lib/modules").iterdir()
    _install_modules(modules, root)
    _install_python(root)
    init = root / "sbin/virtfn-init"
    shutil.copy(guest / "init", init)
    init.chmod(0o755)
    for name in ("src", "out", "tools", "cluster"):
        (root / name).mkdir()
    for cache in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale", "usr/share/man"):
        shutil.rmtree(root / cache, ignore_errors=True)
    _initrd(folder, root, modules.name, guest)
    shutil.copy(next((kernel / "boot").glob("vmlinuz-*")), folder / "vmlinuz")
    disk = folder / "node.ext4"
    run(["mke2fs", "-q", "-t", "ext4", "-d", root, "-O", "^has_journal", "-E", "lazy_itable_init=1", disk, DISK_SIZE])
    shutil.rmtree(root)


def _install_modules(modules: Path, root: Path) -> None:
    target = root / "lib/modules" / modules.name
    shutil.copytree(modules, target, symlinks=True)
    for folder in LEFT_OUT:
        shutil.rmtree(target / folder, ignore_errors=True)
    for link in ("build", "source"):
        (target / link).unlink(missing_ok=True)
    run(["depmod", "-b", root, modules.name])


def _install_python(root: Path) -> None:
    """Install packages for the guest's Python 3.11 and compile them here: under emulation that takes a second each."""
    site = root / "opt/site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(site), "--only-binary=:all:"]
    run([*pip, "--python-version=3.11", "--platform=manylinux2014_x86_64", "--no-compile", *PYTHON_PACKAGES])
    run(["chroot", root, "python3", "-m", "compileall", "-q", "/opt/site"])


def _initrd(folder: Path, root: Path, release: str, guest: Path) -> None:
    """Make the initrd: busybox, and the modules that the disk needs, in the order of modules.dep."""
    tree = folder / "initrd.tree"
    for name in ("bin", "dev", "proc", "sys", "new", "modules"):
        (tree / name).mkdir(parents=True)
    shutil.copy(shutil.which("busybox") or "/bin/busybox", tree / "bin/busybox")
    shutil.copy(guest / "initrd-init", tree / "init")
    (tree / "init").chmod(0o755)
    base = root / "lib/modules" / release
    needs = dict(line.split(":", 1) for line in (base / "modules.dep").read_text().splitlines())
    built_in = {Path(line).stem for line in (base / "modules.builtin").read_text().splitlines()}
    order: list[str] = []
    for wanted in ("virtio_pci", "virtio_blk", "ext4", "crc32c_generic"):
        if wanted in built_in:
            continue
        path = next(name for name in needs if Path(name).name.split(".")[0] == wanted)
        order += [name for name in (*reversed(needs[path].split()), path) if name not in order]
    for number, name in enumerate(order):
        _unpacked(base / name, tree / "modules" / f"{number:02d}-{Path(name).name.split('.')[0]}.ko")
    names = subprocess.run(["find", "."], cwd=tree, capture_output=True, check=True).stdout
    with (folder / "initrd").open("wb") as archive:
        subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=tree, input=names, stdout=archive, check=True)
    shutil.rmtree(tree)


def _unpacked(module: Path, target: Path) -> None:
    """Unpack compressed modules, as Debian 13 and backports have them: busybox cannot."""
    if module.suffix == ".xz":
        with target.open("wb") as file:
            subprocess.run(["xz", "-dc", module], stdout=file, check=True)
    else:
        shutil.copy(module, target)

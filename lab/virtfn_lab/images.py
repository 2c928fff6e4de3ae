"""Container images without a registry: built from the project's own Dockerfile, then unpacked where containerd looks.

Importing images inside an emulated node takes minutes. So a containerd on the machine imports them into a folder, and
that folder becomes a disk of the node.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from virtfn_lab.base_image import BUILD, RUNTIME, TIME, load_bases
from virtfn_lab.buildah import Buildah
from virtfn_lab.cache import cached, digest
from virtfn_lab.consumer_images import archive
from virtfn_lab.paths import repository
from virtfn_lab.progress import step
from virtfn_lab.run import CommandFailedError, run

PROCESSES = ("controller", "agent", "host", "deviceplugin")
MODULES = {
    "controller": "virtfn_operator.controller.controller_process",
    "agent": "virtfn_operator.agent.agent_process",
    "host": "virtfn_host.process.serve, pyroute2",
    "deviceplugin": "virtfn_deviceplugin.__main__",
}
"""Modules that each process imports; together they use everything that is installed for it."""
REGISTRY = "localhost/virtfn"
TAG = "lab"
PAUSE = "localhost/pause:1"
POD = "localhost/virtfn/pod:lab"
"""Image for pods of demo and tests: a static busybox."""
EXAMPLE = "docker.io/library/busybox:latest"
"""The same image under the name that examples/ use."""

DISK_SIZE = "4G"
"""Size of the node's disk: sparse, a snapshot in the node, with room for what pods write."""

CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PIP_SETTINGS = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CERT", "PIP_DEFAULT_TIMEOUT")
"""Environment variables for the build stage, which is part of no image."""

SOURCES = (
    "Dockerfile",
    ".dockerignore",
    "pyproject.toml",
    "requirements",
    "host",
    "operator",
    "deviceplugin",
    "kubectl",
)
"""Files that the images are made from."""


def image_disk(tools: Path, consumers: Sequence[str] = ()) -> Path:
    """Return an ext4 file with containerd's root, all images unpacked.

    Args:
        tools: the folder of containerd and ctr.
        consumers: images of consumer_images.py that are wanted, too; such a disk is an entry of its own in the cache.
    """
    root = repository()
    more = [archive(name) for name in consumers]
    inputs = {
        "sources": digest(*(root / name for name in SOURCES)),
        "bases": f"{BUILD} {RUNTIME}",
        "tools": tools.name,
        "size": DISK_SIZE,
        "names": f"{PAUSE} {POD} {EXAMPLE}",
        **{path.parent.name: "" for path in more},
    }
    name = "-".join(["images", *consumers])
    return cached(name, inputs, lambda folder: _build_disk(folder, tools, more)) / "images.ext4"


def _build_disk(folder: Path, tools: Path, more: list[Path]) -> None:
    buildah = Buildah()
    load_bases(buildah)
    archives = folder / "archives"
    archives.mkdir()
    with step("building images"):
        names = {process: f"{REGISTRY}/{process}:{TAG}" for process in PROCESSES}
        build_images(buildah, {"BASE": BUILD, "RUNTIME": RUNTIME}, archives, names, TIME)
        _busybox_image(buildah, PAUSE, ["sleep", "2147483647"], archives / "pause.tar")
        _busybox_image(buildah, POD, ["sleep", "2147483647"], archives / "pod.tar")
        _busybox_image(buildah, EXAMPLE, ["sh"], archives / "example.tar")
    with step("unpacking images for the node"):
        _import(tools, folder, [*sorted(archives.glob("*.tar")), *more])
    shutil.rmtree(archives)
    disk = folder / "images.ext4"
    run(["mke2fs", "-q", "-t", "ext4", "-d", folder / "containerd", "-O", "^has_journal", disk, DISK_SIZE])
    shutil.rmtree(folder / "containerd")
    shutil.rmtree(folder / "state", ignore_errors=True)


def build_images(
    buildah: Buildah, arguments: Mapping[str, str], archives: Path, names: Mapping[str, str], time: int
) -> None:
    """Write one OCI archive for each process, `archives/PROCESS.tar`.

    Args:
        arguments: for the Dockerfile: BASE and RUNTIME, which are pulled if the storage lacks them, and VERSION.
        names: the name of each process's image.
        time: the time of everything in the images, in seconds since 1970.
    """
    settings = {name: os.environ[name] for name in PIP_SETTINGS if name in os.environ}
    for process in PROCESSES:
        words = ["bud", "--quiet", "--layers", "--timestamp", str(time), "--target", process]
        for setting, value in {**settings, **arguments}.items():
            words += ["--build-arg", f"{setting}={value}"]
        if CERTIFICATES.exists():
            words += ["--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro"]
        buildah(*words, "-t", names[process], repository())
        _expect_it_starts(buildah, names[process], MODULES[process])
        buildah("push", "--quiet", names[process], f"oci-archive:{archives / process}.tar:{names[process]}")


def _expect_it_starts(buildah: Buildah, name: str, modules: str) -> None:
    """Import a process's modules in its own image: only that shows that the base lacks a library of a wheel."""
    container = buildah("from", "--pull-never", name).strip()
    buildah("run", container, "--", "/opt/virtfn/bin/python3", "-c", f"import {modules}")
    buildah("rm", container)


def _busybox_image(buildah: Buildah, name: str, command: list[str], archive: Path) -> None:
    container = buildah("from", "scratch").strip()
    busybox = shutil.which("busybox") or "/bin/busybox"
    buildah("copy", "--quiet", container, busybox, "/bin/busybox")
    buildah("run", container, "/bin/busybox", "--install", "-s", "/bin")
    buildah("config", "--env", "PATH=/bin", "--cmd", " ".join(command), container)
    buildah("commit", "--quiet", "--rm", container, f"oci-archive:{archive}:{name}")


def _import(tools: Path, folder: Path, archives: list[Path]) -> None:
    with _containerd(tools, folder) as address:
        for archive in archives:
            run([tools / "ctr", "-a", address, "-n", "k8s.io", "images", "import", "--local", archive], timeout=600)


@contextmanager
def _containerd(tools: Path, folder: Path) -> Iterator[Path]:
    """Run a containerd on the machine for a moment, with its root in the folder."""
    address = folder / "containerd.sock"
    config = folder / "config.toml"
    config.write_text('version = 3\ndisabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime"]\n')
    words = [tools / "containerd", "-c", config, "--root", folder / "containerd", "--state", folder / "state"]
    with (folder / "containerd.log").open("wb") as log:
        process = subprocess.Popen(
            [*map(str, words), "--address", str(address)], stdout=log, stderr=log, env=_path(tools)
        )
    try:
        _until_answers(tools, address, process, folder / "containerd.log")
        yield address
    finally:
        process.terminate()
        process.wait(30)
        for path in (address, config, folder / "containerd.log"):
            path.unlink(missing_ok=True)


def _path(tools: Path) -> Mapping[str, str]:
    return os.environ | {"PATH": f"{tools}:{os.environ.get('PATH', '')}"}


def _until_answers(tools: Path, address: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until containerd answers; each `ctr` call waits up to a second for the socket by itself."""
    for _ in range(60):
        if process.poll() is not None:
            raise CommandFailedError(f"containerd ended:\n{log.read_text()[-2000:]}")
        words = [tools / "ctr", "--connect-timeout", "1s", "-a", address, "version"]
        if subprocess.run([*map(str, words)], capture_output=True, check=False).returncode == 0:
            return
    raise CommandFailedError(f"containerd does not answer:\n{log.read_text()[-2000:]}")

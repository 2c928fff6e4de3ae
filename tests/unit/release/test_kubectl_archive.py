"""The plugin in one file, its archive for krew, and krew's manifest: same bytes, nothing missing, fields as krew's."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from virtfn_lab.paths import repository
from virtfn_release import kubectl_archive

ROOT = repository()
FIELDS = {
    "": {"apiVersion", "kind", "metadata", "spec"},
    "spec": {"version", "shortDescription", "description", "caveats", "homepage", "platforms"},
    "platform": {"uri", "sha256", "selector", "files", "bin"},
}
"""The fields of krew's pkg/index/types.go; its `license` is not among the documented ones."""


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    kubectl_archive.write(folder, ROOT, "1.2.3", "https://releases.example/v1.2.3")
    return folder


@pytest.fixture(scope="module")
def manifest(dist: Path) -> Any:
    return yaml.safe_load((dist / "virtfn.yaml").read_text())


def ran(program: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run it as people do, without anything that is installed beside Python."""
    command = [sys.executable, "-I", "-S", "-B", str(program), *words]
    return subprocess.run(command, env=environ, cwd="/", capture_output=True, text=True, check=False)


def test_two_builds_are_the_same_bytes_whatever_the_times_of_files(tmp_path: Path, dist: Path) -> None:
    for name in ("kubectl", "operator", "host", "packaging"):
        shutil.copytree(ROOT / name, tmp_path / "copy" / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "LICENSE", tmp_path / "copy")
    for path in (tmp_path / "copy").rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    kubectl_archive.write(tmp_path / "dist", tmp_path / "copy", "1.2.3", "https://releases.example/v1.2.3")
    for name in ("kubectl-virtfn", "kubectl-virtfn.zip", "virtfn.yaml"):
        assert (tmp_path / "dist" / name).read_bytes() == (dist / name).read_bytes(), name


@pytest.mark.parametrize("words", [["--help"], ["status", "--help"], ["report", "--help"]])
def test_it_runs_without_anything_installed(dist: Path, words: list[str]) -> None:
    done = ran(dist / "kubectl-virtfn", *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: kubectl virtfn")


def test_it_tells_its_version(dist: Path) -> None:
    assert ran(dist / "kubectl-virtfn", "--version").stdout == "kubectl virtfn 1.2.3\n"


def test_every_module_that_a_verb_imports_is_in_it(dist: Path, tmp_path: Path) -> None:
    """Each verb is run to its first question: by then everything is imported."""
    kubectl = tmp_path / "kubectl"
    kubectl.write_text("#!/bin/sh\necho 'Error from server (Forbidden): no' >&2\nexit 1\n")
    kubectl.chmod(0o755)
    for words in (["status"], ["why", "x"], ["list", "n"], ["topology", "n"], ["check"], ["rollout", "status", "x"]):
        done = ran(dist / "kubectl-virtfn", *words, KUBECTL=str(kubectl), PATH="/usr/bin:/bin")
        assert done.returncode == 1
        assert "Forbidden: /" in done.stderr
        assert "Traceback" not in done.stderr


def test_without_shtab_completion_says_what_it_needs(dist: Path) -> None:
    done = ran(dist / "kubectl-virtfn", "completion", "bash")
    assert done.returncode == 2
    assert "pip install 'virtfn[kubectl]'" in done.stderr


def test_nothing_of_the_processes_is_in_it(dist: Path) -> None:
    names = zipfile.ZipFile(dist / "kubectl-virtfn").namelist()
    assert not [name for name in names if "/linux/" in name or "/agent/" in name or "/apiserver/" in name]
    assert "virtfn_kubectl/verbs.py" in names


def test_an_older_python_is_refused_in_one_line() -> None:
    program = "import sys\nsys.version_info = (3, 9, 2)\nexec(sys.stdin.read())"
    words = [sys.executable, "-I", "-c", program]
    done = subprocess.run(words, input=kubectl_archive.MAIN, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("kubectl virtfn: needs Python 3.11 or newer, and ")


# --- krew ------------------------------------------------------------------------------------------------------------


def test_the_archive_has_the_program_executable_and_the_licence(dist: Path) -> None:
    with zipfile.ZipFile(dist / "kubectl-virtfn.zip") as parts:
        modes = {entry.filename: stat.filemode(entry.external_attr >> 16) for entry in parts.infolist()}
        assert parts.read("kubectl-virtfn") == (dist / "kubectl-virtfn").read_bytes()
    assert modes == {"kubectl-virtfn": "-rwxr-xr-x", "LICENSE": "-rw-r--r--"}


def test_the_manifest_has_only_fields_that_krew_documents(manifest: Any) -> None:
    assert set(manifest) == FIELDS[""]
    assert set(manifest["spec"]) == FIELDS["spec"]
    assert all(set(platform) == FIELDS["platform"] for platform in manifest["spec"]["platforms"])


def test_krews_own_rules_hold(manifest: Any) -> None:
    """What krew's ValidatePlugin asks for (internal/index/validation/validate.go)."""
    spec = manifest["spec"]
    assert manifest["apiVersion"] == "krew.googlecontainertools.github.com/v1alpha2"
    assert manifest["kind"] == "Plugin"
    assert manifest["metadata"] == {"name": Path(kubectl_archive.TEMPLATE).stem}
    assert re.fullmatch(r"v\d+\.\d+\.\d+(-[\w.]+)?", spec["version"])
    assert "\n" not in spec["shortDescription"]
    assert 0 < len(spec["shortDescription"]) <= 50
    for platform in spec["platforms"]:
        assert re.fullmatch("[a-f0-9]{64}", platform["sha256"])
        assert platform["uri"].endswith((".zip", ".tar.gz"))
        assert {rule["key"] for rule in platform["selector"]["matchExpressions"]} <= {"os", "arch"}
        assert all(file["from"] and file["to"] for file in platform["files"])


def test_the_manifest_is_of_this_archive(manifest: Any, dist: Path) -> None:
    (platform,) = manifest["spec"]["platforms"]
    digest = hashlib.sha256((dist / "kubectl-virtfn.zip").read_bytes()).hexdigest()
    assert platform["sha256"] == digest
    assert platform["uri"] == "https://releases.example/v1.2.3/kubectl-virtfn.zip"
    assert platform["bin"] == "kubectl-virtfn"
    assert "@" not in (dist / "virtfn.yaml").read_text()


@pytest.mark.parametrize("version", ["0.1.0", "0.2.1.dev5", "1.0.0-rc.1"])
def test_a_version_is_filled_in(version: str) -> None:
    filled = kubectl_archive.manifest(
        (ROOT / kubectl_archive.TEMPLATE).read_text(), version, "0" * 64, "https://x.example"
    )
    assert yaml.safe_load(filled)["spec"]["version"] == f"v{version}"

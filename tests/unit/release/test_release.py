"""A release: one flat folder with everything of a version, the same bytes twice, whole or not at all."""

import hashlib
import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_release import write_helm, write_images

from virtfn_lab.images import PROCESSES
from virtfn_lab.paths import repository
from virtfn_release import release
from virtfn_release.archive import read_image
from virtfn_release.release_version import ReleaseError, read_version

VERSION = read_version("1.2.3-rc.1")
FOLDERS = ("host", "operator", "deviceplugin", "kubectl", "charts", "crds", "changes.d", "packaging")
FILES = ("pyproject.toml", "LICENSE", "README.md", "CHANGELOG.md", ".gitignore")
NAMES = {
    "virtfn-1.2.3rc1-py3-none-any.whl",
    "virtfn-1.2.3rc1.tar.gz",
    "virtfn-1.2.3-rc.1.tgz",
    *(f"virtfn-{process}-1.2.3-rc.1.{end}" for process in PROCESSES for end in ("oci.tar", "cdx.json")),
    "crds.yaml",
    "install.yaml",
    "kubectl-virtfn",
    "kubectl-virtfn.zip",
    "virtfn.yaml",
    "virtfn.pyz",
    "notes.md",
    "artefacts.json",
    "SHA256SUMS",
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> release.Source:
    root = tmp_path_factory.mktemp("root")
    for name in FOLDERS:
        shutil.copytree(repository() / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(repository() / name, root)
    return release.Source(
        root=root,
        version=VERSION,
        time=1_700_000_000,
        commit="c" * 40,
        registry="registry.example/virtfn",
        base="https://releases.example/v1",
    )


@pytest.fixture(scope="module")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_helm(tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_images(tmp_path_factory.mktemp("images"), VERSION.python)


@pytest.fixture(scope="module")
def made(source: release.Source, helm: Path, archives: dict[str, Path]) -> Path:
    release.make(source, helm, archives)
    return release.folder(source.root)


def listed(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "artefacts.json").read_text())
    return found


def test_it_has_everything_in_one_folder(made: Path) -> None:
    assert {path.name for path in made.iterdir()} == NAMES
    assert [path for path in made.parent.iterdir() if path != made] == []


def test_the_list_has_every_file_with_digest_and_size(made: Path) -> None:
    about = listed(made)
    assert (about["version"], about["commit"], about["time"]) == ("1.2.3-rc.1", "c" * 40, 1_700_000_000)
    assert {each["name"] for each in about["artefacts"]} == NAMES - {"artefacts.json", "SHA256SUMS"}
    for each in about["artefacts"]:
        content = (made / each["name"]).read_bytes()
        assert (each["sha256"], each["size"]) == (hashlib.sha256(content).hexdigest(), len(content))
    kinds = [each["kind"] for each in about["artefacts"]]
    assert {kind: kinds.count(kind) for kind in set(kinds) if kinds.count(kind) > 1} == {
        "image": 4,
        "bill of materials": 4,
    }


def test_sha256sum_agrees(made: Path) -> None:
    done = subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=made, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(NAMES) - 1


def test_the_chart_names_the_images_of_this_release_by_digest(made: Path) -> None:
    with tarfile.open(made / "virtfn-1.2.3-rc.1.tgz") as package:
        member = package.extractfile("virtfn/values.yaml")
        assert member is not None
        values = yaml.safe_load(member)
    digests = {each["image"] for each in listed(made)["artefacts"] if each["kind"] == "image"}
    assert len(digests) == 4
    assert all(digest in str(values) for digest in digests)
    assert values["image"]["registry"] == "registry.example/virtfn"


def test_an_image_keeps_its_digest_and_loses_the_times_of_its_build(made: Path, archives: dict[str, Path]) -> None:
    for process in PROCESSES:
        given = read_image(archives[process], lambda _: True)
        path = made / f"virtfn-{process}-1.2.3-rc.1.oci.tar"
        assert read_image(path, lambda _: True) == given
        with tarfile.open(path) as taken:
            assert {member.mtime for member in taken} == {1_700_000_000}


def test_the_notes_are_the_section_that_the_changelog_will_have(made: Path) -> None:
    assert (made / "notes.md").read_text().startswith("## 1.2.3-rc.1 (2023-11-14)\n")


def test_a_second_one_from_other_times_is_the_same_bytes_and_replaces_the_first(
    source: release.Source, helm: Path, made: Path, tmp_path: Path
) -> None:
    first = {path.name: path.read_bytes() for path in made.iterdir()}
    (made / "left-over").touch()
    release.make(source, helm, write_images(tmp_path, VERSION.python))
    assert {path.name: path.read_bytes() for path in made.iterdir()} == first


def test_an_image_of_another_version_is_refused_and_the_release_before_stays(
    source: release.Source, helm: Path, made: Path, tmp_path: Path
) -> None:
    with pytest.raises(ReleaseError, match=r"the image of host has virtfn 9\.9\.9, not 1\.2\.3rc1"):
        release.make(source, helm, write_images(tmp_path, VERSION.python, other="host"))
    assert {path.name for path in made.iterdir()} == NAMES
    assert [path for path in made.parent.iterdir() if path != made] == []


def test_a_missing_image_is_named(source: release.Source, helm: Path, tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=r"no archives .*host\.tar"):
        release.make(source, helm, {process: tmp_path / f"{process}.tar" for process in PROCESSES})


def test_the_table_has_each_file_and_each_image(made: Path) -> None:
    artefacts = [release.Artefact(**each) for each in listed(made)["artefacts"]]
    lines = list(release.table(artefacts))
    assert all(any(line.startswith(each.name) and each.sha256 in line for line in lines) for each in artefacts)
    assert sum("sha256:" in line for line in lines) == 4

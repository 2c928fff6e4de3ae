"""What is pushed is what the release lists: to a real registry, by digest, and only if no file was changed."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_release import write_images
from served_registry import PASSWORDS, served

from virtfn_lab.go_tools import helm
from virtfn_lab.images import PROCESSES
from virtfn_lab.run import CommandFailedError
from virtfn_release import release
from virtfn_release.archive import read_image
from virtfn_release.push import Registry, push
from virtfn_release.release_version import ReleaseError, read_version

TIME = 1_700_000_000
NO_HELM = Path("/nonexistent/helm")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with served(tmp_path_factory.mktemp("registry")) as address:
        yield Registry(name=f"{address}/some/virtfn", plain_http=True)


def finished(folder: Path, named: str = "") -> Path:
    """List what is in a folder as a release does whose chart names a registry."""
    source = release.Source(
        root=folder, version=read_version("1.2.3"), time=TIME, commit="", registry=named, base="https://x.example"
    )
    digests = {path.name.split("-")[1]: read_image(path, lambda _: False).digest for path in folder.glob("*.oci.tar")}
    artefacts = release.described(folder, digests)
    (folder / release.LIST).write_text(release.listed(source, artefacts))
    (folder / release.SUMS).write_text(release.sums(artefacts))
    return folder


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A release of nothing but images."""
    folder = tmp_path / "release"
    folder.mkdir()
    for process, archive in write_images(tmp_path / "images", "1.2.3").items():
        release.settle(archive, folder / f"virtfn-{process}-1.2.3.oci.tar", TIME)
    return finished(folder)


def inspected(reference: str) -> dict[str, object]:
    words = ["skopeo", "inspect", "--tls-verify=false", f"docker://{reference}"]
    found: dict[str, object] = json.loads(subprocess.run(words, capture_output=True, check=True, timeout=30).stdout)
    return found


def test_each_image_can_be_had_by_its_digest_and_by_the_version(images: Path, registry: Registry) -> None:
    pushed = push(images, registry, NO_HELM)
    assert list(pushed) == sorted(PROCESSES)
    for process, reference in pushed.items():
        digest = read_image(images / f"virtfn-{process}-1.2.3.oci.tar", lambda _: False).digest
        assert reference == f"{registry.name}/{process}@{digest}"
        assert inspected(reference)["Digest"] == digest
        assert inspected(f"{registry.name}/{process}:1.2.3")["Digest"] == digest


def test_pushing_twice_changes_nothing(images: Path, registry: Registry) -> None:
    assert push(images, registry, NO_HELM) == push(images, registry, NO_HELM)


def test_it_says_that_the_chart_names_another_registry(
    images: Path, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    for named in (registry.name, "registry.example/virtfn"):
        for path in (images / release.LIST, images / release.SUMS):
            path.unlink()
        push(finished(images, named), registry, NO_HELM)
        said = "the chart names registry.example/virtfn: whoever" in capsys.readouterr().out
        assert said == (named != registry.name)


@pytest.mark.parametrize("change", ["other", "gone"])
def test_a_file_that_changed_after_the_release_is_not_pushed(images: Path, registry: Registry, change: str) -> None:
    path = images / "virtfn-host-1.2.3.oci.tar"
    path.write_bytes(b"other") if change == "other" else path.unlink()
    with pytest.raises(ReleaseError, match=r"virtfn-host-1\.2\.3\.oci\.tar is not the file that SHA256SUMS names"):
        push(images, registry, NO_HELM)


@pytest.mark.parametrize("missing", [release.LIST, release.SUMS])
def test_half_a_release_is_none(images: Path, missing: str) -> None:
    (images / missing).unlink()
    with pytest.raises(ReleaseError, match=rf"no release to push, .*{missing} is missing: make release"):
        push(images, Registry(name="registry.invalid/x"), NO_HELM)


def test_user_and_password_are_needed_where_the_registry_asks_for_them(images: Path, tmp_path: Path) -> None:
    with served(tmp_path / "closed", PASSWORDS) as address:
        known = Registry(name=f"{address}/virtfn", plain_http=True, user="someone", password="secret")
        with pytest.raises(CommandFailedError, match=r"unauthorized|authentication"):
            push(images, Registry(name=known.name, plain_http=True, user="someone", password="other"), NO_HELM)
        assert len(push(images, known, NO_HELM)) == 4


def test_a_chart_has_the_same_digest_whenever_and_wherever_it_is_pushed(
    tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = helm()
    chart = tmp_path / "chart"
    chart.mkdir()
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: virtfn\nversion: 1.2.3\n")
    folder = tmp_path / "release"
    subprocess.run([program, "package", "--destination", folder, chart], check=True, capture_output=True)
    finished(folder)
    found = []
    for zone, path in (("UTC", "here"), ("Asia/Tokyo", "there")):
        monkeypatch.setenv("TZ", zone)
        (folder / "virtfn-1.2.3.tgz").touch()
        found.append(push(folder, Registry(name=f"{registry.name}/{path}", plain_http=True), program)["chart"])
    assert [each.partition("@")[0] for each in found] == [
        f"{registry.name}/{w}/charts/virtfn" for w in ("here", "there")
    ]
    assert len({each.partition("@")[2] for each in found}) == 1
    words = [str(program), "show", "chart", "--plain-http", f"oci://{found[0]}"]
    assert "version: 1.2.3" in subprocess.run(words, capture_output=True, text=True, check=True, timeout=30).stdout

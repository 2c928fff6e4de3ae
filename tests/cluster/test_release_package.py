"""The release's chart and manifest as the real Helm makes them; no cluster is needed, but Helm is built first."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from virtfn_lab.go_tools import helm
from virtfn_lab.images import PROCESSES
from virtfn_lab.paths import repository
from virtfn_release.chart_package import NOWHERE, About, install_manifest, package

DIGESTS = {process: f"sha256:{number}{'a' * 63}" for number, process in enumerate(PROCESSES)}


@pytest.mark.parametrize("registry", ["", "registry.example/virtfn"])
def test_helm_makes_the_same_package_twice_and_its_objects_name_the_images_by_digest(
    tmp_path: Path, registry: str
) -> None:
    program = helm()
    about = About(version="1.2.3-rc.1", registry=registry, digests=DIGESTS, time=1_700_000_000)
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    first, second = (package(repository(), tmp_path / name, program, about) for name in ("first", "second"))
    assert first.name == "virtfn-1.2.3-rc.1.tgz"
    assert first.read_bytes() == second.read_bytes()
    text = install_manifest(program, first, about)
    objects = [each for each in yaml.safe_load_all(text) if each]
    (namespace,) = [each for each in objects if each["kind"] == "Namespace"]
    assert namespace["metadata"]["name"] == "virtfn-system"
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "privileged"
    assert [each["kind"] for each in objects].index("Namespace") < 3, "before all that is in it"
    assert not [each for each in objects if "helm.sh/hook" in each["metadata"].get("annotations", {})]
    found = re.findall(r"image: \"?(\S+?)\"?$", text, re.MULTILINE)
    assert set(found) == {f"{registry or NOWHERE}/{process}@{digest}" for process, digest in DIGESTS.items()}

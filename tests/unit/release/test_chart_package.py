"""Digests and registry get into the chart's values wherever they are kept, and nothing else of the text changes."""

from pathlib import Path

import pytest
import yaml
from fake_release import write_helm

from virtfn_lab.images import PROCESSES
from virtfn_lab.paths import repository
from virtfn_release.chart_package import CHART, About, crds, install_manifest, with_images
from virtfn_release.release_version import ReleaseError

DIGESTS = {process: f"sha256:{number}{'a' * 63}" for number, process in enumerate(PROCESSES)}
BY_PROCESS = """# of all images
image:
  registry: "" # yours
  tag: ""
{}
other: {{agent: keep, digests: [keep]}}
"""


def image(process: str) -> str:
    return f'  {process}:\n    repository: {process} # a name\n    digest: ""\n'


SHAPES = {
    "below image": BY_PROCESS.format("".join(image(process) for process in PROCESSES)),
    "digests": BY_PROCESS.format("  digests:\n" + "".join(f'    {process}: ""\n' for process in PROCESSES)),
    "images": BY_PROCESS.format("images:\n" + "".join(image(process) for process in PROCESSES)),
    "of each component": BY_PROCESS.format(
        "controller: {image: {digest: ''}}\nagent: {image: {digest: ''}, host: {image: {digest: ''}}}\n"
        "devicePlugin: {image: {digest: ''}}"
    ),
}
SHAPES["both"] = (
    SHAPES["of each component"]
    + "digests:\n"
    + "".join(f"  {process}: keep # counts if the image's own is empty\n" for process in PROCESSES)
)


def scalars(value: object) -> list[object]:
    return [each for part in value.values() for each in scalars(part)] if isinstance(value, dict) else [value]


@pytest.mark.parametrize("shape", SHAPES)
def test_each_digest_and_the_registry_are_filled_in(shape: str) -> None:
    filled = with_images(SHAPES[shape], "registry.example/virtfn", DIGESTS)
    found = scalars(yaml.safe_load(filled))
    assert [found.count(wanted) for wanted in (*DIGESTS.values(), "registry.example/virtfn")] == [1] * 5
    emptied = filled.replace('"registry.example/virtfn"', '""')
    for digest in DIGESTS.values():
        emptied = emptied.replace(f'"{digest}"', '""')
    assert emptied == SHAPES[shape].replace("''", '""')


def test_without_a_registry_the_value_stays() -> None:
    assert yaml.safe_load(with_images(SHAPES["images"], "", DIGESTS))["image"]["registry"] == ""


def test_our_own_values_have_a_place_for_each() -> None:
    text = (repository() / CHART / "values.yaml").read_text()
    filled = with_images(text, "registry.example/virtfn", DIGESTS)
    assert [scalars(yaml.safe_load(filled)).count(digest) for digest in DIGESTS.values()] == [1] * 4
    assert len(filled.splitlines()) == len(text.splitlines())


@pytest.mark.parametrize("more", ["", "agent: {digest: ''}\nimages: {agent: {digest: ''}}\n"])
def test_a_chart_with_no_place_or_two_is_refused(more: str) -> None:
    with pytest.raises(ReleaseError, match="exactly one place for the digest of agent"):
        with_images(f"image: {{registry: ''}}\n{more}", "", {"agent": DIGESTS["agent"]})


@pytest.mark.parametrize("registry", ["", "registry.example/virtfn"])
def test_the_manifest_says_how_to_apply_it_and_what_to_replace(tmp_path: Path, registry: str) -> None:
    about = About(version="1.2.3", registry=registry, digests=DIGESTS, time=0)
    text = install_manifest(write_helm(tmp_path), tmp_path / "virtfn-1.2.3.tgz", about)
    head, _, rendered = text.partition("---\n")
    assert all(line.startswith("# ") for line in head.splitlines())
    assert "kubectl apply --server-side -f install.yaml" in head
    assert ("put yours in place of registry.invalid/virtfn" in head) == (not registry)
    assert ("registry.invalid/virtfn" in rendered) == (not registry)
    assert "namespace.create=true" in rendered


def test_the_bundle_has_every_crd() -> None:
    kinds = [each["spec"]["names"]["kind"] for each in yaml.safe_load_all(crds(repository()))]
    assert sorted(kinds) == ["SriovNode", "SriovPolicy"]

"""The chart as a package of a release, and the same objects as plain manifests for `kubectl apply`.

The package names the release's images by digest, so whoever serves the images cannot exchange them. Helm itself makes
two packages of the same files the same bytes, if SOURCE_DATE_EPOCH is set.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from virtfn_lab.run import run
from virtfn_release.release_version import ReleaseError

CHART = "charts/virtfn"
CRDS = "crds"
NAMESPACE = "virtfn-system"
NOWHERE = "registry.invalid/virtfn"
"""The registry in a manifest of a release that names none."""
OLDEST_KUBERNETES = "1.31"
"""The oldest Kubernetes for which the plain manifest is rendered: it allows all of the chart's safeguards. Only Helm
sees which version a cluster has."""

_REGISTRY = ("image", "registry")


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a release writes into its chart."""

    version: str
    """Both the chart's `version` and its `appVersion`."""
    registry: str
    """Where the images will be, `host/path`; empty leaves it to whoever installs."""
    digests: Mapping[str, str]
    """`sha256:HEX` of each process's image."""
    time: int
    """Of every file, in seconds since 1970."""


def package(root: Path, folder: Path, helm: Path, about: About) -> Path:
    """Write the chart's package into a folder and return its path.

    Args:
        root: the repository.
        helm: the program.

    Raises:
        ReleaseError: the chart's values have no place for a digest.
        CommandFailedError: Helm refused the chart.
    """
    with tempfile.TemporaryDirectory() as temporary:
        chart = Path(temporary) / "virtfn"
        shutil.copytree(root / CHART, chart)
        values = chart / "values.yaml"
        values.write_text(with_images(values.read_text(), about.registry, about.digests))
        run([helm, "lint", "--strict", "--quiet", *_somewhere(about), chart])
        words = ["--version", about.version, "--app-version", about.version, "--destination", str(folder)]
        run([helm, "package", *words, chart], env={"SOURCE_DATE_EPOCH": str(about.time)})
    return folder / f"virtfn-{about.version}.tgz"


def _somewhere(about: About) -> list[str]:
    """Return Helm's options that render a chart which names no registry."""
    return [] if about.registry else ["--set", f"{'.'.join(_REGISTRY)}={NOWHERE}"]


def with_images(values: str, registry: str, digests: Mapping[str, str]) -> str:
    """Return the text of a values.yaml with registry and digests filled in; all else of it stays, comments too.

    The digest of a process is a key `digest` below one with the name of the process, as `agent.image.digest` or
    `images.agent.digest`; where there is none, a key with its name below `digests`, as `image.digests.agent`.

    Args:
        registry: empty: that value stays.

    Raises:
        ReleaseError: there is not exactly one place for each.
    """
    wanted = {f"digest of {process}": digest for process, digest in digests.items()}
    wanted |= {"registry": registry} if registry else {}
    scalars = list(_scalars(yaml.compose(values), ()))
    places = {what: _places(scalars, what) for what in wanted}
    if odd := [what for what, nodes in places.items() if len(nodes) != 1]:
        raise ReleaseError(f"{CHART}/values.yaml does not have exactly one place for the {' and the '.join(odd)}")
    filled = sorted(((nodes[0], wanted[what]) for what, nodes in places.items()), key=lambda each: -_begin(each[0]))
    for node, value in filled:
        values = values[: _begin(node)] + json.dumps(value) + values[node.end_mark.index :]
    return values


def _places(scalars: Sequence[tuple[tuple[str, ...], yaml.Node]], what: str) -> list[yaml.Node]:
    found = [(path, node) for path, node in scalars if _meant(path) == what]
    own = [node for path, node in found if path[-1] == "digest"]
    return own or [node for _, node in found]


def _meant(path: tuple[str, ...]) -> str:
    """Return what a value of the chart is: the registry of all images, or the digest of one, or nothing of these."""
    if path == _REGISTRY:
        return "registry"
    words = [word.lower() for word in path]
    names = [word for word in words if word not in ("image", "images", "digest", "digests")]
    return f"digest of {names[-1]}" if names and {"digest", "digests"} & set(words) else ""


def _begin(node: yaml.Node) -> int:
    begin: int = node.start_mark.index
    return begin


def _scalars(node: yaml.Node | None, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _scalars(value, (*path, key.value))
    elif isinstance(node, yaml.ScalarNode):
        yield path, node


def crds(root: Path) -> str:
    """Return all CRDs as one stream of YAML."""
    return "".join(f"---\n{path.read_text()}" for path in sorted((root / CRDS).glob("*.yaml")))


def install_manifest(helm: Path, chart: Path, about: About) -> str:
    """Return what `helm install` of a package would create: namespace with its labels, CRDs and all objects.

    If the release names no registry, the manifest names NOWHERE and says so.

    Raises:
        CommandFailedError: Helm refused the chart.
    """
    words = [str(helm), "template", "virtfn", str(chart), "--namespace", NAMESPACE, "--include-crds", "--no-hooks"]
    words += ["--kube-version", f"{OLDEST_KUBERNETES}.0", "--set", "namespace.create=true"]
    rendered = run([*words, *_somewhere(about)])
    lines = [
        f"virtfn {about.version} without Helm, for Kubernetes {OLDEST_KUBERNETES} or newer:",
        "    kubectl apply --server-side -f install.yaml",
        f"Made from {chart.name} by `helm template`, with its default values and the namespace {NAMESPACE}.",
    ]
    if not about.registry:
        lines.append(f"This release names no registry: put yours in place of {NOWHERE} before you apply it.")
    return "".join(f"# {line}\n" for line in lines) + rendered

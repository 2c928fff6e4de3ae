"""Reads what the generated pages are made from, and writes them: `make reference`."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import yaml

from virtfn_host.cli import options as node_options
from virtfn_host.cli.verbs import VERBS as NODE_VERBS
from virtfn_host.metrics import METRICS
from virtfn_kubectl import options as kubectl_options
from virtfn_kubectl.judge.next_steps import NEXT
from virtfn_kubectl.verbs import VERBS as KUBECTL_VERBS
from virtfn_release.reference.commands import commands_page
from virtfn_release.reference.crds import crds_page
from virtfn_release.reference.decisions import NAME, decisions_page
from virtfn_release.reference.values import values_page
from virtfn_release.reference.words import metrics_page, reasons_page

FOLDER = "docs/reference"
DECISIONS = "docs/decisions"
CHART = "charts/virtfn"
REASONS = "host/virtfn_host/core/values/reasons.py"


def pages(root: Path) -> Mapping[str, Callable[[], str]]:
    """Return the generated pages of the repository at `root`, by path from there; each is generated when called."""
    return {
        f"{FOLDER}/crds.md": lambda: crds_page([_crd(root, name) for name in ("sriovpolicies", "sriovnodes")]),
        f"{FOLDER}/values.md": lambda: values_page(
            (root / CHART / "values.yaml").read_text(), json.loads((root / CHART / "values.schema.json").read_text())
        ),
        f"{FOLDER}/commands.md": lambda: commands_page(
            [node_options.command(NODE_VERBS), kubectl_options.command(KUBECTL_VERBS)]
        ),
        f"{FOLDER}/metrics.md": lambda: metrics_page(METRICS),
        f"{FOLDER}/reasons.md": lambda: reasons_page((root / REASONS).read_text(), NEXT),
        f"{DECISIONS}/README.md": lambda: decisions_page(_decisions(root)),
    }


def _decisions(root: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (root / DECISIONS).iterdir() if NAME.fullmatch(path.name)}


def _crd(root: Path, name: str) -> Mapping[str, object]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where PyYAML was built with it
    found: Mapping[str, object] = yaml.load((root / f"crds/{name}.yaml").read_text(), Loader=loader)
    return found


def write_pages(root: Path) -> list[str]:
    """Write the generated pages; return the paths of those that changed."""
    changed = []
    for name, generate in pages(root).items():
        path, text = root / name, generate()
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            changed.append(name)
    return changed

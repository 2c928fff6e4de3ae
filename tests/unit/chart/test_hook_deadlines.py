"""A hook ends by itself before Helm gives it up: then its Job has failed, and its log says why."""

from pathlib import Path
from typing import Any

import pytest
import yaml

GOLDENS = sorted((Path(__file__).parents[2] / "cluster/chart_goldens").glob("*.rendered.yaml"))
HELM = 300
"""Seconds of Helm's own --timeout."""
IMAGE = 100
"""Seconds that a hook has at least for its image, beside those that it waits."""


def jobs(path: Path) -> list[dict[str, Any]]:
    found = list(yaml.load_all(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    return [it for it in found if it and it["kind"] == "Job" and "helm.sh/hook" in it["metadata"]["annotations"]]


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.name.partition(".")[0])
def test_every_hook_ends_before_helm_gives_it_up_and_after_all_that_it_waits_for(path: Path) -> None:
    for job in jobs(path):
        deadline = job["spec"]["activeDeadlineSeconds"]
        given = {it["name"]: it.get("value") for it in job["spec"]["template"]["spec"]["containers"][0]["env"]}
        waits = int(given.get("VIRTFN_HOOK_TIMEOUT") or 0)
        assert waits + IMAGE <= deadline < max(HELM, waits + HELM - IMAGE)


def test_the_three_hooks_are_in_the_default_rendering() -> None:
    (default,) = (path for path in GOLDENS if path.name == "default.rendered.yaml")
    assert len(jobs(default)) == 3

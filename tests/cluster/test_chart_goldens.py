"""Eight sets of values: what they render to is written down, and a real API server takes it.

After a change of the chart, `make chart-goldens` writes the renderings anew; their difference is what the change does.
"""

from __future__ import annotations

import pytest
import yaml

from virtfn_lab import chart_files
from virtfn_lab.cluster import Cluster
from virtfn_lab.product import CHART

FOREIGN = {"monitoring.coreos.com/v1", "security.openshift.io/v1"}
"""APIs of other programs, which the lab's API server does not have."""
each = pytest.mark.parametrize("name", chart_files.sets())


def test_there_are_eight_sets_and_each_says_what_it_is_for() -> None:
    assert len(chart_files.sets()) == 8
    for name in chart_files.sets():
        assert (chart_files.GOLDENS / f"{name}.values.yaml").read_text().startswith("# ")


@each
def test_a_set_renders_to_what_is_written_down(name: str) -> None:
    assert chart_files.rendered(name) == chart_files.golden(name).read_text(), "see `make chart-goldens`"


def test_no_rendering_is_of_a_set_that_is_gone() -> None:
    assert {path.name for path in chart_files.GOLDENS.glob("*.rendered.yaml")} == {
        chart_files.golden(name).name for name in chart_files.sets()
    }


def test_the_readme_is_what_helm_docs_makes_of_the_values() -> None:
    assert chart_files.README.read_text() == chart_files.readme(), "see `make chart-readme`"


@each
def test_a_server_takes_every_object_of_a_set_without_a_warning(cluster: Cluster, name: str) -> None:
    objects = [item for item in yaml.safe_load_all(chart_files.golden(name).read_text()) if item]
    known = [item for item in objects if item["apiVersion"] not in FOREIGN]
    answer = cluster.kubectl("apply", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump_all(known))
    # What helm installed was not applied by kubectl, which warns of that; anything else is a fault.
    warnings = [line for line in answer.stderr.splitlines() if "last-applied-configuration" not in line]
    assert [line for line in warnings if line.strip()] == []
    assert answer.stdout.count("(server dry run)") == len(known)


def test_a_server_with_a_release_gets_no_second_one(cluster: Cluster) -> None:
    """Whatever its name and namespace are; and the first one is not renamed under its running agents."""
    for words, why in (
        (("another", "--namespace", "elsewhere"), "release virtfn in namespace virtfn-system is there already"),
        (("another", "--namespace", "virtfn-system"), "release virtfn in namespace virtfn-system is there already"),
        (
            ("virtfn", "--namespace", "virtfn-system", "--set", "fullnameOverride=sriov"),
            "is virtfn-agent, and nameOverride",
        ),
    ):
        done = cluster.helm(
            *("template", *words, str(CHART), "--set", "image.registry=r.example", "--dry-run=server"),
            check=False,
        )
        assert done.returncode != 0
        assert why in done.stderr

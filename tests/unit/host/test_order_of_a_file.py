"""Which policy of a file comes first is decided as in the cluster, wherever it stands in the file."""

from itertools import permutations
from pathlib import Path

import pytest

from virtfn_host.cli.policy import read_policies

POLICY = """\
kind: SriovPolicy
metadata: {{name: {name}{created}}}
spec:
  priority: {priority}
  devices: [{{vendor: "8086"}}]
  virtualFunctions: {{pools: [{{resourceName: {name}}}]}}
"""


def policy(name: str, priority: int = 0, created: str = "") -> str:
    stamp = f", creationTimestamp: {created}" if created else ""
    return POLICY.format(name=name, priority=priority, created=stamp)


@pytest.mark.parametrize(
    "ranked",
    [
        (policy("a"), policy("b"), policy("c")),
        (policy("c", 5), policy("b"), policy("a", -5)),
        (policy("c", created="2024-01-01T00:00:00Z"), policy("a", created="2024-01-02T00:00:00Z")),
        (policy("c", created='"2024-01-01T00:00:00Z"'), policy("a", created="2024-01-01T00:00:01Z")),
        (policy("a", created="2024-01-01T00:00:00Z"), policy("c", created="2024-01-01T00:00:00Z")),
        (policy("a", 9, created="2024-01-09T00:00:00Z"), policy("c", 8, created="2024-01-01T00:00:00Z")),
    ],
    ids=["name", "priority", "age", "age in quotes", "name at one age", "priority before age"],
)
def test_by_priority_then_by_age_then_by_name(ranked: tuple[str, ...], tmp_path: Path) -> None:
    wanted = [text.split("name: ")[1].split("}")[0].split(",")[0] for text in ranked]
    for texts in permutations(ranked):
        (tmp_path / "p.yaml").write_text("---\n".join(texts))
        assert [found.name for found in read_policies(tmp_path / "p.yaml")] == wanted

"""What `kubectl virtfn` prints of four fleets, as docs/kubectl.md shows it; VIRTFN_UPDATE=1 writes it anew."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from fake_cluster import Ask
from plan_law import CONTROLLER, PODS, POLICIES, PlanCluster, PlanFleet

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGE, PICTURE = DOCS / "kubectl.md", DOCS / "kubectl-topology.svg"
UPDATE = bool(os.environ.get("VIRTFN_UPDATE"))
MARK = "\n### "
FLEETS = {
    "healthy": ("All is well", ["status", "why policy/fast", "why pod/dpdk-0", "topology node-1"]),
    "changing": (
        "A change is on its way",
        ["status", "why policy/fast", "rollout status fast", "why node/node-3", "topology node-2"],
    ),
    "blocked": (
        "A pod is in the way",
        ["status", "why policy/fast", "why node/node-1", "why pod/dpdk-1", "topology node-1"],
    ),
    "failed": (
        "A node failed, and a policy is rejected",
        ["status", "why policy/fast", "why policy/late", "why pod/dpdk-2", "topology node-2"],
    ),
}


def section(ask: Ask, fleet: str) -> str:
    title, commands = FLEETS[fleet]
    parts = [f"### {title}\n"]
    for command in commands:
        answer = ask(fleet, *command.split())
        lines = [f"$ kubectl virtfn {command}", *answer.out.splitlines()]
        lines += [f"# exit status {answer.status}"] if answer.status else []
        parts.append("\n".join(f"    {line}".rstrip() for line in lines) + "\n")
    if fleet == "healthy":
        parts.append(f"![The same as a picture: topology node-1 --output {PICTURE.name}]({PICTURE.name})\n")
    return "\n".join(parts)


def policy(count: int, **spec: Any) -> dict[str, Any]:
    functions = {"count": count, "pools": [{"resourceName": "fast"}]}
    return {
        "metadata": {"name": "fast"},
        "spec": {"devices": [{"vendor": "8086"}], "virtualFunctions": functions, **spec},
    }


def planned(ask: Ask, file: Path) -> str:
    """Before it is applied: from 2 VFs to 4 on three nodes, where a pod is in the way on one."""
    fleet = PlanFleet()
    fleet.lists[PODS].append(CONTROLLER)
    for number in (1, 2, 3):
        fleet.add(f"node-{number}", {}, pfs=1, total_vfs=7)
    fleet.put(POLICIES, policy(2))
    asyncio.run(fleet.settle())
    node = fleet.nodes["node-2"]
    node.hold(node.free()[0], "dpdk-0", opened=False)
    parts = ["### Before it is applied\n"]
    for wanted in (policy(4), policy(4, disruption={"whenInUse": "Evict", "maxUnavailable": 2})):
        file.write_text(json.dumps(wanted))
        answer = ask(PlanCluster(fleet, ""), "plan", "-f", str(file))
        text = "\n".join(
            f"    {line}".rstrip() for line in ["$ kubectl virtfn plan -f fast.yaml", *answer.out.splitlines()]
        )
        parts.append(text + (f"\n    # exit status {answer.status}" if answer.status else "") + "\n")
    for node in fleet.nodes.values():
        node.close()
    between = "With `whenInUse: Evict` and `maxUnavailable: 2`, the same edit:\n"
    return "\n".join([parts[0], parts[1], between, parts[2]])


def test_the_page_has_what_is_printed(ask: Ask, tmp_path: Path) -> None:
    head = PAGE.read_text().split(MARK)[0].rstrip() + "\n"
    whole = "\n".join([head, *(section(ask, fleet) for fleet in FLEETS), planned(ask, tmp_path / "fast.yaml")])
    if UPDATE:
        PAGE.write_text(whole)
    assert PAGE.read_text() == whole, "VIRTFN_UPDATE=1 writes docs/kubectl.md anew"


def test_the_picture_is_what_is_written(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "node.svg"
    answer = ask("healthy", "topology", "node-1", "--output", str(path))
    assert (answer.status, answer.out) == (0, f"wrote {path}\n")
    if UPDATE:
        PICTURE.write_text(path.read_text())
    assert PICTURE.read_text() == path.read_text(), "VIRTFN_UPDATE=1 writes docs/kubectl-topology.svg anew"


@pytest.mark.parametrize("fleet", FLEETS)
def test_no_line_of_words_is_wider_than_a_terminal_of_100_columns(ask: Ask, fleet: str) -> None:
    for command in FLEETS[fleet][1]:
        if command.startswith(("why", "rollout")):
            assert [line for line in ask(fleet, *command.split()).out.splitlines() if len(line) > 100] == []

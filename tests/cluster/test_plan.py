"""`kubectl virtfn plan` on a real node: what it prints of a policy is what then happens when it is applied.

Random policies, each planned, applied and compared. `VIRTFN_LONG=1` takes twenty of them. A random policy asks for few
VFs of one PF or of both, for one driver or another, for some VFs or all; every second one replaces the one before it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest

from virtfn_kubectl.cluster import Ran
from virtfn_kubectl.verbs import run
from virtfn_lab.node import LEFT, RIGHT, Node, policy
from virtfn_lab.product import allocatable, pod

POLICIES = 20 if os.environ.get("VIRTFN_LONG") else 3
SEED = 20261130
CLAIMS = ": note that "
"""Words of steps that note claims."""
Planned = Callable[..., tuple[int, Any]]


@pytest.fixture
def plan(node: Node, capsys: pytest.CaptureFixture[str], tmp_path: Any) -> Planned:
    """Return a function that plans a policy, or other words, and returns status and document."""

    def program(words: Sequence[str], seconds: float, given: str | None = None) -> Ran:
        done = node.cluster.kubectl(*words[1:], check=False, timeout=seconds, **({"stdin": given} if given else {}))
        return Ran(status=done.returncode, out=done.stdout, err=done.stderr)

    def planned(document: str | None, *words: str) -> tuple[int, Any]:
        capsys.readouterr()
        path = tmp_path / "policy.json"
        if document is not None:
            path.write_text(document)
            words = (*words, "-f", str(path))
        status = run(["plan", *words, "--json"], {}, program)
        return status, json.loads(capsys.readouterr().out)

    return planned


def wanted(random: Random, number: int) -> str:
    """Return a random policy."""
    address = random.choice((LEFT, RIGHT, None))
    count = random.randrange(5)
    driver = random.choice(("vfio-pci", "vfio-pci", "kernel"))
    pools = [{"resourceName": "random", "driver": driver}] if count else []
    spec = {"virtualFunctions": {"count": count, "pools": pools}} if pools else {"virtualFunctions": {"count": 0}}
    return policy(f"random-{number // 2}", count, address, **spec)


def steps_of(plan: Any) -> list[str]:
    """Return the steps of a plan, of all PFs."""
    return sorted(step for node in plan["nodes"] for device in node["devices"] for step in device["steps"])


def carried_out(lines: list[str]) -> list[str]:
    """Return the steps that the agent logged as done, except notes of claims, which change nothing on the machine."""
    found = (re.search(r"virtfn_operator\.agent\.machine: (.*): done(?: \w+=\S*)*$", line) for line in lines)
    return sorted(match[1] for match in found if match and CLAIMS not in match[1])


def test_random_policies_are_carried_out_as_planned(node: Node, plan: Planned) -> None:
    random = Random(SEED)  # so that a run can be repeated
    for number in range(POLICIES):
        document = wanted(random, number)
        status, told = plan(document)
        assert [it["unknown"] for it in told["nodes"]] == [None] * len(told["nodes"]), told
        assert status in (0, 1, 4)
        mark = node.mark("agent")
        node.apply(document)
        node.converged()
        assert carried_out(node.said_since(mark)) == steps_of(told), document
        again = plan(document)[1]
        assert again["nodes"] == [], again  # it is asked for already, so nothing would change


def test_a_pod_that_has_not_opened_its_vf_is_in_the_way(node: Node, plan: Planned) -> None:
    node.apply(policy("left", 2, LEFT))
    node.until("VFs are allocatable", lambda: allocatable(node.cluster, "virtfn.dev/left") == 2)
    node.apply(pod("held", 1, "virtfn.dev/left"))
    node.holds("held")
    status, told = plan(policy("left", 3, LEFT))
    assert status == 3
    (device,) = [it for it in told["nodes"][0]["devices"] if it["waits"]]
    assert "default/held" in device["waits"][0]["message"]
    assert any("sriov_numvfs" in step for step in device["stepsWithoutHolders"])
    status, told = plan(None, "--delete", "left")
    assert (status, told["policies"][0]["change"]) == (3, "deleted")


@pytest.mark.parametrize(("field", "value"), [("device", "10c9"), ("priority", 5000)])
def test_a_bad_file_is_refused_as_apply_refuses_it(node: Node, plan: Planned, field: str, value: Any) -> None:
    document = json.loads(policy("left", 2, LEFT))
    document["spec"][field] = value
    status, told = plan(json.dumps(document))
    assert status == 2
    assert field in told["error"]["message"]

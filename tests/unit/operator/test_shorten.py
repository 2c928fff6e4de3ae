"""A status that is too large or refused is made smaller, says so, and keeps what the controller decides by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from virtfn_operator.agent import node as node_module
from virtfn_operator.agent.node import NodeObject
from virtfn_operator.agent.shorten import SIZE_LIMIT, fitting, shortened
from virtfn_operator.api.node_state import read_node
from virtfn_operator.apiserver.kube_error import KubeError
from virtfn_operator.controller.tainted import why_not

CRD = yaml.safe_load((Path(__file__).resolve().parents[3] / "crds" / "sriovnodes.yaml").read_text())
SCHEMA = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
EVICT = {"withdrawn": True, "pods": [{"device": "0000:01:00.0", "namespace": "default", "name": "dpdk-0"}]}
CONDITION = {"status": "False", "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z"}


def status(policies: int = 3, message: int = 50) -> dict[str, Any]:
    verdict = {"reason": "VfsInUse", "message": "m" * message}
    run = {"indexes": "0-3", "driver": "vfio-pci", "pool": "virtfn.dev/fast", "heldBy": ["h" * message] * 5}
    return {
        "observedGeneration": 3,
        "bootId": "b",
        "agentVersion": "1",
        "kernel": "6.1",
        "functions": [{"address": "0000:01:00.0", "numVfs": 4, "vfs": [run] * 20, "heldBy": []}],
        "pools": [{"resourceName": "virtfn.dev/fast", "capacity": 4, "healthy": 4, "inUse": 1}],
        "plan": {
            "steps": 5,
            "disruptive": True,
            "blocked": [{"device": "d", **verdict, "pods": ["p" * message]}],
            "waiting": 1,
            "evict": EVICT,
        },
        "policies": [
            {"name": f"p{n}", "uid": f"u{n}", "generation": 1, "state": "Blocked", **verdict} for n in range(policies)
        ],
        "rejected": [{"policy": "p", **verdict}] * 20,
        "summary": {"pfs": 1, "vfs": 4, "inUse": 1, "pools": "x" * message},
        "conditions": [{"type": kind, **CONDITION, **verdict} for kind in ("Ready", "Preflight")],
    }


@pytest.mark.parametrize("level", [1, 2])
def test_a_shorter_one_says_so_fits_the_schema_and_keeps_what_is_decided_by(level: int) -> None:
    whole = status(message=3000)
    less = shortened(whole, level, "the status was refused by the API server: no; shortened")
    jsonschema.validate(less, SCHEMA)
    assert len(json.dumps(less)) < len(json.dumps(whole)) / 5
    assert less["conditions"][0]["message"].endswith("(the status was refused by the API server: no; shortened)")
    assert [c["reason"] for c in less["conditions"]] == ["VfsInUse", "VfsInUse"]
    kept = {"steps": 5, "disruptive": True, "waiting": 1, "evict": EVICT}
    assert (less["observedGeneration"], less["plan"]) == (3, kept)
    assert (less["bootId"], less["pools"]) == ("b", whole["pools"])
    assert [(p["uid"], p["state"]) for p in less["policies"]] == [(f"u{n}", "Blocked") for n in range(3)]
    assert {key: less["summary"][key] for key in ("pfs", "vfs", "inUse")} == {"pfs": 1, "vfs": 4, "inUse": 1}


def test_one_that_no_object_holds_is_not_sent_whole() -> None:
    assert fitting(status()) == status()
    large = fitting(status(policies=1024, message=1000))
    assert len(json.dumps(large)) <= SIZE_LIMIT
    assert len(large["policies"]) == 1024
    assert "more than 524288; shortened" in large["conditions"][0]["message"]


@pytest.mark.parametrize("level", [1, 2])
@pytest.mark.parametrize("pods", [0, 1, 256])
def test_a_shorter_one_has_the_controller_evict_and_remove_the_start_up_taint_as_the_whole_one(
    level: int, pods: int
) -> None:
    named = [{"device": "0000:01:00.0", "namespace": "n", "name": f"pod-{n}"} for n in range(pods)]
    whole = status(policies=40, message=3000)
    whole["plan"]["evict"] = {"withdrawn": True, "pods": named}
    whole["pools"] = [{**whole["pools"][0], "resourceName": f"virtfn.dev/p{n}", "healthy": n} for n in range(300)]
    seen = [body(it) for it in (whole, shortened(whole, level, "why"))]
    first, second = (read_node(it) for it in seen)
    assert (first.displaced, first.disruptive, first.left) == (second.displaced, second.disruptive, second.left)
    assert len(second.displaced.pods if second.displaced else ()) == pods
    nodes = [
        {"status": {"nodeInfo": {"bootID": boot}, "allocatable": {f"virtfn.dev/p{n}": str(n) for n in range(offered)}}}
        for boot, offered in (("b", 300), ("b", 299), ("c", 300))
    ]
    assert [why_not(seen[1], it) for it in nodes] == [why_not(seen[0], it) for it in nodes]
    assert [why_not(seen[1], it) == "" for it in nodes] == [True, False, False]


def body(told: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": "n1", "generation": 3}, "spec": {"policies": [], "mayChange": True}, "status": told}


def test_the_shortest_one_of_a_node_that_is_full_is_below_the_limit() -> None:
    whole = status(policies=1024, message=1000)
    for n, policy in enumerate(whole["policies"]):
        policy |= {"name": f"{n:0100}", "uid": f"{n:036}"}
    named = {"device": "0000:01:00.0", "namespace": "n" * 63, "name": "p" * 253}
    whole["plan"]["evict"] = {"withdrawn": False, "pods": [named] * 256}
    whole["pools"] = [{**whole["pools"][0], "resourceName": f"virtfn.dev/{n:063}"} for n in range(256)]
    assert len(json.dumps(fitting(whole))) <= SIZE_LIMIT


class PickyApi:
    """Takes a status up to a size, and answers the others as an API server does."""

    def __init__(self, most: int, answer: int) -> None:
        self.most, self.answer = most, answer
        self.tried: list[dict[str, Any]] = []
        self.body: dict[str, Any] = {"metadata": {"name": "n1", "uid": "u"}}

    async def read(self, _: str) -> dict[str, Any]:
        return self.body

    async def create(self, _: str, body: dict[str, Any]) -> dict[str, Any]:
        return body

    async def patch(self, _: str, patch: dict[str, Any]) -> dict[str, Any]:
        self.tried.append(patch["status"])
        if len(json.dumps(patch)) > self.most:
            raise KubeError(self.answer, "is invalid: status.functions: Too long")
        self.body = {**self.body, "status": {**self.body.get("status", {}), **patch["status"]}}
        return self.body


@pytest.mark.parametrize("answer", [400, 413, 422])
async def test_a_refused_status_is_answered_by_a_smaller_one_once(answer: int) -> None:
    api = PickyApi(most=6000, answer=answer)
    node = NodeObject(api, "n1", instance="a")  # type: ignore[arg-type]
    await node.report(status(message=1000))
    assert len(api.tried) in (2, 3)
    assert "was refused by the API server: is invalid" in api.body["status"]["conditions"][0]["message"]
    tried = len(api.tried)
    await node.report(status(message=1000))
    assert len(api.tried) == tried  # the same is not tried again
    await node.report(status(message=10))
    assert api.body["status"]["conditions"][0]["message"] == "m" * 10


async def test_one_that_is_refused_whatever_it_says_is_told_of() -> None:
    api = PickyApi(most=10, answer=422)
    node = NodeObject(api, "n1", instance="a")  # type: ignore[arg-type]
    with pytest.raises(KubeError, match="Too long"):
        await node.report(status())
    assert len(api.tried) == 3


async def test_an_answer_that_blames_nothing_of_the_status_is_no_reason_to_shorten_it() -> None:
    api = PickyApi(most=10, answer=503)
    node = NodeObject(api, "n1", instance="a")  # type: ignore[arg-type]
    with pytest.raises(KubeError):
        await node.report(status())
    assert len(api.tried) == 1
    assert 503 not in node_module.NOT_TAKEN


@pytest.mark.parametrize("odd", [7, [], "x", [{}], None])
async def test_a_status_that_is_no_object_is_written_over(odd: Any) -> None:
    api = PickyApi(most=10**6, answer=422)
    api.body["status"] = odd
    node = NodeObject(api, "n1", instance="a")  # type: ignore[arg-type]
    await node.ensure()
    assert node.status == {}
    api.body["status"] = {}
    await node.report(status())
    assert api.tried[0] == status()

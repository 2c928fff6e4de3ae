"""Reconciles against an API server in memory: from a node that waits for a pod to the eviction, refused or not."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from api_server import OURS, ApiServer, refusal

from virtfn_operator.apiserver.kube import Kube
from virtfn_operator.controller.evictions import Evictions
from virtfn_operator.controller.picture import ObjectKind
from virtfn_operator.controller.reconcile import Reconciler
from virtfn_operator.settings import ApiServer as Address

POLICY = {
    "metadata": {"name": "fast"},
    "spec": {
        "devices": [{"vendor": "8086"}],
        "virtualFunctions": {"count": 4, "pools": [{"resourceName": "fast"}]},
        "disruption": {"whenInUse": "Evict"},
    },
}
NODE = f"{OURS}/sriovnodes/n1"
BUDGET = "The disruption budget web needs 2 healthy pods and has 2 currently"


class Cluster:
    """An API server with one node, its one pod, and a controller that can be started anew."""

    def __init__(self, api: ApiServer) -> None:
        self.api = api
        self.api.fault = self.pods
        self.refused: web.Response | None = None
        self.evicted: list[Any] = []
        self.pod_uid = "u1"
        self.begin()

    def begin(self) -> None:
        self.kube = Kube(Address(url=f"http://127.0.0.1:{self.api.port}", token=None, ca=None), connections=4)
        self.controller = Reconciler(self.kube, instance="c", evictions=Evictions(self.kube))

    async def pods(self, request: web.Request) -> web.StreamResponse | None:
        if request.path == "/api/v1/pods":
            metadata = {"namespace": "default", "name": "dpdk-0", "uid": self.pod_uid}
            return web.json_response({"metadata": {}, "items": [{"metadata": metadata}]})
        if request.path.endswith("/eviction"):
            if self.refused is not None:
                return self.refused
            self.evicted.append(json.loads(await request.text()))
            return web.json_response({"kind": "Status", "status": "Success"}, status=201)
        return None

    async def agent(self, *, withdrawn: bool = True) -> None:
        """The agent answers what it is asked: it waits for the pod."""
        body = self.api.objects[NODE]
        pods = [{"device": "0000:01:00.0", "namespace": "default", "name": "dpdk-0"}]
        policy = {**{key: body["spec"]["policies"][0][key] for key in ("name", "uid", "generation")}}
        turn = body["spec"]["mayChange"]
        reason = "Evicting" if turn else "WaitingForTurn"
        status = {
            "observedGeneration": body["metadata"]["generation"],
            "policies": [{**policy, "state": "Changing", "reason": reason, "message": "waits"}],
            "plan": {"steps": 1, "disruptive": True, "evict": {"withdrawn": withdrawn and turn, "pods": pods}},
        }
        self.controller.tell(ObjectKind.STATE, "MODIFIED", await self.api.put(NODE, {**body, "status": status}))

    async def rounds(self, number: int) -> None:
        for _ in range(number):
            await self.controller.reconcile()
            await self.agent()

    def problem(self) -> tuple[str, str]:
        (found,) = self.api.objects[f"{OURS}/sriovpolicies/fast"]["status"]["problems"]
        return found["reason"], found["message"]


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    api = ApiServer()
    await api.start()
    await api.put("/api/v1/nodes/n1", {"metadata": {"name": "n1", "labels": {}}})
    await api.put(NODE, {"metadata": {"name": "n1"}})
    await api.put(f"{OURS}/sriovpolicies/fast", POLICY)
    made = Cluster(api)
    yield made
    await made.kube.__aexit__()
    await api.stop()


async def test_the_pod_is_evicted_by_its_uid_and_nothing_else_is_done_to_any_pod(cluster: Cluster) -> None:
    await cluster.rounds(3)
    assert cluster.evicted == []
    await cluster.controller.reconcile()
    (eviction,) = cluster.evicted
    assert eviction["metadata"] == {"namespace": "default", "name": "dpdk-0"}
    assert eviction["deleteOptions"] == {"preconditions": {"uid": "u1"}}
    writes = {(seen.method, seen.path) for seen in cluster.api.seen if seen.method != "GET" and "pods" in seen.path}
    assert writes == {("POST", "/api/v1/namespaces/default/pods/dpdk-0/eviction")}


async def test_a_budget_is_named_on_the_policy_and_nothing_else_stops(cluster: Cluster) -> None:
    details = {"causes": [{"reason": "DisruptionBudget", "message": BUDGET}]}
    body = {"kind": "Status", "code": 429, "message": "Cannot evict pod.", "details": details}
    cluster.refused = web.json_response(body, status=429)
    await cluster.rounds(3)
    assert await cluster.controller.reconcile()
    assert await cluster.controller.reconcile()
    reason, message = cluster.problem()
    assert reason == "EvictionBlocked"
    assert BUDGET in message
    assert cluster.api.objects[NODE]["spec"]["mayChange"] is True


async def test_a_missing_right_is_told_on_the_policy(cluster: Cluster) -> None:
    cluster.refused = refusal(403, "pods is forbidden: cannot create resource pods/eviction")
    await cluster.rounds(3)
    await cluster.controller.reconcile()
    await cluster.controller.reconcile()
    assert cluster.problem()[0] == "EvictionBlocked"
    assert "pods/eviction" in cluster.problem()[1]


async def test_another_controller_goes_on_where_the_first_one_ended(cluster: Cluster) -> None:
    await cluster.rounds(3)
    await cluster.kube.__aexit__()
    cluster.begin()
    await cluster.controller.reconcile()
    assert len(cluster.evicted) == 1


async def test_a_pod_that_took_the_name_meanwhile_is_not_evicted_before_its_node_was_asked(cluster: Cluster) -> None:
    await cluster.rounds(3)
    cluster.pod_uid = "u2"
    await cluster.kube.__aexit__()
    cluster.begin()  # without the list of pods that was read a moment ago
    await cluster.controller.reconcile()
    assert cluster.evicted == []
    assert cluster.api.objects[NODE]["spec"]["evict"][0]["uid"] == "u2"


async def test_an_eviction_wakes_the_controller_for_what_comes_next(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cluster.rounds(3)
    cluster.controller._woken.clear()
    monkeypatch.setattr(cluster.controller, "_write_all", nothing_to_write)  # a write would wake it, too
    await cluster.controller.reconcile()
    assert len(cluster.evicted) == 1
    assert cluster.controller._woken.is_set()


async def nothing_to_write(_: object) -> bool:
    return True

"""The start-up taint goes when the kubelet offers the node's pools: it alone, and again after each boot."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from api_server import OURS, ApiServer, refusal

from virtfn_operator.apiserver.kube import Kube
from virtfn_operator.controller.reconcile import Pace, Reconciler
from virtfn_operator.controller.startup_taint import StartupTaints
from virtfn_operator.controller.tainted import TAINT, removal, tainted, why_not
from virtfn_operator.settings import ApiServer as Where
from virtfn_operator.settings import SettingsError, controller_settings

FAST = "virtfn.dev/fast"
OURS_TAINT = {"key": TAINT, "effect": "NoSchedule"}
OTHERS = [
    {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule", "timeAdded": "2026-01-01T00:00:00Z"},
    {"key": "virtfn.dev/not-ready-yet", "value": "x", "effect": "NoExecute"},
    {"key": "not-ready", "effect": "NoSchedule"},
]
Body = dict[str, Any]


def a_node(*taints: Body, boot: str = "b1", allocatable: int | None = 4, name: str = "n1") -> Body:
    offered = {} if allocatable is None else {FAST: str(allocatable)}
    status = {"nodeInfo": {"bootID": boot}, "allocatable": {"cpu": "8", "memory": "1Gi", **offered}}
    return {"metadata": {"name": name, "labels": {"a": "b"}}, "spec": {"taints": list(taints)}, "status": status}


def a_state(
    state: str = "Ready", boot: str = "b1", healthy: int = 4, name: str = "n1", policies: int = 1, **more: Any
) -> Body:
    outcomes = [{"name": f"p{n}", "uid": f"u{n}", "generation": 1, "state": state} for n in range(policies)]
    status = {
        "observedGeneration": 10**6,
        "bootId": boot,
        "policies": outcomes,
        "pools": [{"resourceName": FAST, "capacity": healthy, "healthy": healthy, "inUse": 0}] if policies else [],
        **more,
    }
    return {"metadata": {"name": name, "generation": 1}, "spec": {"policies": [], "mayChange": False}, "status": status}


class Cluster:
    """An API server with nodes, and what removes their taints."""

    def __init__(self, server: ApiServer, kube: Kube) -> None:
        self.server = server
        self.taints = StartupTaints(kube)

    async def put(self, node: Body, state: Body | None) -> None:
        name = node["metadata"]["name"]
        await self.server.put(f"/api/v1/nodes/{name}", node)
        if state is not None:
            await self.server.put(f"{OURS}/sriovnodes/{name}", state)

    async def look(self) -> bool:
        """One look, with the lists as the controller reads them."""
        objects = self.server.objects
        nodes = [{"metadata": body["metadata"]} for path, body in objects.items() if "/nodes/" in path]
        states = [body for path, body in objects.items() if "/sriovnodes/" in path]
        return await self.taints.look(states, nodes)

    def left(self, name: str = "n1") -> list[Body]:
        found: list[Body] = self.server.objects[f"/api/v1/nodes/{name}"].get("spec", {}).get("taints", [])
        return found

    def requests(self) -> int:
        return len(self.server.seen)


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    server = ApiServer()
    await server.start()
    clock = iter(range(0, 10**9, 1000))  # no request is held for long
    where = Where(url=f"http://127.0.0.1:{server.port}", token=None, ca=None)
    async with Kube(where, connections=4, clock=lambda: float(next(clock))) as kube:
        yield Cluster(server, kube)
    await server.stop()


# --- when ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["Ready", "WithoutDevice", "Rejected"])
async def test_it_goes_when_nothing_is_on_the_way_and_the_pools_are_offered(cluster: Cluster, state: str) -> None:
    await cluster.put(a_node(OURS_TAINT), a_state(state))
    assert await cluster.look() is False
    assert cluster.left() == []


async def test_a_node_without_a_policy_loses_it_as_soon_as_its_agent_reports(cluster: Cluster) -> None:
    await cluster.put(a_node(OURS_TAINT, allocatable=None), a_state(policies=0))
    await cluster.look()
    assert cluster.left() == []


@pytest.mark.parametrize("state", ["Changing", "Blocked", "Failed", "AWordOfALaterVersion"])
async def test_it_stays_while_a_policy_is_not_carried_out(cluster: Cluster, state: str) -> None:
    await cluster.put(a_node(OURS_TAINT), a_state(state))
    assert await cluster.look() is False  # the next report wakes the controller
    assert cluster.left() == [OURS_TAINT]


@pytest.mark.parametrize(
    "state",
    [
        None,
        {"metadata": {"name": "n1", "generation": 1}},
        a_state(observedGeneration=0),
        a_state(plan={"disruptive": True, "steps": 3}),
        a_state(policies=0) | {"spec": {}},
        a_state() | {"status": "garbage"},
    ],
)
async def test_it_stays_while_the_agent_has_not_answered(cluster: Cluster, state: Body | None) -> None:
    await cluster.put(a_node(OURS_TAINT), state)
    await cluster.look()
    assert cluster.left() == [OURS_TAINT]


@pytest.mark.parametrize(("allocatable", "boot"), [(None, "b1"), (0, "b1"), (3, "b1"), (4, "b2")])
async def test_it_stays_until_the_kubelet_offers_them_in_this_boot(
    cluster: Cluster, allocatable: int | None, boot: str
) -> None:
    await cluster.put(a_node(OURS_TAINT, allocatable=allocatable, boot=boot), a_state())
    assert await cluster.look() is True
    assert cluster.left() == [OURS_TAINT]
    await cluster.put(a_node(OURS_TAINT), a_state())
    assert await cluster.look() is False
    assert cluster.left() == []


@pytest.mark.parametrize("count", ["", "-1", "4Ki", "1e9", "4000m", None, 4, "٤"])
def test_a_count_that_no_kubelet_writes_is_none(count: object) -> None:
    node = a_node()
    node["status"]["allocatable"][FAST] = count
    assert "offers 0 of 4" in why_not(a_state(), node)


@pytest.mark.parametrize(("count", "healthy"), [("1k", 1000), ("2k", 1500), ("2048", 2048)])
def test_a_thousand_is_written_with_a_suffix(count: str, healthy: int) -> None:
    node = a_node()
    node["status"]["allocatable"][FAST] = count
    assert why_not(a_state(healthy=healthy), node) == ""
    assert "the kubelet offers" in why_not(a_state(healthy=healthy + 1000), node)


# --- which taint -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("effect", ["NoSchedule", "NoExecute", "PreferNoSchedule"])
async def test_no_other_taint_is_touched(cluster: Cluster, effect: str) -> None:
    ours = {"key": TAINT, "value": "x", "effect": effect}
    await cluster.put(a_node(OTHERS[0], ours, *OTHERS[1:]), a_state())
    await cluster.look()
    assert cluster.left() == OTHERS
    assert cluster.server.objects["/api/v1/nodes/n1"]["metadata"]["labels"] == {"a": "b"}


async def test_a_node_without_it_is_not_written(cluster: Cluster) -> None:
    await cluster.put(a_node(*OTHERS), a_state())
    assert await cluster.look() is False
    assert [seen.method for seen in cluster.server.seen] == ["GET"]


@pytest.mark.parametrize("spec", [None, {}, {"taints": None}, {"taints": "x"}, {"taints": [None, "x", 1]}])
def test_a_node_with_odd_taints_has_none_of_ours(spec: object) -> None:
    assert not tainted({"metadata": {}, "spec": spec})


def test_a_patch_is_for_the_version_that_was_read() -> None:
    node = a_node(OURS_TAINT)
    node["metadata"]["resourceVersion"] = "7"
    assert removal(node) == {"metadata": {"resourceVersion": "7"}, "spec": {"taints": None}}


async def test_a_taint_that_another_client_adds_in_between_stays(cluster: Cluster) -> None:
    """The Node changes between our read and our patch; the API server refuses the patch, and the next look sees it."""
    await cluster.put(a_node(OURS_TAINT), a_state())

    async def cordoned(request: web.Request) -> web.StreamResponse | None:
        if request.method == "PATCH" and len(cluster.left()) == 1:
            await cluster.put(a_node(OTHERS[0], OURS_TAINT), None)
        return None

    cluster.server.fault = cordoned
    assert await cluster.look() is True
    assert cluster.left() == [OTHERS[0], OURS_TAINT]
    assert await cluster.look() is False
    assert cluster.left() == [OTHERS[0]]


# --- what is said of a node that keeps it -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "reason"), [("Changing", "Reconfiguring"), ("Blocked", "VfsInUse"), ("Failed", "BindFailed")]
)
async def test_of_a_node_that_is_not_at_rest_the_policy_is_logged_once(
    cluster: Cluster, caplog: pytest.LogCaptureFixture, state: str, reason: str
) -> None:
    caplog.set_level("INFO")
    busy = a_state(state)
    busy["status"]["policies"] = [
        *a_state()["status"]["policies"],
        *(
            {"name": "fast", "uid": "f", "generation": 1, "state": word, "reason": reason}
            for word in ("Changing", state)
        ),
    ]
    await cluster.put(a_node(OURS_TAINT), busy)
    for _ in range(3):
        assert await cluster.look() is False
    assert caplog.text.count(f"n1 keeps its taint {TAINT}: policy fast is {state} ({reason}); kubectl virtfn why") == 1
    assert cluster.requests() == 1
    assert cluster.left() == [OURS_TAINT]


async def test_each_new_reason_is_logged_and_the_node_is_released_in_the_end(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for state in ("Changing", "Failed", "Failed", "Changing"):
        await cluster.put(a_node(OURS_TAINT), a_state(state))
        await cluster.look()
    assert caplog.text.count("policy p0 is Changing") == 2
    assert caplog.text.count("policy p0 is Failed") == 1
    await cluster.put(a_node(OURS_TAINT), a_state())
    await cluster.look()
    assert cluster.left() == []
    assert "removed its taint" in caplog.text


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"plan": {"disruptive": True, "steps": 3}}, "a change is under way"),
        ({"observedGeneration": 0}, "not answered"),
    ],
)
async def test_a_node_that_names_no_such_policy_has_a_reason_too(
    cluster: Cluster, caplog: pytest.LogCaptureFixture, more: Body, said: str
) -> None:
    caplog.set_level("INFO")
    await cluster.put(a_node(OURS_TAINT), a_state(**more))
    await cluster.look()
    assert said in caplog.text


async def test_of_a_node_without_the_taint_nothing_is_said_and_it_is_read_once(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    await cluster.put(a_node(*OTHERS), None)
    for state in ("Failed", "Changing", "Ready"):
        await cluster.server.put(f"{OURS}/sriovnodes/n1", a_state(state))
        await cluster.look()
    assert "taint" not in caplog.text
    assert cluster.requests() == 1


# --- how often -------------------------------------------------------------------------------------------------------


async def test_a_node_is_read_once_a_boot(cluster: Cluster) -> None:
    await cluster.put(a_node(OURS_TAINT), a_state())
    await cluster.look()
    asked = cluster.requests()
    for _ in range(3):
        assert await cluster.look() is False
    assert cluster.requests() == asked


async def test_after_another_boot_it_is_removed_again(cluster: Cluster) -> None:
    for number in range(3):
        boot = f"b{number}"
        await cluster.put(a_node(OURS_TAINT, boot=boot, allocatable=None), None)
        await cluster.look()
        assert cluster.left() == [OURS_TAINT]
        await cluster.put(a_node(OURS_TAINT, boot=boot), a_state(boot=boot))
        await cluster.look()
        assert cluster.left() == []


async def test_a_node_that_is_registered_anew_is_read_again(cluster: Cluster) -> None:
    await cluster.put(a_node(OURS_TAINT), a_state())
    await cluster.look()
    del cluster.server.objects["/api/v1/nodes/n1"]
    await cluster.look()
    await cluster.put(a_node(OURS_TAINT), a_state())
    await cluster.look()
    assert cluster.left() == []


async def test_a_node_that_is_away_needs_no_further_look(cluster: Cluster) -> None:
    await cluster.put(a_node(OURS_TAINT), a_state())
    nodes = [{"metadata": {"name": "n1", "uid": "u"}}]
    del cluster.server.objects["/api/v1/nodes/n1"]
    assert await cluster.taints.look([a_state()], nodes) is False


@pytest.mark.parametrize("status", [403, 500, 409])
async def test_a_refusal_of_one_node_stops_no_other_and_is_tried_again(
    cluster: Cluster, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("n1", "n2", "n3"):
        await cluster.put(a_node(OURS_TAINT, name=name), a_state(name=name))

    async def refuse(request: web.Request) -> web.StreamResponse | None:
        return refusal(status, "no") if request.method == "PATCH" and request.path.endswith("n2") else None

    cluster.server.fault = refuse
    for _ in range(2):
        assert await cluster.look() is True
    assert [cluster.left(name) for name in ("n1", "n2", "n3")] == [[], [OURS_TAINT], []]
    assert caplog.text.count("cannot look at it or change it") == (0 if status == 409 else 1)
    cluster.server.fault = None
    assert await cluster.look() is False
    assert cluster.left("n2") == []


async def test_the_controller_does_it_only_where_it_is_told_to(cluster: Cluster) -> None:
    kube = cluster.taints._kube
    await cluster.put(a_node(OURS_TAINT), a_state())
    await Reconciler(kube, instance="c").reconcile()
    assert cluster.left() == [OURS_TAINT]
    taints = StartupTaints(kube)
    await Reconciler(kube, instance="c", pace=Pace(taints=3600.0), taints=taints).reconcile()
    assert cluster.left() == []


def test_the_setting_is_true_or_false() -> None:
    given = {"POD_NAME": "c", "POD_NAMESPACE": "v", "VIRTFN_API_URL": "http://127.0.0.1"}
    assert controller_settings(given).startup_taint is False
    assert controller_settings(given | {"VIRTFN_STARTUP_TAINT": "true"}).startup_taint is True
    for text in ("yes", "1", "True"):
        with pytest.raises(SettingsError, match="VIRTFN_STARTUP_TAINT"):
            controller_settings(given | {"VIRTFN_STARTUP_TAINT": text})

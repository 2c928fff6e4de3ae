"""The chart's hooks on an API server in memory: what they write, what they wait for, and what they say."""

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from api_server import LEASES, OURS, PODS, ApiServer, refusal

from virtfn_operator.lifecycle import hooks
from virtfn_operator.lifecycle.hooks import HookFailedError, clean_up, give_back, upgrade_crds
from virtfn_operator.settings import ApiServer as Where
from virtfn_operator.settings import HookSettings

LEASE = f"{LEASES}/virtfn-controller"
CLEANERS = "/apis/apps/v1/namespaces/virtfn/daemonsets/virtfn-clean-nodes"
POLICY = f"{OURS}/sriovpolicies/fast"
CONVERGED = [{"type": "Ready", "status": "True", "reason": "Converged", "message": "all as asked"}]
IN_USE = [{"type": "Ready", "status": "False", "reason": "VfsInUse", "message": "waits for pod default/holder"}]
HELD = {"device": "0000:01:00.0", "reason": "VfsInUse", "message": "in use", "pods": ["pod default/holder"]}


@pytest.fixture
async def api(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> AsyncIterator[ApiServer]:
    for name, seconds in {"LOOK": 0.01, "RENEW_DEADLINE": 0.05, "TRIES": 0.5, "ESTABLISHED": 0.2}.items():
        monkeypatch.setattr(hooks, name, seconds)
    monkeypatch.setattr(hooks, "ABSENT_LOOKS", 1)  # how 404 is doubted: test_hooks_and_wrong_answers.py
    caplog.set_level(logging.INFO)
    found = ApiServer()
    await found.start()
    await found.put(POLICY, {"metadata": {"name": "fast"}, "spec": {}})
    yield found
    await found.stop()


def settings(api: ApiServer, crds: Path = Path("/nowhere"), timeout: float = 5.0) -> HookSettings:
    where = Where(url=f"http://127.0.0.1:{api.port}", token=None, ca=None)
    return HookSettings(
        api=where, namespace="virtfn", release="virtfn", lease="virtfn-controller", timeout=timeout, crds=crds
    )


def writes(api: ApiServer) -> list[tuple[str, str]]:
    return [(seen.method, seen.path) for seen in api.seen if seen.method != "GET"]


def test_a_hook_imports_no_library_that_it_does_not_need() -> None:
    """A Job on a node short of CPU starts in a few seconds."""
    program = "import sys, virtfn_operator.__main__, virtfn_operator.lifecycle.hooks; print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=path())
    slow = {"kubernetes", "kopf", "yaml", "grpc", "prometheus_client", "virtfn_operator.controller"}
    assert not slow & set(shown.stdout.split())


def path() -> dict[str, str]:
    """Where a child process finds what this one imports."""
    return {"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]}


# --- upgrade-crds ----------------------------------------------------------------------------------------------------


def crd(name: str, *names: str) -> dict[str, Any]:
    schema = {"openAPIV3Schema": {"properties": {"spec": {"properties": {one: {"type": "string"} for one in names}}}}}
    return {"metadata": {"name": f"{name}.virtfn.dev"}, "spec": {"versions": [{"name": "v1", "schema": schema}]}}


SERVED = {"conditions": [{"type": "Established", "status": "True"}]}


def folder(tmp_path: Path, *crds: dict[str, Any]) -> Path:
    for one in crds:
        (tmp_path / f"{one['metadata']['name'].partition('.')[0]}.yaml").write_text(yaml.safe_dump(one))
    return tmp_path


def path_of(name: str) -> str:
    return f"{hooks.CRDS}/{name}.virtfn.dev"


@pytest.mark.parametrize(
    ("now", "written", "says"),
    [
        (("vendor",), True, "is upgraded, with 1 new fields or wider limits"),
        (("vendor", "device"), False, "is current"),
        (("vendor", "device", "slot"), False, "is newer than the chart's and stays; it has also v1.spec.slot"),
    ],
)
async def test_a_crd_is_applied_unless_that_would_take_fields_away(
    api: ApiServer, tmp_path: Path, now: tuple[str, ...], written: bool, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    await api.put(path_of("nodes"), {**crd("nodes", *now), "status": SERVED})
    api.seen.clear()
    await upgrade_crds(settings(api, folder(tmp_path, crd("nodes", "vendor", "device"))))
    assert writes(api) == [("PATCH", path_of("nodes"))] * (2 if written else 1), "the first only asks"
    found = api.objects[path_of("nodes")]["spec"]
    assert (found == crd("nodes", "vendor", "device")["spec"]) is (written or "current" in says)
    assert says in caplog.text


@pytest.mark.parametrize("now", [("vendor", "old"), ("old", "older"), ("old",)])
async def test_where_each_crd_lacks_something_of_the_other_the_upgrade_stops_and_nothing_is_written(
    api: ApiServer, tmp_path: Path, now: tuple[str, ...]
) -> None:
    await api.put(path_of("nodes"), {**crd("nodes", *now), "status": SERVED})
    api.seen.clear()
    wanted = r"cluster has also v1\.spec\.old.*the chart's one has also v1\.spec\.device.*--force-conflicts"
    with pytest.raises(HookFailedError, match=wanted):
        await upgrade_crds(settings(api, folder(tmp_path, crd("nodes", "vendor", "device"))))
    assert writes(api) == [("PATCH", path_of("nodes"))], "it only asks"
    assert api.objects[path_of("nodes")]["spec"] == crd("nodes", *now)["spec"]


async def test_a_new_crd_is_waited_for_until_it_is_served(api: ApiServer, tmp_path: Path) -> None:
    async def serve() -> None:
        while path_of("plans") not in api.objects:
            await asyncio.sleep(0.01)
        await api.put(path_of("plans"), {**api.objects[path_of("plans")], "status": SERVED})

    serving = asyncio.create_task(serve())
    await upgrade_crds(settings(api, folder(tmp_path, crd("plans", "vendor"))))
    assert serving.done()
    await serving


async def test_a_crd_that_is_never_served_stops_the_upgrade_in_words(api: ApiServer, tmp_path: Path) -> None:
    with pytest.raises(HookFailedError, match=r"does not serve it after.*run the upgrade again"):
        await upgrade_crds(settings(api, folder(tmp_path, crd("plans", "vendor"))))


@pytest.mark.parametrize(("status", "message"), [(422, "spec.versions: invalid"), (403, "not allowed"), (500, "etcd")])
async def test_a_refused_crd_stops_the_upgrade_and_says_what_to_do(
    api: ApiServer, tmp_path: Path, status: int, message: str
) -> None:
    async def refused(request: web.Request) -> web.StreamResponse | None:
        return refusal(status, message) if request.method == "PATCH" else None

    api.fault = refused
    wanted = f"nodes.virtfn.dev was not upgraded.*{message}.*--force-conflicts.*hooks.upgradeCrds.enabled=false"
    with pytest.raises(HookFailedError, match=wanted):
        await upgrade_crds(settings(api, folder(tmp_path, crd("nodes", "vendor"))))


async def test_a_chart_without_crds_is_an_error(api: ApiServer, tmp_path: Path) -> None:
    with pytest.raises(HookFailedError, match="no CRD is in"):
        await upgrade_crds(settings(api, tmp_path))


# --- give-back -------------------------------------------------------------------------------------------------------


class Agents:
    """Answer as agents do, once their node is asked for nothing."""

    def __init__(self, api: ApiServer, *, held: str = "", silent: str = "") -> None:
        self.api, self.held, self.silent = api, held, silent

    async def start(self, *names: str) -> None:
        for name in names:
            spec = {"policies": [{"name": "fast", "uid": "u"}], "mayChange": False}
            await self.api.put(f"{OURS}/sriovnodes/{name}", {"metadata": {"name": name}, "spec": spec, "status": {}})

    async def answer_for_ever(self) -> None:
        while True:
            for path, body in list(self.api.objects.items()):
                name, spec = body["metadata"]["name"], body.get("spec") or {}
                if "/sriovnodes/" in path and spec.get("policies") == [] and name != self.silent:
                    await self._answer(path, body, name)
            await asyncio.sleep(0.01)

    async def _answer(self, path: str, body: Any, name: str) -> None:
        held = name == self.held
        status = {"observedGeneration": body["metadata"]["generation"], "conditions": IN_USE if held else CONVERGED}
        status |= {"plan": {"steps": 3, "blocked": [HELD]}} if held else {}
        if body.get("status") != status:
            await self.api.put(path, {**body, "status": status})


async def run(api: ApiServer, agents: Agents, timeout: float = 5.0) -> None:
    answering = asyncio.create_task(agents.answer_for_ever())
    try:
        await give_back(settings(api, timeout=timeout))
    finally:
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)


@pytest.mark.parametrize("number", [0, 1, 3, 40])
async def test_every_node_is_asked_for_nothing_and_waited_for(
    api: ApiServer, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    agents = Agents(api)
    await agents.start(*(f"n{index}" for index in range(number)))
    policy = api.objects[POLICY]
    await run(api, agents)
    nodes = [body for path, body in api.objects.items() if "/sriovnodes/" in path]
    assert [body["spec"] for body in nodes] == [{"policies": [], "mayChange": True}] * number
    assert api.objects[POLICY] == policy, "policies are the user's"
    assert f"{number} of {number} nodes have given everything back" in caplog.text


async def test_held_functions_are_listed_by_node_and_pod_and_left(
    api: ApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    agents = Agents(api, held="n2", silent="n3")
    await agents.start("n1", "n2", "n3")
    await run(api, agents, timeout=1.0)
    assert "1 of 3 nodes have given everything back" in caplog.text
    assert "left on node n2: 0000:01:00.0: held by pod default/holder" in caplog.text
    assert "left on node n3: its agent" in caplog.text


async def test_a_pod_that_ends_within_the_time_limit_is_waited_for(
    api: ApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    agents = Agents(api, held="n1")
    await agents.start("n1")
    asyncio.get_running_loop().call_later(0.3, lambda: setattr(agents, "held", ""))
    await run(api, agents)
    assert "1 of 1 nodes have given everything back" in caplog.text


@pytest.mark.parametrize("holder", ["virtfn-controller-abc", "", None])
async def test_the_lease_keeps_every_controller_away_and_runs_out_by_itself(api: ApiServer, holder: str | None) -> None:
    if holder is not None:
        lease = {"metadata": {"name": "virtfn-controller"}, "spec": {"holderIdentity": holder}}
        await api.put(LEASE, lease)
    agents = Agents(api)
    await agents.start("n1")
    await run(api, agents)
    spec = api.objects[LEASE]["spec"]
    assert spec["holderIdentity"] == hooks.MANAGER
    assert 5 <= spec["leaseDurationSeconds"] < 3600
    assert writes(api)[0][1] in (LEASE, LEASES), "before the first node is asked"


async def test_a_controller_that_asks_again_is_asked_back(api: ApiServer) -> None:
    """The last leader may write for some seconds yet."""
    agents = Agents(api)
    await agents.start("n1")
    path, again = f"{OURS}/sriovnodes/n1", [{"policies": [{"name": "fast", "uid": "u"}], "mayChange": False}]

    async def leader(request: web.Request) -> web.StreamResponse | None:
        if request.method == "GET" and request.path == f"{OURS}/sriovnodes" and again:
            body = api.objects[path]
            if body["spec"]["policies"] == []:
                await api.put(path, {**body, "spec": again.pop()})
        return None

    api.fault = leader
    await run(api, agents)
    assert again == []
    assert api.objects[path]["spec"]["policies"] == []


async def test_a_refusal_stops_the_uninstallation_in_words_and_leaves_the_lease(api: ApiServer) -> None:
    agents = Agents(api)
    await agents.start("n1")
    api.fault = lambda request: _refused(request)
    with pytest.raises(HookFailedError, match=r"could not be asked.*not allowed.*Nothing was uninstalled.*--no-hooks"):
        await run(api, agents)
    assert api.objects[LEASE]["spec"]["holderIdentity"] == ""


async def _refused(request: web.Request) -> web.StreamResponse | None:
    return refusal(403, "not allowed") if request.method == "PATCH" else None


async def test_one_object_that_is_not_taken_does_not_keep_the_others(
    api: ApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    agents = Agents(api)
    await agents.start("n1", "n2")

    async def invalid(request: web.Request) -> web.StreamResponse | None:
        return refusal(422, "spec.old: invalid") if request.method == "PATCH" and "n2" in request.path else None

    api.fault = invalid
    await run(api, agents, timeout=0.5)
    assert "1 of 2 nodes have given everything back" in caplog.text
    assert "left on node n2: it cannot be asked to give back" in caplog.text
    assert "spec.old: invalid" in caplog.text


async def test_an_api_server_that_comes_back_is_waited_for(api: ApiServer, caplog: pytest.LogCaptureFixture) -> None:
    agents = Agents(api)
    await agents.start("n1")
    failures = [503, 500]

    async def unwell(request: web.Request) -> web.StreamResponse | None:
        return refusal(failures.pop(), "later") if failures and request.path == LEASE else None

    api.fault = unwell
    hooks.TRIES, before = 30.0, hooks.TRIES
    try:
        await run(api, agents)
    finally:
        hooks.TRIES = before
    assert failures == []
    assert "1 of 1 nodes" in caplog.text


# --- clean-up --------------------------------------------------------------------------------------------------------


def pod(component: str, name: str, *, ready: bool = True) -> dict[str, Any]:
    labels = {"app.kubernetes.io/component": component}
    conditions = [{"type": "Ready", "status": str(ready)}]
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"nodeName": "n1"},
        "status": {"conditions": conditions},
    }


async def uninstalled(api: ApiServer, *, ready: bool = True) -> None:
    """A cluster in which Helm deleted the chart's objects."""
    spec, path = {"policies": [], "mayChange": True}, f"{OURS}/sriovnodes"
    done = {"observedGeneration": 1, "conditions": CONVERGED}
    held = {"observedGeneration": 1, "conditions": IN_USE, "plan": {"steps": 3, "blocked": [HELD]}}
    await api.put(f"{path}/n1", {"metadata": {"name": "n1"}, "spec": spec, "status": done})
    await api.put(f"{path}/n2", {"metadata": {"name": "n2"}, "spec": spec, "status": held})
    await api.put(LEASE, {"metadata": {"name": "virtfn-controller"}, "spec": {"holderIdentity": hooks.MANAGER}})
    await api.put(f"{PODS}/clean", pod("clean-nodes", "clean", ready=ready))
    status = {"observedGeneration": 1, "desiredNumberScheduled": 1}
    await api.put(CLEANERS, {"metadata": {"name": "virtfn-clean-nodes"}, "status": status})


async def test_what_is_given_back_leaves_nothing_in_the_api_but_policies(
    api: ApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    await uninstalled(api)
    await clean_up(settings(api))
    assert [path for path in api.objects if "virtfn.dev" in path] == [POLICY, f"{OURS}/sriovnodes/n2"]
    assert LEASE not in api.objects
    assert "left on node n2: 0000:01:00.0: held by pod default/holder" in caplog.text
    assert "the SriovNodes of these nodes stay as a record" in caplog.text


@pytest.mark.parametrize("first", ["agent", "not ready"])
async def test_objects_go_after_the_nodes_are_clean(api: ApiServer, first: str) -> None:
    await uninstalled(api, ready=first != "not ready")
    if first == "agent":
        await api.put(f"{PODS}/agent", pod("agent", "agent"))
    cleaning = asyncio.create_task(clean_up(settings(api)))
    await asyncio.sleep(0.3)
    assert not cleaning.done()
    assert f"{OURS}/sriovnodes/n1" in api.objects
    if first == "agent":
        await api.delete(f"{PODS}/agent")
    else:
        await api.put(f"{PODS}/clean", pod("clean-nodes", "clean"))
    await cleaning
    assert f"{OURS}/sriovnodes/n1" not in api.objects


async def test_a_node_that_does_not_become_clean_is_named_after_the_time_limit(
    api: ApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    await uninstalled(api, ready=False)
    await api.put(f"{PODS}/agent", pod("agent", "agent-1"))
    await api.put(CLEANERS, {**api.objects[CLEANERS], "status": {"observedGeneration": 1, "desiredNumberScheduled": 4}})
    await clean_up(settings(api, timeout=0.2))
    assert "on 3 more nodes no pod was started" in caplog.text
    assert "node n1 was not cleaned" in caplog.text
    assert "pod agent-1 has not ended" in caplog.text


async def test_objects_that_are_gone_already_are_no_error(api: ApiServer) -> None:
    await clean_up(settings(api))


@pytest.mark.parametrize("hook", [give_back, clean_up])
async def test_where_the_crds_were_deleted_before_there_is_nothing_to_do(
    api: ApiServer, hook: Callable[[HookSettings], Awaitable[None]], caplog: pytest.LogCaptureFixture
) -> None:
    async def gone(request: web.Request) -> web.StreamResponse | None:
        return refusal(404, "no matches for kind") if request.path.startswith(OURS) else None

    api.fault = gone
    await hook(settings(api))
    assert "0 of 0 nodes" in caplog.text


async def test_a_refused_deletion_is_told_with_the_commands_to_run(api: ApiServer) -> None:
    await uninstalled(api)

    async def refused(request: web.Request) -> web.StreamResponse | None:
        return refusal(403, "not allowed") if request.method == "DELETE" else None

    api.fault = refused
    with pytest.raises(HookFailedError, match=r"is uninstalled, but not all.*kubectl delete svn --all"):
        await clean_up(settings(api))

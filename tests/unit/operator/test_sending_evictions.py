"""Evictions over HTTP: what is asked of the API server, and what each of its answers means."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from http_served import http_served

from virtfn_operator.api.node_spec import PodId
from virtfn_operator.apiserver.kube import Kube
from virtfn_operator.apiserver.kube_error import KubeError
from virtfn_operator.controller.evict import Eviction, Facts, Said
from virtfn_operator.controller.evictions import AGAIN, FRESH, Evictions
from virtfn_operator.controller.picture import Change, ObjectKind
from virtfn_operator.controller.see import Once, see_state
from virtfn_operator.settings import ApiServer

POD = PodId(namespace="default", name="a", uid="u-a")
EVICTION = Eviction(node="n1", pod=POD)
OTHER = Eviction(node="n2", pod=PodId(namespace="x", name="b", uid="u-b"))
BUDGET = "The disruption budget web needs 2 healthy pods and has 2 currently"
STATE = {
    "metadata": {"name": "n1"},
    "spec": {"policies": [], "mayChange": True},
    "status": {"plan": {"disruptive": True, "evict": {"withdrawn": True, "pods": [{"name": "a"}]}}},
}


def status(code: int, message: str = "no", *causes: dict[str, str]) -> web.Response:
    body = {"kind": "Status", "code": code, "message": message, "details": {"causes": list(causes)}}
    return web.json_response(body, status=code)


def change(body: dict[str, Any], name: str = "n1") -> Change:
    return Change(kind=ObjectKind.STATE, name=name, seen=see_state(body, Once()))


async def look(client: Kube, body: dict[str, Any] = STATE) -> Facts:
    evictions = Evictions(client, clock=Clock())
    evictions.take([change(body)])
    return await evictions.look(frozenset())


class Server:
    """Answers evictions as it is told, and lists of pods."""

    def __init__(self) -> None:
        self.answers: list[web.Response] = []
        self.asked: list[tuple[str, str, Any, dict[str, str]]] = []
        self.pods: Any = [{"metadata": {"namespace": "default", "name": "a", "uid": "u-a"}}]
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json() if request.method == "POST" else None
        self.asked.append((request.method, request.path, body, dict(request.query)))
        if request.method == "POST":
            return self.answers.pop(0)
        found = self.pods if request.path.endswith("/pods") else []
        return found if isinstance(found, web.Response) else web.json_response({"metadata": {}, "items": found})


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    fake = Server()
    async with http_served(fake.answer) as fake.url:
        yield fake


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def kube(server: Server, clock: Clock | None = None) -> Kube:
    return Kube(ApiServer(url=server.url, token=None, ca=None), connections=2, clock=clock or Clock())


async def said(server: Server, answer: web.Response) -> Any:
    async with kube(server) as client:
        server.answers = [answer]
        evictions = Evictions(client, clock=Clock())
        await evictions.send([EVICTION])
        evictions.take([change(STATE)])
        return (await evictions.look(frozenset())).answers.get("u-a")


async def test_an_eviction_names_the_uid_and_leaves_the_grace_period_to_the_pod(server: Server) -> None:
    assert (await said(server, status(201, ""))).said is Said.DONE
    method, path, body, _ = server.asked[0]
    assert (method, path) == ("POST", "/api/v1/namespaces/default/pods/a/eviction")
    assert body["apiVersion"] == "policy/v1"
    assert body["deleteOptions"] == {"preconditions": {"uid": "u-a"}}


@pytest.mark.parametrize("code", [404, 409])
async def test_a_pod_that_is_gone_or_another_one_needs_none(server: Server, code: int) -> None:
    assert (await said(server, status(code))).said is Said.DONE


async def test_a_budget_is_named(server: Server) -> None:
    cause = {"reason": "DisruptionBudget", "message": BUDGET}
    found = await said(server, status(429, "Cannot evict pod as it would violate the pod's disruption budget.", cause))
    assert (found.said, found.text) == (Said.REFUSED, BUDGET)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (403, "admission webhook says no"),
        (422, "the eviction is invalid"),
        (500, "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."),
    ],
)
async def test_a_refusal_that_waiting_does_not_help_is_told(server: Server, code: int, text: str) -> None:
    found = await said(server, status(code, text))
    assert found.said is Said.REFUSED
    assert text in found.text


@pytest.mark.parametrize("code", [429, 502, 503])
async def test_a_busy_server_is_no_refusal(server: Server, code: int) -> None:
    other = {"reason": "Other", "message": "x"}
    assert (await said(server, status(code, "too many requests", other))).said is Said.LATER


@pytest.mark.parametrize("code", [429, 500])
async def test_a_refusal_holds_no_other_request(server: Server, code: int) -> None:
    cause = [{"reason": "DisruptionBudget", "message": BUDGET}] if code == 429 else []
    async with kube(server) as client:
        server.answers = [status(code, "no", *cause) for _ in range(6)]
        for number in range(6):
            with pytest.raises(KubeError):
                await client.evict("default", f"pod-{number % 3 if code == 429 else number}", "u")
        assert await client.list("/api/v1/nodes") == []


async def test_what_was_refused_is_sent_again_after_a_while_only(server: Server) -> None:
    cause, clock = {"reason": "DisruptionBudget", "message": BUDGET}, Clock()
    async with kube(server, clock) as client:
        evictions = Evictions(client, clock=clock)
        server.answers = [status(429, "no", cause), status(429, "no", cause), status(201)]
        assert await evictions.send([EVICTION])
        assert not await evictions.send([EVICTION])
        clock.now += AGAIN
        assert not await evictions.send([EVICTION])  # the same answer tells nothing new
        clock.now += AGAIN
        assert await evictions.send([EVICTION])
    assert server.answers == []


async def test_after_no_answer_the_others_are_not_sent_now(server: Server) -> None:
    async with kube(server) as client:
        server.answers = [web.Response(text="no API server"), status(201)]
        await Evictions(client, clock=Clock()).send([EVICTION, OTHER])
    assert len(server.answers) == 1


@pytest.mark.parametrize("code", [400, 401, 403, 413, 422, 429, 500, 502, 503, 504])
async def test_an_answer_about_one_pod_keeps_no_other_pod(server: Server, code: int) -> None:
    async with kube(server) as client:
        evictions = Evictions(client, clock=Clock())
        server.answers = [status(code), status(201)]
        await evictions.send([EVICTION, OTHER])
        evictions.take([change(STATE), change(STATE, "n2")])
        server.pods = [{"metadata": {"namespace": "default", "name": n, "uid": f"u-{n}"}} for n in "ab"]
        assert (await evictions.look(frozenset())).answers["u-b"].said is Said.DONE


async def test_a_pod_for_which_the_server_asks_for_a_pause_each_time_keeps_no_other_pod(server: Server) -> None:
    clock = Clock()
    async with kube(server, clock) as client:
        evictions = Evictions(client, clock=clock)
        later = web.json_response({"kind": "Status", "message": "busy"}, status=429, headers={"Retry-After": "10"})
        server.answers = [later, status(201)]
        await evictions.send([EVICTION, OTHER])
        clock.now += AGAIN
        await evictions.send([EVICTION, OTHER])
    assert [path for _, path, _, _ in server.asked][1] == "/api/v1/namespaces/x/pods/b/eviction"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (403, "pods is forbidden: cannot create resource pods/eviction"),
        (422, "the eviction is invalid"),
        (500, "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."),
        (429, 'admission webhook "virt.io" denied the request: it is being migrated'),
    ],
)
async def test_a_refusal_stands_however_often_it_is_sent_again(server: Server, code: int, message: str) -> None:
    """Also while the requests are held because they failed so often."""
    clock = Clock()
    async with kube(server, clock) as client:
        evictions = Evictions(client, clock=clock)
        evictions.take([change(STATE)])
        server.answers = [status(code, message) for _ in range(200)]
        for _ in range(120):
            await evictions.send([EVICTION])
            answer = (await evictions.look(frozenset())).answers["u-a"]
            assert (answer.said, message in answer.text) == (Said.REFUSED, True)
            clock.now += AGAIN
    assert sum(method == "POST" for method, _, _, _ in server.asked) > 120 * AGAIN / 40


DENIALS = [
    'admission webhook "virt-launcher-eviction-interceptor.kubevirt.io" denied the request: it is being migrated',
    'admission webhook "a.b.c" denied the request without explanation',
    "pods \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: not now",
]


@pytest.mark.parametrize("code", [400, 401, 403, 404, 409, 413, 422, 429, 500, 503])
@pytest.mark.parametrize("message", DENIALS)
async def test_a_webhook_that_denies_refuses_with_whatever_code(server: Server, code: int, message: str) -> None:
    found = await said(server, status(code, message))
    assert found.said is Said.REFUSED
    assert found.text == message


@pytest.mark.parametrize("code", [400, 401, 403, 429, 503])
async def test_what_a_webhook_denies_is_sent_each_time_and_holds_no_other_request(server: Server, code: int) -> None:
    async with kube(server) as client:
        server.answers = [status(code, DENIALS[0]) for _ in range(20)]
        for _ in range(20):
            with pytest.raises(KubeError) as raised:
                await client.evict("default", "a", "u")
            assert not raised.value.held
        assert await client.list("/api/v1/nodes") == []


@pytest.mark.parametrize("code", [429, 503])
async def test_words_of_a_denial_in_an_answer_about_something_else_leave_the_server_busy(
    server: Server, code: int
) -> None:
    async with kube(server) as client:
        server.answers = [status(code, DENIALS[0]) for _ in range(2)]
        for _ in range(3):
            with pytest.raises(KubeError) as raised:
                await client.create("/api/v1/namespaces/default/pods", {})
        assert raised.value.held


async def test_pods_of_virtfn_s_own_namespace_are_known(server: Server) -> None:
    server.pods = [{"metadata": {"namespace": n, "name": "a", "uid": n}} for n in ("default", "kube-system", "ours")]
    async with kube(server) as client:
        evictions = Evictions(client, namespace="ours", clock=Clock())
        evictions.take([change(STATE)])
        pods = (await evictions.look(frozenset())).pods["n1"]
    assert [getattr(pod, "pinned", "")[:15] for pod in pods] == ["", "is in the names", "is in the names"]


async def test_pods_of_the_node_that_have_not_ended_are_read(server: Server) -> None:
    async with kube(server) as client:
        facts = await look(client)
    assert [getattr(pod, "id", None) for pod in facts.pods["n1"]] == [POD]
    queries = {path: query.get("fieldSelector") for _, path, _, query in server.asked}
    assert queries == {"/api/v1/pods": "spec.nodeName=n1,status.phase!=Succeeded,status.phase!=Failed"}


async def test_without_turns_nothing_is_requested(server: Server) -> None:
    async with kube(server) as client:
        quiet = {"metadata": {"name": "n1"}, "spec": {"mayChange": False}, "status": {}}
        assert not (await look(client, quiet)).pods
    assert server.asked == []


@pytest.mark.parametrize("gone", [None, {"metadata": {"name": "n1"}}, {**STATE, "spec": {"mayChange": False}}])
async def test_a_node_that_waits_for_no_pods_any_more_is_not_asked_for(server: Server, gone: Any) -> None:
    async with kube(server) as client:
        evictions = Evictions(client, clock=Clock())
        evictions.take([change(STATE)])
        evictions.take([Change(kind=ObjectKind.STATE, name="n1", seen=None) if gone is None else change(gone)])
        assert not (await evictions.look(frozenset())).pods
    assert server.asked == []


async def test_a_controller_that_may_not_lead_any_more_evicts_nothing(server: Server) -> None:
    async with kube(server) as client:
        assert not await Evictions(client, clock=Clock()).send([EVICTION], lambda: False)
    assert server.asked == []


async def test_a_list_of_pods_is_used_for_a_moment_and_not_after_an_eviction(server: Server) -> None:
    clock = Clock()
    async with kube(server, clock) as client:
        evictions = Evictions(client, clock=clock)
        evictions.take([change(STATE)])
        for _ in range(3):
            await evictions.look(frozenset())
        assert sum(path == "/api/v1/pods" for _, path, _, _ in server.asked) == 1
        server.answers = [status(201)]
        await evictions.send([EVICTION])
        await evictions.look(frozenset())
        clock.now += FRESH
        await evictions.look(frozenset())
    assert sum(path == "/api/v1/pods" for _, path, _, _ in server.asked) == 3


async def test_pods_that_may_not_be_listed_are_told_with_the_value_that_helps(server: Server) -> None:
    server.pods = status(403, "pods is forbidden")
    async with kube(server) as client:
        facts = await look(client)
    assert "pods is forbidden" in str(facts.pods["n1"])
    assert "eviction.enabled" in str(facts.pods["n1"])


@pytest.mark.parametrize("code", [401, 404, 408, 429, 500, 503])
async def test_no_answer_about_pods_is_neither_none_nor_a_refusal(
    server: Server, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    server.pods = status(code)
    async with kube(server) as client:
        assert "n1" not in (await look(client)).pods
    assert "cannot list the pods of node n1, will try again" in caplog.text

"""evicting: from what a node names and what the API server shows to the pods to ask for, to evict, and to leave."""

from datetime import UTC, datetime
from typing import Any

import pytest

from virtfn_host.core.values.reasons import Reason
from virtfn_operator.api.node_spec import PodId
from virtfn_operator.api.node_state import NodeState, read_node
from virtfn_operator.controller.evict import (
    Evicting,
    EvictionAnswer,
    Facts,
    Said,
    disturbs,
    evicting,
    read_pods,
    waits_for_pods,
)

MIRROR = {"annotations": {"kubernetes.io/config.mirror": "x"}}
DAEMON = {"ownerReferences": [{"kind": "DaemonSet", "name": "agent", "controller": True}]}
REPLICAS = {"ownerReferences": [{"kind": "ReplicaSet", "name": "web-1", "controller": True}]}


def body(*pods: dict[str, str], ask: tuple[str, ...] = (), withdrawn: bool = True, answered: bool = True) -> Any:
    listed = [{"namespace": "default", "name": name, "uid": f"u-{name}"} for name in ask]
    plan = {"disruptive": True, "evict": {"withdrawn": withdrawn, "pods": list(pods)}}
    return {
        "metadata": {"name": "n1", "generation": 7},
        "spec": {"policies": [], "mayChange": True, "evict": listed},
        "status": {"observedGeneration": 7 if answered else 6, "plan": plan},
    }


def named(name: str, device: str = "pf0") -> dict[str, str]:
    return {"device": device, "namespace": "default", "name": name}


def a_pod(name: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "default", "name": name, "uid": f"u-{name}", **metadata}}


def out(node: Any, *pods: dict[str, Any], **facts: Any) -> Evicting:
    return evicting(read_node(node), Facts(pods={"n1": read_pods(pods)}, **facts))


def ids(*names: str) -> tuple[PodId, ...]:
    return tuple(PodId(namespace="default", name=name, uid=f"u-{name}") for name in names)


def test_a_pod_is_asked_for_before_it_is_evicted() -> None:
    first = out(body(named("a")), a_pod("a"), a_pod("b"))
    assert (first.ask, first.now) == (ids("a"), ())
    second = out(body(named("a"), ask=("a",)), a_pod("a"), a_pod("b"))
    assert (second.ask, second.now, second.why) == (ids("a"), ids("a"), None)


def test_a_pod_of_the_same_name_that_came_later_is_asked_for_first() -> None:
    again = {"metadata": {"namespace": "default", "name": "a", "uid": "another"}}
    found = out(body(named("a"), ask=("a",)), again)
    assert found.now == ()
    assert [pod.uid for pod in found.ask] == ["another"]


@pytest.mark.parametrize(
    "node",
    [
        body(named("a"), ask=("a",), answered=False),
        body(named("a"), ask=("a",), withdrawn=False),
        body(ask=("a",)),
        body(named("b"), ask=("a",)),
        {**body(named("a"), ask=("a",)), "status": {"observedGeneration": 7, "plan": {"disruptive": True}}},
        {**body(named("a"), ask=("a",)), "status": 7},
    ],
    ids=["not answered", "not withdrawn", "none named", "another named", "nothing to evict", "unreadable"],
)
def test_no_pod_is_evicted(node: Any) -> None:
    found = out(node, a_pod("a"))
    assert found.now == ()
    assert set(found.ask) <= set(ids("a", "b"))


def test_a_cordoned_node_keeps_its_pods() -> None:
    assert out(body(named("a"), ask=("a",)), a_pod("a"), cordoned=frozenset({"n1"})).now == ()


@pytest.mark.parametrize(("kind", "word"), [(MIRROR, "static pod"), (DAEMON, "DaemonSet agent")])
def test_what_would_come_back_is_named_and_nothing_else_that_its_change_waits_for_is_evicted(
    kind: dict[str, Any], word: str
) -> None:
    node = body(named("a"), named("b"), named("c", "pf1"), ask=("a", "b", "c"))
    found = out(node, a_pod("a", **kind), a_pod("b"), a_pod("c", **REPLICAS))
    assert found.now == ids("c")
    assert found.why is not None
    assert found.why[0] is Reason.VFS_IN_USE
    assert "pod default/a is not evicted" in found.why[1]
    assert word in found.why[1]


def test_a_pod_that_has_ended_is_not_evicted_and_hinders_none() -> None:
    assert out(body(named("gone"), named("b"), ask=("b",)), a_pod("b")).now == ids("b")


def test_a_pod_that_is_ending_is_not_evicted_again() -> None:
    found = out(body(named("a"), ask=("a",)), a_pod("a", deletionTimestamp="2026-01-01T00:00:00Z"))
    assert (found.now, found.why, found.ask) == ((), None, ids("a"))


def test_a_pod_that_is_known_by_its_uid_is_found() -> None:
    node = body({"device": "pf0", "uid": "u-b"}, {"device": "pf0", "uid": "u-x"}, ask=("b",))
    assert out(node, a_pod("a"), a_pod("b")).now == ids("b")


def test_a_name_with_another_uid_is_another_pod() -> None:
    node = body({**named("a"), "uid": "u-old"}, ask=("a",))
    assert out(node, a_pod("a")) == Evicting(ask=ids("a"))


def test_a_refusal_is_told_with_what_the_budget_says() -> None:
    said = EvictionAnswer(said=Said.REFUSED, text="The disruption budget web needs 2 healthy pods and has 2 currently")
    found = out(body(named("a"), ask=("a",)), a_pod("a"), answers={"u-a": said})
    assert found.now == ids("a")
    assert found.why is not None
    assert found.why[0] is Reason.EVICTION_BLOCKED
    assert "pod default/a is refused: The disruption budget web needs" in found.why[1]


def test_an_eviction_that_was_accepted_is_no_refusal() -> None:
    done = EvictionAnswer(said=Said.DONE)
    assert out(body(named("a"), ask=("a",)), a_pod("a"), answers={"u-a": done}).why is None


def test_what_is_not_answered_is_told_and_after_any_refusal() -> None:
    later, refused = EvictionAnswer(said=Said.LATER, text="503: busy"), EvictionAnswer(said=Said.REFUSED, text="web")
    node = body(named("a"), named("b"), ask=("a", "b"))
    found = out(node, a_pod("a"), a_pod("b"), answers={"u-a": later}).why
    assert found == (Reason.EVICTION_BLOCKED, "the eviction of pod default/a has not gone through: 503: busy")
    both = out(node, a_pod("a"), a_pod("b"), answers={"u-a": later, "u-b": refused}).why
    assert both == (Reason.EVICTION_BLOCKED, "the eviction of pod default/b is refused: web (and 1 more)")


@pytest.mark.parametrize("said", [Said.REFUSED, Said.LATER])
def test_a_pod_that_ends_after_all_is_refused_no_more(said: Said) -> None:
    ending = a_pod("a", deletionTimestamp="2026-01-01T00:00:00Z")
    answers = {"u-a": EvictionAnswer(said=said, text="x")}
    assert out(body(named("a"), ask=("a",)), ending, answers=answers).why is None


@pytest.mark.parametrize(
    ("deleted", "until"),
    [
        ("2026-01-01T00:00:30Z", datetime(2026, 1, 1, 0, 0, 30, tzinfo=UTC)),
        ("2026-01-01", None),
        ("now", None),
        (7, None),
        ("0001-01-01T00:00:00+14:00", None),
    ],
)
def test_until_when_the_pods_that_are_ending_may_take(deleted: Any, until: datetime | None) -> None:
    node = body(named("a"), named("b"), ask=("a", "b"))
    assert out(node, a_pod("a", deletionTimestamp=deleted), a_pod("b")).until == until
    early = a_pod("b", deletionTimestamp="2025-01-01T00:00:00Z")
    found = out(
        node, a_pod("a", deletionTimestamp=deleted), early, a_pod("c", deletionTimestamp="2027-01-01T00:00:00Z")
    )
    assert found.until == (until or datetime(2025, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("namespace", ["kube-system", "virtfn"])
@pytest.mark.parametrize("kind", [{}, REPLICAS])
def test_a_pod_of_a_namespace_that_is_left_alone_keeps_the_others_of_its_change(
    namespace: str, kind: dict[str, Any]
) -> None:
    spared = {"metadata": {"namespace": namespace, "name": "a", "uid": "u-a", **kind}}
    pods = read_pods([spared, a_pod("b"), a_pod("c")], frozenset({"kube-system", "virtfn"}))
    node = body({**named("a"), "namespace": namespace}, named("b"), named("c", "pf1"), ask=("b", "c"))
    found = evicting(read_node(node), Facts(pods={"n1": pods}))
    assert found.now == ids("c")
    assert found.why is not None
    assert f"pod {namespace}/a is not evicted: it is in the namespace {namespace}" in found.why[1]
    alone = evicting(read_node(body({**named("a"), "namespace": namespace}, named("b"))), Facts(pods={"n1": pods}))
    assert alone.hopeless


def test_pods_that_may_not_be_read_are_told_and_those_of_no_answer_are_waited_for() -> None:
    node = read_node(body(named("a"), ask=("a",)))
    refused = evicting(node, Facts(pods={"n1": "pods is forbidden"}))
    assert refused.why == (Reason.EVICTION_BLOCKED, "cannot read the pods of the node: pods is forbidden")
    assert evicting(node, Facts()) == Evicting(ask=ids("a"), untold=True)


@pytest.mark.parametrize("pod", [{}, {"metadata": {"name": "a"}}, {"metadata": {"namespace": "x", "uid": "u"}}, 7])
def test_what_is_no_pod_is_left_out(pod: Any) -> None:
    assert read_pods([pod, a_pod("a")] if isinstance(pod, dict) else [a_pod("a")]) == read_pods([a_pod("a")])


def state(spec: Any, status: Any) -> NodeState:
    return read_node({"metadata": {"name": "n1", "generation": 1}, "spec": spec, "status": status})


def test_whose_pods_are_read() -> None:
    assert waits_for_pods(read_node(body(named("a"))))
    assert not waits_for_pods(read_node(body()))
    assert not waits_for_pods(read_node({**body(named("a")), "spec": {"mayChange": False}}))
    assert disturbs(state({}, {"plan": {"disruptive": True}}))
    assert disturbs(state({"policies": [], "mayChange": True}, {}))
    assert not disturbs(state({}, {"plan": {"disruptive": False}}))
    assert not disturbs(state([], 7))

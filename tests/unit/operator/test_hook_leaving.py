"""What an uninstallation says is left on a node, and when all nodes are clean."""

from typing import Any

import pytest

from virtfn_operator.lifecycle.leaving import Cleaned, Left, cleaned, giving_up, left_on, said

GIVEN_UP = {"policies": [], "mayChange": True}
CONVERGED = [{"type": "Ready", "status": "True", "reason": "Converged", "message": "all as asked"}]
IN_USE = [{"type": "Ready", "status": "False", "reason": "VfsInUse", "message": "waits for pod default/holder"}]


def node(spec: Any = GIVEN_UP, observed: int = 3, name: str = "n1", **status: Any) -> dict[str, Any]:
    told = {"observedGeneration": observed, "conditions": CONVERGED, **status}
    return {"metadata": {"name": name, "generation": 3}, "spec": spec, "status": told}


def blocked(*pods: str, device: str = "0000:01:00.0", message: str = "in use") -> dict[str, Any]:
    return {"device": device, "reason": "VfsInUse", "message": message, "pods": list(pods)}


def test_a_node_that_is_converged_with_nothing_asked_has_nothing_left() -> None:
    assert left_on(node()).left is Left.NOTHING


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (node(spec={"policies": [{"name": "a"}], "mayChange": True}), "is not asked to give back yet"),
        (node(spec={"policies": [], "mayChange": False}), "is not asked to give back yet"),
        (node(spec=None), "is not asked to give back yet"),
        (node(observed=2), "its agent does not answer"),
        (node(observedGeneration="x"), "its agent does not answer"),
        ({**node(), "status": None}, "its agent has never reported"),
        (node(conditions=[]), "its agent has not told how it is"),
        (node(plan={"steps": 4, "blocked": []}), "Converged: all as asked"),
        (node(conditions=IN_USE), "VfsInUse: waits for pod default/holder"),
    ],
)
def test_a_node_that_is_not_done_says_why(body: dict[str, Any], line: str) -> None:
    found = left_on(body)
    assert (found.left, found.lines[0]) == (Left.SOMETHING, line)


@pytest.mark.parametrize(
    ("found", "lines"),
    [
        ([blocked("pod default/holder")], ["0000:01:00.0: held by pod default/holder"]),
        ([blocked("pod a/b", "pod c/d")], ["0000:01:00.0: held by pod a/b, pod c/d"]),
        (
            [blocked("pod a/b"), blocked("vfio device is open", device="0000:02:00.0")],
            ["0000:01:00.0: held by pod a/b", "0000:02:00.0: held by vfio device is open"],
        ),
    ],
)
def test_held_functions_are_named_with_their_pods(found: list[Any], lines: list[str]) -> None:
    told = left_on(node(plan={"steps": 2, "blocked": found}, conditions=IN_USE))
    assert told.left is Left.HELD
    assert list(told.lines) == lines


def test_a_change_that_waits_for_no_holder_is_not_called_held() -> None:
    stuck = {"device": "0000:01:00.0", "reason": "Stuck", "message": "a write does not return", "pods": []}
    told = left_on(node(plan={"steps": 2, "blocked": [blocked("pod a/b"), stuck]}, conditions=IN_USE))
    assert told.left is Left.SOMETHING
    assert told.lines[1:] == ("0000:01:00.0: held by pod a/b", "0000:01:00.0: a write does not return")


@pytest.mark.parametrize(
    ("spec", "patch"),
    [
        (GIVEN_UP, {}),
        (None, {"spec": GIVEN_UP}),
        ({"policies": [{"name": "a"}], "mayChange": True}, {"spec": {"policies": []}}),
        (
            {**GIVEN_UP, "mayChange": False, "evict": [{"uid": "u"}], "needs": ["x"]},
            {"spec": {"mayChange": True, "evict": None, "needs": None}},
        ),
    ],
)
def test_a_node_is_asked_for_nothing_by_the_least_patch(spec: Any, patch: dict[str, Any]) -> None:
    assert giving_up({"spec": spec} if spec is not None else {}) == patch


@pytest.mark.parametrize("odd", [7, "x", [], {"metadata": 3, "spec": GIVEN_UP}, {"status": {"plan": [1]}}, None])
def test_an_odd_object_is_something_and_no_error(odd: Any) -> None:
    body = odd if isinstance(odd, dict) else {"status": odd}
    assert left_on(body).left is Left.SOMETHING


def test_what_is_said_names_node_device_and_pod_and_counts_the_rest() -> None:
    held = node(name="n2", plan={"steps": 1, "blocked": [blocked("pod default/holder")]}, conditions=IN_USE)
    assert said(map(left_on, (held, node(), node(name="n3", observed=1)))) == [
        "1 of 3 nodes have given everything back",
        "left on node n2: 0000:01:00.0: held by pod default/holder",
        "left on node n3: its agent does not answer",
    ]


# --- the pods that clean nodes ---------------------------------------------------------------------------------------


def pod(component: str, number: int = 1, *, ready: bool = True) -> dict[str, Any]:
    return {
        "metadata": {"name": f"{component}-{number}", "labels": {"app.kubernetes.io/component": component}},
        "spec": {"nodeName": f"n{number}"},
        "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
    }


def cleaners(number: int, *, observed: int = 1) -> dict[str, Any]:
    status = {"observedGeneration": observed, "desiredNumberScheduled": number}
    return {"metadata": {"name": "virtfn-clean-nodes", "generation": 1}, "status": status}


@pytest.mark.parametrize(
    ("pods", "daemon_set", "wanted"),
    [
        ([pod("clean-nodes"), pod("clean-up")], cleaners(1), Cleaned(ends=(), waits=())),
        ([pod("clean-nodes"), pod("clean-nodes", 2, ready=False)], cleaners(2), Cleaned(ends=(), waits=("n2",))),
        ([pod("clean-nodes")], cleaners(3), Cleaned(ends=(), waits=(), missing=2)),
        ([], cleaners(0, observed=0), Cleaned(ends=(), waits=(), missing=1)),
        ([], {"metadata": {}, "status": None}, Cleaned(ends=(), waits=(), missing=1)),
        ([], cleaners(0), Cleaned(ends=(), waits=())),
        ([], None, Cleaned(ends=(), waits=())),
        (
            [pod("agent"), pod("deviceplugin"), pod("clean-nodes"), pod("controller")],
            cleaners(1),
            Cleaned(ends=("agent-1", "deviceplugin-1"), waits=()),
        ),
    ],
)
def test_nodes_are_clean_when_each_has_a_ready_pod_and_the_others_have_ended(
    pods: list[Any], daemon_set: Any, wanted: Cleaned
) -> None:
    found = cleaned(pods, "clean-nodes", daemon_set)
    assert found == wanted
    assert found.done is (wanted == Cleaned(ends=(), waits=()))

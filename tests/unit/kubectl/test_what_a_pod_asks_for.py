"""What a pod asks for is what the scheduler counts: all that may run at one time, sidecars beside the containers."""

from __future__ import annotations

from typing import Any

import pytest
from fake_cluster import Ask, cluster_of, recorded

from virtfn_kubectl.read.members import read_pod

Body = dict[str, Any]
FAST = "virtfn.dev/fast"


def pod(init: str = "", containers: str = "", part: str = "limits") -> Body:
    """Return a pod whose containers ask for these numbers; `s` before a number makes a sidecar."""

    def listed(numbers: str) -> list[Body]:
        return [_container(word, {part: {FAST: word.lstrip("s"), "cpu": "8"}}) for word in numbers.split()]

    spec = {"initContainers": listed(init), "containers": listed(containers)}
    return {"metadata": {"name": "asked", "namespace": "default"}, "spec": spec}


def _container(word: str, resources: Body) -> Body:
    return {"resources": resources} | ({"restartPolicy": "Always"} if word.startswith("s") else {})


@pytest.mark.parametrize("part", ["limits", "requests"])
@pytest.mark.parametrize(
    ("init", "containers", "number"),
    [
        ("", "1", 1),
        ("", "1 2", 3),
        ("3", "1", 3),
        ("1 2", "1", 2),
        ("1", "1 2", 3),
        ("s1", "1", 2),
        ("s1 s2", "1", 4),
        ("s1", "", 1),
        ("s1 3", "1", 4),
        ("3 s1", "1", 3),
        ("3 s1", "3", 4),
        ("s1 2 s1 1", "1", 3),
        ("s1 1 s1 3", "2", 5),
        ("", "2k", 2000),
        ("", "1k 24", 1024),
        ("s1k", "1", 1001),
    ],
)
def test_it_is_what_the_scheduler_counts(init: str, containers: str, number: int, part: str) -> None:
    assert read_pod(pod(init, containers, part)).asks == ((FAST, number),)


def test_each_resource_is_counted_for_itself() -> None:
    body = pod("s1 4", "1")
    body["spec"]["initContainers"][1]["resources"]["limits"] = {"virtfn.dev/slow": "4"}
    assert read_pod(body).asks == ((FAST, 2), ("virtfn.dev/slow", 4))


@pytest.mark.parametrize("value", ["", "0", "many", "1.5k", "-1", "100m", None, [], "9" * 5000])
def test_what_is_no_number_of_functions_counts_nothing(value: Any) -> None:
    body = pod("", "1 1")
    body["spec"]["containers"][0]["resources"]["limits"][FAST] = value
    assert read_pod(body).asks == ((FAST, 1),)


@pytest.mark.parametrize("policy", ["OnFailure", None, 1, ["Always"], {}])
def test_no_other_restart_policy_makes_a_sidecar(policy: Any) -> None:
    body = pod("1", "1")
    body["spec"]["initContainers"][0]["restartPolicy"] = policy
    assert read_pod(body).asks == ((FAST, 1),)


@pytest.mark.parametrize(("init", "containers"), [("s1", "1"), ("s1 1", ""), ("", "2"), ("2", "1")])
def test_a_pod_that_one_free_function_is_too_few_for_is_told_so(ask: Ask, init: str, containers: str) -> None:
    fleet = recorded("healthy")
    for node in fleet["nodes"]:
        node["status"]["pools"][0]["inUse"] = node["status"]["pools"][0]["capacity"] - 1
    fleet["pods"] = [{**pod(init, containers), "status": {"phase": "Pending"}}]
    answer = ask(cluster_of(fleet), "why", "pod/asked")
    assert answer.status == 3
    assert "the pod asks for 2" in answer.out
    assert "virtfn is no obstacle" not in answer.out

"""What the accounts may do is what the processes do: the API server's own log of the run against the chart's rules.

Runs late, after everything else that this run made the processes do; alone, it makes them do one whole life of a policy
first. What tests asked with the accounts' tokens is not the processes' doing and does not count.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from virtfn_lab.audit import Call, calls
from virtfn_lab.cluster import Cluster
from virtfn_lab.node import LEFT, Node, policy
from virtfn_lab.product import NAMESPACE, allocatable, functions
from virtfn_lab.progress import say
from virtfn_lab.thief import PROGRAM

ACCOUNTS = ("controller", "agent", "deviceplugin")

HOOKS = frozenset(f"{NAMESPACE}:virtfn-{name}" for name in ("upgrade-crds", "give-back", "clean-up"))
"""Accounts of the chart's hooks. Their rights are gone when they have ended; test_chart_hooks.py has them."""

Right = tuple[str, str, str, str]
"""Account, verb, API group, resource: what a rule allows and a request uses."""

EVICTING = {("controller", "list", "", "pods"), ("controller", "create", "", "pods/eviction")}
"""Used by policies with `whenInUse: Evict` only (test_evict.py)."""


@pytest.fixture(scope="module")
def log(cluster: Cluster) -> list[Call]:
    """The processes' requests, among them those of a policy that was made and deleted just now."""
    node = Node(cluster)
    before = functions(cluster)
    node.apply(policy("left", 2, LEFT))
    node.until("the pool is there", lambda: allocatable(cluster, "virtfn.dev/left") == 2)
    node.converged()
    cluster.kubectl("delete", "svp", "left")
    node.until("everything is given back", lambda: functions(cluster) == before)
    node.converged()
    found = [
        call
        for call in calls(cluster.folder)
        if call.account.startswith(f"{NAMESPACE}:virtfn-")
        and call.account not in HOOKS
        and not call.program.startswith(("kubectl", PROGRAM))
    ]
    assert found, "the API server noted nothing"
    return found


def test_no_right_is_unused_and_none_is_missing(cluster: Cluster, log: list[Call]) -> None:
    allowed, used = rights(cluster), Counter(right(call) for call in log if call.resource)
    for one in sorted(allowed | used.keys()):
        say(f"{used[one]:6d} x {' '.join(one)}{'' if one in allowed else '   NOT IN THE RULES'}")
    assert sorted(allowed - used.keys() - EVICTING) == [], "unused"
    assert sorted(used.keys() - allowed) == [], "without a rule"


def test_the_processes_were_refused_nothing(cluster: Cluster, log: list[Call]) -> None:
    """By RBAC or by a policy; since the roles were made, because an uninstall takes them before the processes end."""
    since = _made(cluster, "clusterrole", "virtfn-agent")
    refused = Counter(str(call) for call in log if call.status in (401, 403, 422) and call.time > since)
    assert refused == {}


def test_each_agent_touches_its_own_objects_only(log: list[Call]) -> None:
    """Reads, too, which no admission policy sees; a watch is one of one name."""
    of_agents = [call for call in log if call.account.endswith(":virtfn-agent")]
    assert {call.node for call in of_agents} == {"node-1"}
    foreign = [
        str(call)
        for call in of_agents
        if call.resource.partition("/")[0] in ("sriovnodes", "nodes") and call.verb != "create"
        if call.name != call.node
    ]
    assert foreign == []


def test_the_device_plugin_asks_nothing(log: list[Call]) -> None:
    assert [str(call) for call in log if call.account.endswith(":virtfn-deviceplugin")] == []


def right(call: Call) -> Right:
    return (call.account.rpartition("virtfn-")[2], call.verb, call.group, call.resource)


def rights(cluster: Cluster) -> set[Right]:
    """What the bindings give our accounts, role by role, as the API server has them now."""
    found: set[Right] = set()
    for kind in ("clusterrolebindings", "rolebindings"):
        bindings: Any = cluster.get(kind, "-A")["items"]
        for binding in bindings:
            accounts = [
                subject["name"].removeprefix("virtfn-")
                for subject in binding.get("subjects", [])
                if subject.get("namespace") == NAMESPACE and subject["name"].startswith("virtfn-")
            ]
            if accounts:
                found |= {(account, *one) for account in accounts for one in _rules(cluster, binding)}
    return found


def _rules(cluster: Cluster, binding: Any) -> set[tuple[str, str, str]]:
    ref, namespace = binding["roleRef"], binding["metadata"].get("namespace")
    where = ["-n", namespace] if ref["kind"] == "Role" else []
    role: Any = cluster.get(ref["kind"].lower(), ref["name"], *where)
    return {
        (verb, group, resource)
        for rule in role["rules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def _made(cluster: Cluster, kind: str, name: str) -> str:
    found: Any = cluster.get(kind, name)
    return str(found["metadata"]["creationTimestamp"])

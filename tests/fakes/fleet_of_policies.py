"""Nodes with several policies each, for tests of turns: the whole decision, an API server that merges, and a clock."""

from datetime import UTC, datetime, timedelta
from typing import Any

from virtfn_operator.controller import turns
from virtfn_operator.controller.decide import Decision, Rules, World, decide
from virtfn_operator.controller.evict import EvictionAnswer, Facts, PodOnNode, read_pods

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
RULES = Rules(turn_timeout=900, grace=600, pause=600)


class Fleet:
    """Nodes, each with its policies as labels, and an API server that merges."""

    def __init__(self, nodes: dict[str, str], **disruption: dict[str, Any]) -> None:
        self.policies = {
            name: a_policy(name, **disruption.get(name, {})) for name in sorted(set("".join(nodes.values())))
        }
        self.labels = {name: dict.fromkeys(policies, "") for name, policies in nodes.items()}
        self.nodes: dict[str, Any] = {name: {"metadata": {"name": name, "generation": 1}} for name in nodes}
        self.pods: dict[str, tuple[PodOnNode, ...] | str] = {
            name: read_pods([{"metadata": {"namespace": "default", "name": f"{name}-pod", "uid": f"u-{name}"}}])
            for name in nodes
        }
        self.answers: dict[str, EvictionAnswer] = {}
        self.cordoned: frozenset[str] = frozenset()
        self.now = BEGIN
        self.look()
        for name in nodes:
            self.says(name)

    def look(self, seconds: float = 0.0, *, jumped: bool = False) -> Decision:
        self.now += timedelta(seconds=seconds)
        labels = [{"metadata": {"name": name, "labels": found}} for name, found in self.labels.items()]
        world = World(policies=list(self.policies.values()), states=list(self.nodes.values()), nodes=labels)
        facts = Facts(cordoned=self.cordoned, pods=self.pods, answers=self.answers)
        decision = decide(world, self.now.strftime("%Y-%m-%dT%H:%M:%SZ"), RULES, jumped=jumped, facts=facts)
        assert not decision.unreadable
        for write in decision.writes:
            objects = self.policies if write.plural == "sriovpolicies" else self.nodes
            body = objects[write.name] = merged(objects[write.name], write.patch)
            body["metadata"]["generation"] += "spec" in write.patch
        return decision

    def says(self, node: str, *, disruptive: bool = False, pods: bool = False, **states: Any) -> None:
        """Its agent answers its present spec; policies that are not named are Ready."""
        body = self.nodes[node]
        waits = ("Evicting" if body["spec"]["mayChange"] else "WaitingForTurn") if pods else "Changing"
        reasons = {"Ready": "Converged", "Failed": "BindFailed", "Blocked": "VfsInUse", "Changing": waits}
        outcomes = [
            {
                **{key: policy[key] for key in ("name", "uid", "generation")},
                "state": (state := states.get(policy["name"], "Ready")),
                "reason": reasons.get(state, state),
            }
            for policy in body["spec"]["policies"]
        ]
        plan: dict[str, Any] = {"disruptive": disruptive, "steps": 1}
        if pods:
            names = [{"device": "pf0", "namespace": "default", "name": f"{node}-pod"}]
            plan["evict"] = {"withdrawn": body["spec"]["mayChange"], "pods": names}
        status = {"observedGeneration": body["metadata"]["generation"], "policies": outcomes, "plan": plan}
        self.nodes[node] = {**body, "status": status}

    def edit(self, policy: str) -> None:
        self.policies[policy]["metadata"]["generation"] += 1

    @property
    def turns(self) -> list[str]:
        return [name for name, body in self.nodes.items() if body["spec"]["mayChange"]]

    def rollout(self, policy: str) -> dict[str, Any]:
        found: dict[str, Any] = self.policies[policy]["status"].get("rollout", {})
        return found

    def problem(self, policy: str, node: str) -> str:
        found = [p["reason"] for p in self.policies[policy]["status"].get("problems", ()) if p["node"] == node]
        return found[0] if found else ""

    def note(self, node: str) -> str:
        text: str = self.nodes[node]["metadata"]["annotations"][turns.ANNOTATION]
        return text


def a_policy(name: str, **disruption: Any) -> dict[str, Any]:
    spec = {
        "devices": [{"vendor": "8086"}],
        "virtualFunctions": {"count": 4, "pools": [{"resourceName": name}]},
        "nodeSelector": {"matchExpressions": [{"key": name, "operator": "Exists"}]},
        "disruption": disruption,
    }
    return {"metadata": {"name": name, "uid": f"u-{name}", "generation": 1}, "spec": spec}


def merged(body: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    whole = {**(body or {}), **{key: merged((body or {}).get(key), value) for key, value in patch.items()}}
    return {key: value for key, value in whole.items() if value is not None}


def edited(fleet: Fleet, policy: str, **others: Any) -> None:
    """Edit a policy; its nodes answer that they want a turn for it, and how other policies stand on the first node."""
    fleet.edit(policy)
    fleet.look()
    for name in (it for it, labels in fleet.labels.items() if policy in labels):
        fleet.says(name, disruptive=True, **{policy: "Changing", **others})
        others = {}
    fleet.look()

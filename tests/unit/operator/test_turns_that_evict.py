"""Turns in which pods are in the way, through the whole decision: what is asked, evicted, told, and when it ends."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from virtfn_host.core.values.desired import PolicyConfig
from virtfn_operator.api.node_state import read_node
from virtfn_operator.controller import turns
from virtfn_operator.controller.decide import Decision, Rules, World, decide
from virtfn_operator.controller.evict import EvictionAnswer, Facts, PodOnNode, Said, read_pods

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
RULES = Rules(turn_timeout=900, grace=600, pause=600)
BUDGET = "The disruption budget web needs 2 healthy pods and has 2 currently"


class Fleet:
    """Nodes that each wait for one pod, and an API server that merges."""

    def __init__(self, *names: str, when: str = "Evict", **disruption: Any) -> None:
        spec = {
            "devices": [{"vendor": "8086"}],
            "virtualFunctions": {"count": 4, "pools": [{"resourceName": "fast"}]},
            "disruption": {"whenInUse": when, **disruption},
        }
        self.policy: Any = {"metadata": {"name": "fast", "uid": "u", "generation": 1}, "spec": spec}
        self.nodes: dict[str, Any] = {name: {"metadata": {"name": name, "generation": 1}} for name in names}
        self.pods: dict[str, tuple[PodOnNode, ...] | str] = {
            name: read_pods([{"metadata": {"namespace": "default", "name": f"{name}-pod", "uid": f"u-{name}"}}])
            for name in names
        }
        self.answers: dict[str, EvictionAnswer] = {}
        self.cordoned: frozenset[str] = frozenset()
        self.refusals: dict[str, str] = {}
        self.now = BEGIN
        self.look()
        for name in names:
            self.says(name)

    def look(self, seconds: float = 0.0) -> Decision:
        self.now += timedelta(seconds=seconds)
        labels = [{"metadata": {"name": name}} for name in self.nodes]
        world = World(policies=[self.policy], states=list(self.nodes.values()), nodes=labels)
        facts = Facts(cordoned=self.cordoned, pods=self.pods, answers=self.answers, refusals=self.refusals)
        decision = decide(world, self.now.strftime("%Y-%m-%dT%H:%M:%SZ"), RULES, facts=facts)
        assert not decision.unreadable
        for write in decision.writes:
            if write.plural == "sriovpolicies":
                self.policy = merged(self.policy, write.patch)
                continue
            body = self.nodes[write.name] = merged(self.nodes[write.name], write.patch)
            body["metadata"]["generation"] += "spec" in write.patch
        return decision

    def says(self, name: str, *, withdrawn: bool = True, state: str = "Changing", evict: bool = True) -> None:
        """Its agent answers its present spec: it still waits for its pod."""
        body = self.nodes[name]
        turn = body["spec"]["mayChange"]
        reason = {"Changing": "Evicting" if turn and evict else "WaitingForTurn"}.get(state, "BindFailed")
        outcome = {"name": "fast", "uid": "u", "generation": 1, "state": state, "reason": reason, "message": "pods"}
        pods = [{"device": "pf0", "namespace": "default", "name": f"{name}-pod"}]
        plan = {"disruptive": True, "steps": 1, "evict": {"withdrawn": withdrawn and turn, "pods": pods}}
        if not evict:
            del plan["evict"]
        observed = body["metadata"]["generation"]
        self.nodes[name] = {
            **body,
            "status": {"observedGeneration": observed, "policies": [outcome], "plan": plan},
        }

    def refuse(self, name: str) -> None:
        self.answers[f"u-{name}"] = EvictionAnswer(said=Said.REFUSED, text=BUDGET)

    @property
    def turns(self) -> list[str]:
        return [name for name, body in self.nodes.items() if body["spec"]["mayChange"]]

    def problem(self, node: str) -> tuple[str, str]:
        found = [p for p in self.policy["status"]["problems"] if p["node"] == node]
        return (found[0]["reason"], found[0]["message"]) if found else ("", "")

    @property
    def ready(self) -> tuple[str, str]:
        (found,) = [c for c in self.policy["status"]["conditions"] if c["type"] == "Ready"]
        return found["reason"], found["message"]


def merged(body: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    whole = {**(body or {}), **{key: merged((body or {}).get(key), value) for key, value in patch.items()}}
    return {key: value for key, value in whole.items() if value is not None}


def evicting(*names: str, **more: Any) -> Fleet:
    """Return a fleet whose first node has its turn and has withdrawn everything."""
    fleet = Fleet(*names, **more)
    fleet.look()
    fleet.says(names[0])
    return fleet


def names(decision: Decision) -> list[str]:
    return [str(eviction.pod) for eviction in decision.evictions]


def test_a_pod_is_evicted_after_turn_withdrawal_and_a_second_look() -> None:
    fleet = Fleet("a")
    assert names(fleet.look()) == []
    assert fleet.turns == ["a"]
    fleet.says("a", withdrawn=False)
    assert names(fleet.look()) == []
    fleet.says("a")
    assert names(fleet.look()) == []
    assert fleet.nodes["a"]["spec"]["evict"] == [{"namespace": "default", "name": "a-pod", "uid": "u-a"}]
    assert names(fleet.look()) == []  # it has not answered that yet
    fleet.says("a")
    assert names(fleet.look()) == ["default/a-pod"]


def test_a_controller_that_starts_anew_goes_on_from_the_objects() -> None:
    fleet = evicting("a")
    fleet.look()
    fleet.says("a")
    fleet.answers.clear()
    assert names(fleet.look()) == names(fleet.look()) == ["default/a-pod"]


def test_a_node_s_word_alone_evicts_no_pod() -> None:
    fleet = evicting("a", when="Wait")
    for _ in range(3):
        assert names(fleet.look()) == []
        fleet.says("a")
    assert "evict" not in fleet.nodes["a"]["spec"]


def test_only_pods_of_the_node_that_names_them_are_evicted() -> None:
    fleet = evicting("a", "b")
    fleet.pods["a"], fleet.pods["b"] = fleet.pods["b"], fleet.pods["a"]
    for _ in range(3):
        assert names(fleet.look()) == []
        fleet.says("a")


def test_without_a_turn_no_pod_is_evicted() -> None:
    fleet = evicting("a", "b")
    for _ in range(3):
        fleet.says("a")
        fleet.says("b")
        assert {eviction.node for eviction in fleet.look().evictions} <= {"a"}


def test_a_budget_is_named_and_after_ten_minutes_the_next_node_has_its_turn() -> None:
    fleet = evicting("a", "b")
    fleet.look()
    fleet.says("a")
    fleet.refuse("a")
    fleet.look()
    assert fleet.problem("a")[0] == "EvictionBlocked"
    assert BUDGET in fleet.problem("a")[1]
    fleet.look(599)
    assert fleet.turns == ["a"]
    fleet.look(2)
    assert fleet.turns == []
    fleet.says("a")
    fleet.look()
    assert fleet.turns == ["b"]
    assert fleet.problem("a")[0] == "EvictionBlocked"
    assert "another turn 10 minutes" in fleet.problem("a")[1]
    assert "evict" not in fleet.nodes["a"]["spec"]


def test_a_controller_that_starts_anew_counts_on_from_the_first_refusal() -> None:
    fleet = evicting("a")
    fleet.look()
    fleet.says("a")
    fleet.refuse("a")
    fleet.look()
    fleet.answers.clear()
    fleet.look(300)
    assert fleet.problem("a")[0] == "EvictionBlocked"
    assert "being tried again" in fleet.problem("a")[1]
    fleet.refuse("a")
    fleet.look(301)
    assert fleet.turns == []


def test_a_node_that_gave_up_has_no_other_turn_for_ten_minutes() -> None:
    fleet = evicting("a")
    fleet.look()
    fleet.refuse("a")
    fleet.says("a")
    fleet.look()
    fleet.look(601)
    fleet.says("a")
    fleet.look(590)
    assert fleet.turns == []
    fleet.look(20)
    assert fleet.turns == ["a"]
    for _ in range(2):
        fleet.says("a")
        fleet.look()
    fleet.look(601)
    fleet.says("a")
    fleet.look(1190)
    assert fleet.turns == []  # the second time it is twice as long
    fleet.look(20)
    assert fleet.turns == ["a"]


def test_where_nothing_can_be_evicted_the_turn_ends_at_once() -> None:
    fleet = Fleet("a", "b")
    fleet.pods["a"] = "pods is forbidden"
    fleet.look()
    fleet.says("a")
    decision = fleet.look()
    assert fleet.turns == []
    assert decision.refusals == {"a": "cannot read the pods of the node: pods is forbidden"}
    fleet.says("a")
    fleet.look()
    assert fleet.turns == ["b"]


def test_a_daemon_s_pod_is_named_while_the_node_rests() -> None:
    owner = {"kind": "DaemonSet", "name": "net", "controller": True}
    fleet = Fleet("a", "b")
    metadata = {"namespace": "default", "name": "a-pod", "uid": "u-a", "ownerReferences": [owner]}
    fleet.pods["a"] = read_pods([{"metadata": metadata}])
    fleet.look()
    fleet.says("a")
    fleet.refusals = dict(fleet.look().refusals)
    fleet.says("a")
    fleet.look()
    assert "belongs to the DaemonSet net" in fleet.problem("a")[1]
    assert "another turn 10 minutes" in fleet.problem("a")[1]


def test_each_pod_that_goes_prolongs_the_turn() -> None:
    fleet = evicting("a")
    fleet.look()
    fleet.refuse("a")
    fleet.says("a")
    for step in range(5):
        fleet.look(400)
        fleet.nodes["a"]["status"]["plan"]["steps"] = 10 + step
    assert fleet.turns == ["a"]


def test_a_node_that_never_sees_its_functions_withdrawn_loses_its_turn() -> None:
    fleet = Fleet("a", "b")
    fleet.look()
    fleet.says("a", withdrawn=False)
    fleet.look()
    fleet.look(899)
    assert fleet.turns == ["a"]
    fleet.look(2)
    fleet.look()
    assert fleet.turns == ["b"]
    assert fleet.problem("a")[0] == "TurnLost"


def test_a_cordoned_node_has_no_turn_and_says_so() -> None:
    fleet = Fleet("a", "b")
    fleet.cordoned = frozenset({"a"})
    fleet.look()
    assert fleet.turns == ["b"]
    assert fleet.problem("a")[0] == "NodeCordoned"
    assert "kubectl uncordon" in fleet.problem("a")[1]


def test_a_node_that_waits_for_pods_gives_its_turn_back_when_it_is_cordoned() -> None:
    fleet = evicting("a", "b")
    fleet.look()
    fleet.says("a")
    fleet.cordoned = frozenset({"a"})
    assert names(fleet.look()) == []
    assert fleet.turns == []
    fleet.says("a")
    fleet.look()
    assert fleet.turns == ["b"]


def test_a_cordoned_node_that_is_changing_goes_on() -> None:
    fleet = evicting("a", "b")
    fleet.says("a", evict=False)
    fleet.cordoned = frozenset({"a"})
    fleet.look()
    assert fleet.turns == ["a"]


@pytest.mark.parametrize("value", ["true", "True", "yes", "1", "", " ", "False", "false "])
def test_a_paused_rollout_gives_no_turn_and_says_so(value: str) -> None:
    fleet = Fleet("a", "b")
    fleet.policy["metadata"]["annotations"] = {"virtfn.dev/paused": value}
    fleet.look()
    assert fleet.turns == []
    assert fleet.policy["status"]["rollout"] == {"waiting": 2, "next": ["a", "b"], "paused": True}
    assert "position 1 of 2; the rollout is paused" in fleet.ready[1]
    fleet.policy["metadata"]["annotations"] = {"virtfn.dev/paused": "false"}
    fleet.look()
    assert fleet.turns == ["a"]


def test_while_it_is_paused_a_running_turn_goes_on() -> None:
    fleet = evicting("a", "b")
    fleet.policy["metadata"]["annotations"] = {"virtfn.dev/paused": "true"}
    fleet.look()
    fleet.says("a")
    assert names(fleet.look()) == ["default/a-pod"]
    assert fleet.turns == ["a"]


def test_who_waits_knows_its_position_and_who_has_the_turn() -> None:
    fleet = Fleet("a", "b", "c")
    fleet.look()
    fleet.says("a")
    fleet.look()
    assert fleet.policy["status"]["rollout"] == {"turns": ["a"], "waiting": 2, "next": ["b", "c"], "paused": False}
    fleet.says("a", state="Failed")
    fleet.look()
    assert fleet.policy["status"]["rollout"]["stoppedBy"] == "a"


def test_a_failure_stops_the_others_also_while_the_node_tries_again() -> None:
    fleet = evicting("a", "b", "c", maxUnavailable=2)
    assert fleet.turns == ["a", "b"]
    fleet.says("b")
    fleet.says("a", state="Failed", evict=False)
    fleet.look()
    fleet.says("a", evict=False)
    fleet.nodes["b"]["status"]["plan"] = {}
    fleet.nodes["b"]["status"]["policies"][0] |= {"state": "Ready", "reason": "Converged"}
    fleet.look()
    fleet.nodes["b"]["status"]["observedGeneration"] = fleet.nodes["b"]["metadata"]["generation"]
    fleet.look()
    assert fleet.turns == ["a"]


def test_with_continue_the_turn_of_a_failed_node_ends_and_the_others_go_on() -> None:
    fleet = evicting("a", "b", onFailure="Continue")
    fleet.says("a", state="Failed", evict=False)
    fleet.look()
    assert fleet.turns == []
    fleet.says("a", evict=False)
    fleet.look()
    assert fleet.turns == ["b"]
    assert fleet.policy["status"]["nodes"]["failed"] == 1


def test_a_node_that_took_its_vfs_away_and_failed_keeps_its_turn() -> None:
    fleet = evicting("a", "b")
    fleet.says("a", state="Failed", evict=False)
    fleet.nodes["a"]["status"]["plan"]["disruptive"] = False
    for _ in range(3):
        fleet.look(3600)
    assert fleet.turns == ["a"]


@pytest.mark.parametrize("number", [1, 2, 4, 5, 9])
def test_every_policy_that_failed_stays_stopped_while_the_node_tries_again(number: int) -> None:
    policies = [
        PolicyConfig(name=f"p{n}", uid=f"u{n}", generation=1, devices=(), count=None, pools=()) for n in range(number)
    ]
    outcomes = [{"name": p.name, "generation": 1, "state": "Changing"} for p in policies]
    status = {"observedGeneration": 1, "policies": outcomes}
    state = read_node({"metadata": {"name": "a", "generation": 1}, "status": status})
    note = turns.with_failure(turns.fresh(state, BEGIN), policies)
    again = turns.read_note({"metadata": {"annotations": {turns.ANNOTATION: str(note)}}})
    assert again is not None
    assert turns.still_failed(again, frozenset(), state, policies) == tuple(policies)

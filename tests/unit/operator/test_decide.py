"""decide: lists in, writes out. What is already so is not written, and one bad object stops no other."""

from typing import Any

from virtfn_operator.controller.decide import World, Write, decide

NOW = "2026-01-01T00:00:00Z"
Body = dict[str, Any]


def policy(name: str = "fast", generation: int = 1, **spec: Any) -> Body:
    whole = {
        "devices": [{"vendor": "8086"}],
        "virtualFunctions": {"count": 4, "pools": [{"resourceName": name}]},
        **spec,
    }
    return {"metadata": {"name": name, "uid": f"u-{name}", "generation": generation}, "spec": whole}


def state(name: str, **more: Any) -> Body:
    return {"metadata": {"name": name, "generation": 1}, **more}


def node(name: str, **labels: str) -> Body:
    return {"metadata": {"name": name, "labels": labels}}


def writes(world: World) -> list[Write]:
    return list(decide(world, NOW).writes)


def merged(body: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    whole = {**(body or {}), **{key: merged((body or {}).get(key), value) for key, value in patch.items()}}
    return {key: value for key, value in whole.items() if value is not None}


def apply(world: World) -> World:
    """The world after the writes, as the API server would have it."""
    bodies = {("sriovpolicies", b["metadata"]["name"]): dict(b) for b in world.policies}
    bodies |= {("sriovnodes", b["metadata"]["name"]): dict(b) for b in world.states}
    for write in writes(world):
        body = bodies[write.plural, write.name]
        body |= merged(body, write.patch)
        if not write.subresource:
            body["metadata"] = {**body["metadata"], "generation": body["metadata"]["generation"] + 1}
    return World(
        policies=[bodies["sriovpolicies", b["metadata"]["name"]] for b in world.policies],
        states=[bodies["sriovnodes", b["metadata"]["name"]] for b in world.states],
        nodes=world.nodes,
    )


REASONS = {
    "Ready": "Converged",
    "WithoutDevice": "NoMatchingDevice",
    "Failed": "BindFailed",
    "Blocked": "VfsInUse",
}


def answer(world: World, name: str, state: str = "Ready", *, disruptive: bool = False, **more: Any) -> World:
    """What the agent of a node reports of every policy it is asked for."""
    states = []
    for body in world.states:
        if body["metadata"]["name"] == name:
            outcomes = [
                {
                    **{key: p[key] for key in ("name", "uid", "generation")},
                    "state": state,
                    "reason": REASONS.get(state, state),
                    "message": "",
                }
                for p in body["spec"]["policies"]
            ]
            status = {"observedGeneration": body["metadata"]["generation"], "policies": outcomes, **more}
            body = {**body, "status": {**status, **({"plan": {"disruptive": True}} if disruptive else {})}}
        states.append(body)
    return World(policies=world.policies, states=states, nodes=world.nodes)


def conditions(world: World, name: str) -> dict[str, tuple[str, str]]:
    body = next(b for b in world.policies if b["metadata"]["name"] == name)
    return {c["type"]: (c["status"], c["reason"]) for c in body["status"]["conditions"]}


def may_change(world: World) -> list[str]:
    return [b["metadata"]["name"] for b in world.states if b["spec"]["mayChange"]]


def test_specs_and_statuses_are_written_once() -> None:
    world = World(policies=[policy()], states=[state("a"), state("b")], nodes=[node("a"), node("b")])
    assert [(w.plural, w.name, w.subresource) for w in writes(world)] == [
        ("sriovnodes", "a", ""),
        ("sriovnodes", "b", ""),
        ("sriovpolicies", "fast", "status"),
    ]
    after = apply(world)
    assert [p["name"] for p in after.states[0]["spec"]["policies"]] == ["fast"]
    assert writes(after) == []


def test_a_node_without_policies_is_told_so() -> None:
    world = World(policies=[], states=[state("a")], nodes=[node("a")])
    assert writes(world)[0].patch == {"spec": {"policies": [], "mayChange": False}}


def test_a_state_without_its_node_is_left_alone() -> None:
    asked = {"policies": [{"name": "fast"}], "mayChange": False}
    world = World(policies=[], states=[state("gone", spec=asked)], nodes=[])
    assert writes(world) == []


def test_a_deleted_policy_leaves_the_spec() -> None:
    world = apply(World(policies=[policy()], states=[state("a")], nodes=[node("a")]))
    gone = World(policies=[], states=world.states, nodes=world.nodes)
    assert writes(gone)[0].patch == {"spec": {"policies": []}}
    world.policies[0]["metadata"]["deletionTimestamp"] = NOW
    assert dict(writes(world)[0].patch) == {"spec": {"policies": []}}


def test_an_object_that_cannot_be_read_stops_no_other() -> None:
    broken = {"metadata": {"name": "b", "generation": "new"}}
    world = World(policies=[policy()], states=[state("a"), broken], nodes=[node("a"), node("b")])
    decision = decide(world, NOW)
    assert [w.name for w in decision.writes] == ["a", "fast"]
    assert "SriovNode b" in decision.unreadable[0]


def test_the_way_of_a_policy_from_changing_to_ready() -> None:
    world = apply(World(policies=[policy()], states=[state("a"), state("b")], nodes=[node("a"), node("b")]))
    assert conditions(world, "fast") == {"Accepted": ("True", "Converged"), "Ready": ("False", "Changing")}
    world = apply(answer(world, "a"))
    counts = {"matching": 2, "ready": 1, "changing": 1, "blocked": 0, "failed": 0, "withoutDevice": 0}
    assert world.policies[0]["status"]["nodes"] == counts
    world = apply(answer(world, "b", "WithoutDevice"))
    assert conditions(world, "fast")["Ready"] == ("True", "Converged")
    assert world.policies[0]["status"]["summary"] == {"resources": "virtfn.dev/fast"}
    newer = {**world.policies[0], **policy(generation=2, priority=5)}
    edited = World(policies=[newer], states=world.states, nodes=world.nodes)
    assert conditions(apply(edited), "fast")["Ready"] == ("False", "Changing")


def test_whole_functions_are_among_the_resources_of_a_policy() -> None:
    whole = policy(virtualFunctions=None, wholeFunctions={"resourceName": "disk"})
    del whole["spec"]["virtualFunctions"]
    world = apply(World(policies=[whole], states=[state("a")], nodes=[node("a")]))
    assert world.policies[0]["status"]["summary"] == {"resources": "virtfn.dev/disk"}


def test_failed_and_blocked_nodes_are_problems() -> None:
    world = apply(World(policies=[policy()], states=[state("a"), state("b")], nodes=[node("a"), node("b")]))
    world = apply(answer(answer(world, "a", "Blocked"), "b", "Failed"))
    assert conditions(world, "fast")["Ready"] == ("False", "BindFailed")
    problems = world.policies[0]["status"]["problems"]
    assert [(p["node"], p["reason"]) for p in problems] == [("b", "BindFailed"), ("a", "VfsInUse")]


def test_a_rejection_on_a_node_is_not_accepted_and_names_it() -> None:
    world = apply(World(policies=[policy()], states=[state("a")], nodes=[node("a")]))
    rejected = [{"policy": "fast", "device": "0000:01:00.0", "reason": "IndexTaken", "message": "VF 0 belongs to slow"}]
    world = apply(answer(world, "a", "Rejected", rejected=rejected))
    assert conditions(world, "fast") == {"Accepted": ("False", "IndexTaken"), "Ready": ("False", "IndexTaken")}
    assert world.policies[0]["status"]["problems"][0]["device"] == "0000:01:00.0"


def test_no_node_and_no_device() -> None:
    nowhere = policy(nodeSelector={"matchLabels": {"role": "x"}})
    world = apply(World(policies=[nowhere], states=[state("a")], nodes=[node("a")]))
    assert conditions(world, "fast")["Ready"] == ("False", "NoMatchingDevice")
    world = apply(World(policies=[policy()], states=[state("a")], nodes=[node("a")]))
    world = apply(answer(world, "a", "WithoutDevice"))
    assert conditions(world, "fast")["Ready"] == ("False", "NoMatchingDevice")


def test_a_policy_that_goes_wrong_keeps_its_functions() -> None:
    world = apply(World(policies=[policy()], states=[state("a")], nodes=[node("a")]))
    world = apply(answer(world, "a"))
    broken = {**world.policies[0], **policy(generation=2, devices=[])}
    world = apply(World(policies=[broken], states=world.states, nodes=world.nodes))
    assert [p["generation"] for p in world.states[0]["spec"]["policies"]] == [1]
    assert conditions(world, "fast")["Accepted"] == ("False", "InvalidPolicy")


def test_disruptive_nodes_take_turns() -> None:
    world = apply(World(policies=[policy()], states=[state("a"), state("b")], nodes=[node("a"), node("b")]))
    world = answer(answer(world, "a", "Changing", disruptive=True), "b", "Changing", disruptive=True)
    world = apply(world)
    assert may_change(world) == ["a"]
    assert may_change(apply(world)) == ["a"]  # its grant made a new generation it has not answered yet
    world = apply(answer(world, "a"))
    assert may_change(world) == []  # until it has answered that its turn has ended
    world = apply(answer(world, "a"))
    assert may_change(world) == ["b"]
    world = apply(answer(answer(world, "b"), "a"))
    assert may_change(world) == []


def test_an_edit_takes_no_turn_for_granted() -> None:
    world = apply(World(policies=[policy()], states=[state("a")], nodes=[node("a")]))
    world = answer(world, "a", "Changing", disruptive=True)
    edited = World(policies=[policy(generation=2, priority=3)], states=world.states, nodes=world.nodes)
    assert may_change(apply(edited)) == []


def test_transitions_come_with_the_write() -> None:
    world = World(policies=[policy()], states=[state("a")], nodes=[node("a")])
    changes = [t.new.type for w in writes(world) for t in w.transitions]
    assert changes == ["Accepted", "Ready"]
    assert [w.transitions for w in writes(apply(answer(apply(world), "a", "Changing")))] == []

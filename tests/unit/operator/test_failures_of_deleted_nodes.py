"""What the status of a policy remembers of a node whose SriovNode has gone: its failure, and its place in a turn."""

from collections.abc import Callable
from typing import Any

import pytest
from fleet_of_policies import Fleet, edited

Step = Callable[[Fleet], None]


def node_goes(fleet: Fleet) -> None:
    """Automatic remediation deletes the Node, and the API server collects its SriovNode."""
    del fleet.labels["n1"], fleet.nodes["n1"]


def state_goes(fleet: Fleet) -> None:
    del fleet.nodes["n1"]


def labels_go(fleet: Fleet) -> None:
    fleet.labels["n1"] = {}


GOING = [node_goes, state_goes, labels_go]


def comes_back(fleet: Fleet) -> None:
    """The kubelet registers the Node again, and its agent makes its SriovNode."""
    fleet.labels["n1"] = {"a": ""}
    fleet.nodes = {"n1": {"metadata": {"name": "n1", "generation": 1}}} | fleet.nodes


def stopped(*nodes: str, **disruption: Any) -> Fleet:
    """Return a fleet whose first node has failed in its turn."""
    fleet = Fleet(dict.fromkeys(("n1", "n2", "n3", *nodes), "a"), a=disruption)
    edited(fleet, "a")
    fleet.says("n1", a="Failed")
    fleet.look()
    return fleet


def pause(fleet: Fleet, value: str | None) -> None:
    fleet.policies["a"]["metadata"]["annotations"] = {} if value is None else {"virtfn.dev/paused": value}
    fleet.look()


@pytest.mark.parametrize("go", GOING)
def test_no_other_node_gets_a_turn_until_a_node_of_that_name_is_well(go: Step) -> None:
    fleet = stopped()
    go(fleet)
    for seconds in (0, 1, 100_000):
        fleet.look(seconds)
        assert (fleet.turns, fleet.rollout("a")["stoppedBy"]) == ([], "n1")
    comes_back(fleet)
    fleet.look()
    assert fleet.turns == []
    fleet.says("n1", disruptive=True, a="Changing")
    fleet.look()
    assert fleet.turns == ["n1"], "it may be repaired in a turn"
    fleet.says("n1", a="Failed")
    fleet.look()
    assert fleet.turns == ["n1"]
    fleet.says("n1")
    fleet.look()
    fleet.says("n1")
    fleet.look()
    assert (fleet.turns, fleet.rollout("a").get("stoppedBy")) == (["n2"], None)


@pytest.mark.parametrize(
    ("well", "reason"), [("Ready", "Converged"), ("WithoutDevice", "NoMatchingDevice"), ("Rejected", "IndexTaken")]
)
def test_it_ends_when_the_node_that_came_back_is_well(well: str, reason: str) -> None:
    fleet = stopped()
    node_goes(fleet)
    fleet.look()
    comes_back(fleet)
    fleet.look()
    fleet.says("n1", a=well)
    fleet.nodes["n1"]["status"]["policies"][0]["reason"] = reason
    fleet.look()
    assert fleet.turns == ["n2"]


@pytest.mark.parametrize("go", GOING)
def test_an_edit_ends_it(go: Step) -> None:
    fleet = stopped()
    go(fleet)
    fleet.look()
    fleet.edit("a")
    fleet.look()
    fleet.says("n2", disruptive=True, a="Changing")
    fleet.look()
    assert fleet.turns == ["n2"]


@pytest.mark.parametrize("go", GOING)
def test_a_rollout_that_is_paused_and_resumed_goes_on_without_the_node(go: Step) -> None:
    fleet = stopped()
    go(fleet)
    fleet.look()
    pause(fleet, "true")
    assert (fleet.turns, fleet.rollout("a")["stoppedBy"]) == ([], "n1")
    pause(fleet, None)
    assert (fleet.turns, fleet.rollout("a").get("stoppedBy")) == (["n2"], None)


def test_a_failed_node_that_is_there_is_not_forgotten_by_a_resume() -> None:
    fleet = stopped()
    for value in ("true", None):
        pause(fleet, value)
    assert (fleet.turns, fleet.rollout("a")["stoppedBy"]) == (["n1"], "n1")


def test_with_continue_nothing_is_remembered() -> None:
    fleet = stopped(onFailure="Continue")
    node_goes(fleet)
    fleet.look()
    assert fleet.turns == ["n2"]


def test_a_policy_that_is_made_again_remembers_nothing() -> None:
    fleet = stopped()
    node_goes(fleet)
    fleet.look()
    body = fleet.policies["a"]
    fleet.policies["a"] = {"metadata": {"name": "a", "uid": "another", "generation": 2}, "spec": body["spec"]}
    fleet.look()
    fleet.says("n2", disruptive=True, a="Changing")
    fleet.look()
    assert fleet.turns == ["n2"]


def test_a_node_that_came_back_waits_for_another_one_that_failed() -> None:
    fleet = stopped(maxUnavailable=2)
    fleet.says("n2", a="Failed")
    fleet.look()
    node_goes(fleet)
    fleet.look()
    comes_back(fleet)
    fleet.look()
    fleet.says("n1", disruptive=True, a="Changing")
    fleet.look()
    assert fleet.turns == ["n2"]


def changing(**disruption: Any) -> Fleet:
    """Return a fleet whose first node is in the middle of its change."""
    fleet = Fleet(dict.fromkeys(("n1", "n2", "n3"), "a"), a=disruption)
    edited(fleet, "a")
    fleet.says("n1", disruptive=True, a="Changing")
    fleet.look()
    assert "n1" in fleet.turns
    return fleet


def test_a_deleted_sriov_node_keeps_its_place_until_its_agent_has_answered_the_new_one() -> None:
    fleet = changing()
    state_goes(fleet)
    for _ in range(2):
        fleet.look(1000)
        assert (fleet.turns, fleet.rollout("a")["turns"]) == ([], ["n1"])
    comes_back(fleet)
    for _ in range(2):
        fleet.look()
        assert fleet.turns == []
    fleet.says("n1")
    fleet.look()
    assert fleet.turns == ["n2"]


def test_it_takes_one_place_of_several() -> None:
    fleet = changing(maxUnavailable=2)
    state_goes(fleet)
    fleet.look()
    assert (fleet.turns, fleet.rollout("a")["turns"]) == (["n2"], ["n1", "n2"])


@pytest.mark.parametrize("go", [node_goes, labels_go])
def test_the_place_is_free_where_the_node_itself_or_its_labels_have_gone(go: Step) -> None:
    fleet = changing()
    state_goes(fleet)
    fleet.nodes = {"n1": {"metadata": {"name": "n1", "generation": 1}}} | fleet.nodes
    go(fleet)
    fleet.look()
    assert fleet.turns == ["n2"]


@pytest.mark.parametrize("status", [{"stoppedBy": 7}, {"turns": "n1"}, {"turns": [7, {}, None]}, [], {}])
def test_a_status_that_cannot_be_read_says_nothing(status: Any) -> None:
    fleet = changing()
    state_goes(fleet)
    fleet.policies["a"]["status"]["rollout"] = status
    fleet.look()
    assert fleet.turns == ["n2"]

"""What a node notes on a policy that stands well there is told on the policy, too, which stays Ready."""

from typing import Any

import pytest

from virtfn_host.core.turn.policy import policy_config
from virtfn_host.core.values.desired import PolicyConfig
from virtfn_operator.api.node_state import NodeState, read_node
from virtfn_operator.api.policy import Policy
from virtfn_operator.controller.status import NOBODY_BESIDE, only_counted, policy_status

NOW, DEVICE = "2026-01-01T00:00:00Z", "0000:01:10.0"


def policy() -> Policy:
    spec = {"devices": [{"vendor": "8086"}], "virtualFunctions": {"count": 1, "pools": [{"resourceName": "fast"}]}}
    config = policy_config(name="fast", uid="u", generation=1, spec=spec)
    assert isinstance(config, PolicyConfig)
    return Policy(name="fast", uid="u", generation=1, created=NOW, config=config)


def node(name: str, reason: str) -> NodeState:
    outcome = {"name": "fast", "uid": "u", "generation": 1, "state": "Ready"}
    said = {"reason": reason, "message": f"{DEVICE}: said", "device": DEVICE}
    status = {"observedGeneration": 1, "policies": [outcome | said]}
    return read_node({"metadata": {"name": name, "generation": 1}, "spec": {"policies": []}, "status": status})


@pytest.mark.parametrize("reason", ["NotUsable", "DriverMadeOther"])
def test_it_is_a_problem_of_a_policy_that_is_ready(reason: str) -> None:
    nodes = [node("a", "Converged"), node("b", reason)]
    counted = [only_counted(policy(), it, NOBODY_BESIDE) for it in nodes]
    assert [state is None for state in counted] == [False, True], "the controller keeps what there is to say"
    status: dict[str, Any] = policy_status(policy(), nodes, {}, NOW)
    assert [(p["node"], p["device"], p["reason"]) for p in status["problems"]] == [("b", DEVICE, reason)]
    assert {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]}["Ready"] == ("True", "Converged")
    assert (status["nodes"]["ready"], status["nodes"]["matching"]) == (2, 2)

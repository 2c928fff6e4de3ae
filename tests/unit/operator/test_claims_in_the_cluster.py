"""A kept claim, and a card that is gone, are problems of the policy; a spec says which fields narrow a matcher."""

from typing import Any

import pytest

from virtfn_host.core.turn.policy import policy_config
from virtfn_host.core.values.codec import CodecError
from virtfn_host.core.values.desired import NodeConfig, PolicyConfig
from virtfn_host.core.values.envelope import expect_known
from virtfn_operator.api.node_state import NodeState, read_node, read_spec, write_spec
from virtfn_operator.api.policy import Policy
from virtfn_operator.controller.status import policy_status

NOW = "2026-01-01T00:00:00Z"
STAYS = {"permanentMac": "3c:fd:fe:12:34:56", "serialNumber": "3c-fd-fe-ff-ff-12-34-56", "slot": "3-1"}


def config(**matcher: str) -> PolicyConfig:
    spec = {"devices": [matcher], "virtualFunctions": {"count": 1, "pools": [{"resourceName": "fast"}]}}
    found = policy_config(name="fast", uid="u", generation=1, spec=spec)
    assert isinstance(found, PolicyConfig)
    return found


def node(name: str, state: str, reason: str, device: str | None = "0000:01:00.0") -> NodeState:
    said = {"reason": reason, "message": f"{device}: said", "device": device}
    outcome = {"name": "fast", "uid": "u", "generation": 1, "state": state, **said}
    rejected = [] if state == "Ready" else [{"policy": "fast", **said}]
    status = {"observedGeneration": 1, "policies": [outcome], "rejected": rejected}
    return read_node({"metadata": {"name": name, "generation": 1}, "spec": {"policies": []}, "status": status})


def told(*nodes: NodeState) -> dict[str, Any]:
    policy = Policy(name="fast", uid="u", generation=1, created=NOW, config=config(vendor="8086"))
    return policy_status(policy, nodes, {}, NOW)


@pytest.mark.parametrize("reason", ["ClaimKept", "DeviceGone", "Unreadable"])
def test_it_is_a_problem_and_the_policy_is_not_ready_whatever_other_nodes_say(reason: str) -> None:
    status = told(node("a", "Ready", "Converged"), node("b", "Rejected", reason))
    assert [(p["node"], p["device"], p["reason"]) for p in status["problems"]] == [("b", "0000:01:00.0", reason)]
    assert {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]}["Ready"] == ("False", reason)


def test_a_node_that_never_had_a_device_is_no_problem() -> None:
    status = told(node("a", "Ready", "Converged"), node("b", "WithoutDevice", "NoMatchingDevice", None))
    assert "problems" not in status
    assert {c["type"]: c["status"] for c in status["conditions"]}["Ready"] == "True"


@pytest.mark.parametrize("field", sorted(STAYS))
def test_a_spec_that_narrows_a_matcher_by_a_later_field_needs_it(field: str) -> None:
    wanted = NodeConfig(policies=(config(vendor="8086", **{field: STAYS[field]}),))
    spec = write_spec(wanted, may_change=False)
    assert spec["needs"] == [f"policies.devices.{field}"]
    read = read_spec(spec)
    assert read is not None
    assert (read.config, read.rejected) == (wanted, ())
    with pytest.raises(CodecError, match=field):  # as an agent that does not know the field
        expect_known(spec["needs"], {"policies", "policies.devices", "policies.devices.vendor"})


def test_a_spec_without_such_a_field_needs_nothing() -> None:
    assert "needs" not in write_spec(NodeConfig(policies=(config(vendor="8086"),)), may_change=False)

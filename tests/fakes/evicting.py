"""A policy that asks to evict, for tests of the agent."""

from virtfn_host.core.turn.policy import policy_config
from virtfn_host.core.values.desired import NodeConfig, PolicyConfig


def evicting(count: int = 1, when: str = "Evict") -> NodeConfig:
    """Return a config whose only policy, `fast`, wants so many VFs."""
    spec = {
        "devices": [{"vendor": "8086"}],
        "virtualFunctions": {"count": count, "pools": [{"resourceName": "fast"}]},
        "disruption": {"whenInUse": when},
    }
    policy = policy_config(name="fast", uid="u1", generation=1, spec=spec)
    assert isinstance(policy, PolicyConfig)
    return NodeConfig(policies=(policy,))

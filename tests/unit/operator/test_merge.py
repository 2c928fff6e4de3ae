"""merge: who asks what of which node, and in which order."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from virtfn_host.core.values.desired import NodeConfig, PolicyConfig, Rejected
from virtfn_host.core.values.reasons import Reason
from virtfn_operator.api.policy import Policy, read_policy
from virtfn_operator.controller.merge import Node, merge

NOTHING = NodeConfig(policies=())


def policy(name: str, *, priority: int = 0, created: str = "", labels: dict[str, str] | None = None) -> Policy:
    spec = {
        "priority": priority,
        "nodeSelector": {"matchLabels": labels or {}},
        "devices": [{"vendor": "8086"}],
        "virtualFunctions": {"count": 4, "pools": [{"resourceName": name}]},
    }
    metadata = {"name": name, "uid": f"uid-{name}", "generation": 1, "creationTimestamp": created}
    return read_policy({"metadata": metadata, "spec": spec})


def bad(name: str) -> Policy:
    return read_policy(
        {
            "metadata": {"name": name, "uid": f"uid-{name}", "generation": 2},
            "spec": {"devices": 7, "virtualFunctions": {"count": 0}},
        }
    )


def node(name: str = "a", config: NodeConfig = NOTHING, **labels: str) -> Node:
    return Node(name=name, labels=labels, config=config)


def names(config: NodeConfig) -> list[str]:
    return [claim.name for claim in config.policies]


def test_priority_then_age_then_name() -> None:
    policies = [
        policy("young", created="2026-02-01T00:00:00Z"),
        policy("b", created="2026-01-01T00:00:00Z"),
        policy("a", created="2026-01-01T00:00:00Z"),
        policy("first", priority=5, created="2026-03-01T00:00:00Z"),
    ]
    assert names(merge(policies, [node()]).configs["a"]) == ["first", "a", "b", "young"]


def test_a_node_gets_the_policies_that_select_it() -> None:
    policies = [policy("all"), policy("dpdk", labels={"role": "dpdk"})]
    configs = merge(policies, [node("a", role="dpdk"), node("b")]).configs
    assert names(configs["a"]) == ["all", "dpdk"]
    assert names(configs["b"]) == ["all"]


def test_a_policy_that_cannot_be_read_is_rejected_and_keeps_what_it_had() -> None:
    before = merge([policy("x")], [node()]).configs["a"]
    rejected = bad("x")
    merged = merge([rejected], [node(config=before), node("b")])
    assert merged.configs["a"] == before
    assert merged.configs["b"] == NOTHING
    assert isinstance(rejected.config, Rejected)
    assert rejected.config.reason is Reason.INVALID_POLICY
    assert "spec.devices" in rejected.config.message


def test_a_deleted_policy_is_gone_and_one_of_the_same_name_inherits_nothing() -> None:
    before = merge([policy("x")], [node()]).configs["a"]
    stranger = read_policy({"metadata": {"name": "x", "uid": "another", "generation": 1}, "spec": {}})
    assert merge([], [node(config=before)]).configs["a"] == NOTHING
    assert merge([stranger], [node(config=before)]).configs["a"] == NOTHING


POLICIES = st.lists(
    st.builds(
        policy,
        st.text("abcdef", min_size=1, max_size=3),
        priority=st.integers(-2, 2),
        created=st.sampled_from(["", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]),
        labels=st.sampled_from([{}, {"role": "x"}, {"role": "y"}]),
    ),
    unique_by=lambda p: p.name,
    max_size=6,
)
NODES = (node("a", role="x"), node("b", role="y"), node("c"))


@given(POLICIES, st.randoms())
def test_the_order_of_the_arguments_is_no_matter(policies: list[Policy], random: Random) -> None:
    shuffled = random.sample(policies, len(policies))
    assert merge(shuffled, reversed(NODES)) == merge(policies, NODES)


@given(POLICIES)
def test_one_bad_policy_never_affects_others(policies: list[Policy]) -> None:
    with_bad = merge([*policies, bad("zzzz")], NODES)
    assert with_bad.configs == merge(policies, NODES).configs


@given(POLICIES, st.integers(-3, 3))
def test_adding_a_policy_never_reorders_others(policies: list[Policy], priority: int) -> None:
    more = merge([*policies, policy("new-one", priority=priority)], NODES).configs
    for name, config in merge(policies, NODES).configs.items():
        assert [c for c in more[name].policies if c.name != "new-one"] == list(config.policies)


@given(POLICIES)
def test_merging_again_changes_nothing(policies: list[Policy]) -> None:
    once = merge(policies, NODES).configs
    again = [Node(name=n.name, labels=n.labels, config=once[n.name]) for n in NODES]
    assert merge(policies, again).configs == once
    assert all(isinstance(c, PolicyConfig) and not isinstance(c, Rejected) for v in once.values() for c in v.policies)

"""metav1.LabelSelector, as the API server matches it."""

import pytest

from virtfn_host.core.turn.policy import PolicyError
from virtfn_operator.api.selector import matches, read_selector

IN = {"key": "role", "operator": "In", "values": ["dpdk", "ai"]}
NOT_IN = {"key": "role", "operator": "NotIn", "values": ["dpdk"]}
EXISTS = {"key": "role", "operator": "Exists"}
ABSENT = {"key": "role", "operator": "DoesNotExist"}


@pytest.mark.parametrize(
    ("selector", "labels", "expected"),
    [
        (None, {}, True),
        ({}, {"role": "x"}, True),
        ({"matchLabels": {"role": "dpdk"}}, {"role": "dpdk", "zone": "a"}, True),
        ({"matchLabels": {"role": "dpdk"}}, {"role": "ai"}, False),
        ({"matchLabels": {"role": ""}}, {"role": ""}, True),
        ({"matchLabels": {"role": ""}}, {}, False),
        ({"matchExpressions": [IN]}, {"role": "ai"}, True),
        ({"matchExpressions": [IN]}, {"role": "x"}, False),
        ({"matchExpressions": [IN]}, {}, False),
        ({"matchExpressions": [NOT_IN]}, {"role": "ai"}, True),
        ({"matchExpressions": [NOT_IN]}, {"role": "dpdk"}, False),
        ({"matchExpressions": [NOT_IN]}, {}, True),
        ({"matchExpressions": [EXISTS]}, {"role": ""}, True),
        ({"matchExpressions": [EXISTS]}, {}, False),
        ({"matchExpressions": [ABSENT]}, {}, True),
        ({"matchExpressions": [ABSENT]}, {"role": "x"}, False),
        ({"matchLabels": {"zone": "a"}, "matchExpressions": [IN]}, {"zone": "a", "role": "ai"}, True),
        ({"matchLabels": {"zone": "a"}, "matchExpressions": [IN]}, {"zone": "b", "role": "ai"}, False),
    ],
)
def test_matching(selector: object, labels: dict[str, str], expected: bool) -> None:
    assert matches(read_selector(selector, "spec.nodeSelector"), labels) is expected


@pytest.mark.parametrize(
    ("selector", "field"),
    [
        ("role=dpdk", "spec.nodeSelector:"),
        ({"role": "dpdk"}, "spec.nodeSelector.role"),
        ({"matchLabels": ["role"]}, "spec.nodeSelector.matchLabels"),
        ({"matchLabels": {"role": 1}}, "spec.nodeSelector.matchLabels"),
        ({"matchExpressions": "role"}, "spec.nodeSelector.matchExpressions"),
        ({"matchExpressions": [7]}, "spec.nodeSelector.matchExpressions[0].key"),
        (
            {"matchExpressions": [EXISTS, {"key": "a", "operator": "Gt"}]},
            "spec.nodeSelector.matchExpressions[1].operator",
        ),
        ({"matchExpressions": [{**IN, "values": []}]}, "spec.nodeSelector.matchExpressions[0].values"),
        ({"matchExpressions": [{**IN, "values": 7}]}, "spec.nodeSelector.matchExpressions[0].values"),
        ({"matchExpressions": [{**EXISTS, "values": ["x"]}]}, "spec.nodeSelector.matchExpressions[0].values"),
    ],
)
def test_a_refusal_names_the_field(selector: object, field: str) -> None:
    with pytest.raises(PolicyError) as refused:
        read_selector(selector, "spec.nodeSelector")
    assert str(refused.value).startswith(field)

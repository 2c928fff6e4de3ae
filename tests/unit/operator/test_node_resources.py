"""Numbers of resources in a Node's status, as the API server writes them."""

from typing import Any

import pytest

from virtfn_operator.api.node_resources import allocatable


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("4", 4), ("2048", 2048), ("2k", 2000), ("1M", 1_000_000)],
)
def test_a_whole_number_is_read(text: str, number: int) -> None:
    assert allocatable({"status": {"allocatable": {"virtfn.dev/fast": text}}}) == {"virtfn.dev/fast": number}


@pytest.mark.parametrize("value", ["", "4Ki", "100m", "-1", "1e3", "٤", 4, None, [], "9" * 5000])
def test_everything_else_is_left_out(value: Any) -> None:
    assert allocatable({"status": {"allocatable": {"virtfn.dev/fast": value, "cpu": "2"}}}) == {"cpu": 2}


@pytest.mark.parametrize("node", [{}, {"status": None}, {"status": {"allocatable": []}}, {"status": "x"}])
def test_a_node_without_a_list_shows_nothing(node: dict[str, Any]) -> None:
    assert allocatable(node) == {}

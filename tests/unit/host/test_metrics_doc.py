"""docs/reference/metrics.md: its table is the list in the code."""

from pathlib import Path

from virtfn_host.metrics import METRICS, Metric

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "metrics.md").read_text()


def row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.kind} | {labels} | {', '.join(metric.processes)} | {metric.help} |"


def test_the_table_is_the_list_of_the_code() -> None:
    assert [line for line in TEXT.splitlines() if line.startswith("| `virtfn_")] == [row(metric) for metric in METRICS]

"""The pages of the closed lists: metrics and reasons."""

import re
from collections.abc import Iterator, Mapping, Sequence

from virtfn_host.core.values.reasons import CALM, Reason
from virtfn_host.metrics import BOUNDS, Metric
from virtfn_release.reference.layout import code, page, plain, table


def metrics_page(metrics: Sequence[Metric]) -> str:
    """Return the page of metrics."""
    rows = [
        (
            code(metric.name),
            str(metric.kind),
            ", ".join(code(label) for label in metric.labels),
            ", ".join(metric.processes),
            metric.help,
        )
        for metric in metrics
    ]
    return page(
        "Metrics",
        "host/virtfn_host/metrics.py",
        "[Metrics](../metrics.md) says how to switch them on, and has the alerts and the dashboard.",
        table(("Metric", "Kind", "Labels", "Told by", "Meaning"), rows),
        f"Histograms have the upper limits {', '.join(f'{bound:g}' for bound in BOUNDS)} seconds.",
    )


def reasons_page(source: str, steps: Mapping[Reason, str]) -> str:
    """Return the page of reasons.

    Args:
        source: The text of `core/values/reasons.py`, whose comments say what each reason means.
        steps: What to do next, by reason.
    """
    intro = (
        "Conditions, events and the error messages of `virtfn` use these words and no others. `kubectl virtfn` uses"
        " them, too; of pods and Nodes it also says words of Kubernetes, such as `Unschedulable` and"
        " `UnexpectedAdmissionError`. The message beside a reason names the device, what the kernel answered and what"
        " to do. The [runbook](../runbook.md#reasons) says more about each, [faults](../faults.md) has the messages as"
        " they are printed."
    )
    meanings = dict(meaning(source))
    calm = [reason for reason in Reason if reason in CALM]
    others = [reason for reason in Reason if reason not in CALM]
    return page(
        "Reasons",
        "host/virtfn_host/core/values/reasons.py and kubectl/virtfn_kubectl/judge/next_steps.py",
        intro,
        "## All is well, or a change is on its way",
        *_sections(calm, meanings, steps),
        "## Something needs attention",
        *_sections(others, meanings, steps),
    )


def meaning(source: str) -> Iterator[tuple[str, str]]:
    """Yield each reason's word, and the comment behind it."""
    for match in re.finditer(r'^    [A-Z_]+ = "(\w+)"  # (.+)$', source, re.MULTILINE):
        yield match[1], match[2]


def _sections(reasons: Sequence[Reason], meanings: Mapping[str, str], steps: Mapping[Reason, str]) -> Iterator[str]:
    for reason in reasons:
        yield f"### {reason}"
        yield plain(f"{_capital(meanings[reason])}.")
        step = plain(steps[reason])
        yield f"Next: {step}."


def _capital(text: str) -> str:
    """Return a sentence with a capital first, unless it begins with a name like maxUnavailable or sriov_numvfs."""
    first = text.split(" ")[0]
    return text[0].upper() + text[1:] if first.rstrip(",").isalpha() and first == first.lower() else text

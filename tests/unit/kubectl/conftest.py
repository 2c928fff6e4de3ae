"""Runs `kubectl virtfn` on a cluster that answers from recorded objects."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fake_cluster import Answer, Ask, FakeCluster, cluster_of, recorded
from plan_asked import Planned, fleets_asked

from virtfn_kubectl.verbs import run

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
"""Half an hour after the last change of the recorded fleets."""


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Ask:
    """Return a function that runs a command line on a cluster: a recorded one by its name, or one of the test's own."""

    def asked(cluster: str | FakeCluster, *words: str, environ: dict[str, str] | None = None) -> Answer:
        whole = cluster_of(recorded(cluster)) if isinstance(cluster, str) else cluster
        capsys.readouterr()
        try:
            status = run(words, environ or {}, whole, NOW)
        except SystemExit as error:  # argparse
            status = int(error.code or 0)
        printed = capsys.readouterr()
        return Answer(status, printed.out, printed.err)

    return asked


@pytest.fixture
def planned(ask: Ask, tmp_path: Path) -> Iterator[Planned]:
    """Return the function of `fleets_asked`."""
    with fleets_asked(ask, tmp_path) as of:
        yield of

"""What `kubectl describe` prints of the recorded fleets, as docs/describe.md shows it; VIRTFN_UPDATE=1 writes it anew.

A real kubectl asks a server that has the discovery documents of our CRDs and the recorded objects.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_cluster import cluster_of, recorded
from kubectl_served import served

KUBECTL = shutil.which("kubectl")
pytestmark = pytest.mark.skipif(KUBECTL is None, reason="THERE IS NO kubectl HERE, so docs/describe.md is not checked")
PAGE = Path(__file__).resolve().parents[3] / "docs/describe.md"
MARK = "\n## "
FLEETS = {
    "healthy": ("All is well", ["svp fast", "svn node-1"]),
    "changing": ("A change is on its way", ["svp fast", "svn node-3"]),
    "blocked": ("A pod is in the way", ["svp fast", "svn node-1"]),
    "failed": ("A node failed, and a policy is rejected", ["svp fast", "svp late", "svn node-2"]),
}
Described = Callable[[str, str], str]


@pytest.fixture
def described(tmp_path: Path) -> Iterator[Described]:
    """Return a function that has an object of a recorded fleet described."""
    with served(cluster_of(recorded("healthy")), tmp_path) as server:

        def of(fleet: str, what: str) -> str:
            server.cluster = cluster_of(recorded(fleet))
            done = server.kubectl("describe", *what.split())
            assert (done.returncode, done.stderr) == (0, "")
            return done.stdout

        yield of


def section(described: Described, fleet: str) -> str:
    title, objects = FLEETS[fleet]
    parts = [f"## {title}\n"]
    for what in objects:
        lines = [f"$ kubectl describe {what}", *described(fleet, what).splitlines()]
        parts.append("\n".join(f"    {line}".rstrip() for line in lines) + "\n")
    return "\n".join(parts)


def test_the_page_has_what_is_printed(described: Described) -> None:
    head = PAGE.read_text().split(MARK)[0].rstrip() + "\n"
    whole = "\n".join([head, *(section(described, fleet) for fleet in FLEETS)])
    if os.environ.get("VIRTFN_UPDATE"):
        PAGE.write_text(whole)
    assert PAGE.read_text() == whole, "VIRTFN_UPDATE=1 writes docs/describe.md anew"


@pytest.mark.parametrize(
    ("fleet", "what", "reason", "names"),
    [
        ("healthy", "svp fast", "Converged", "2 of 2 nodes"),
        ("changing", "svn node-3", "WaitingForTurn", "other nodes go first"),
        ("blocked", "svp fast", "VfsInUse", "default/dpdk-0"),
        ("blocked", "svn node-1", "VfsInUse", "default/dpdk-0"),
        ("failed", "svn node-2", "WriteRefused", "No space left on device"),
        ("failed", "svp late", "CountConflict", "policy fast has set count to 4"),
    ],
)
def test_a_description_has_reason_and_cause(
    described: Described, fleet: str, what: str, reason: str, names: str
) -> None:
    text = described(fleet, what)
    assert re.search(rf"Reason: +{reason}$", text, re.MULTILINE)
    assert names in text

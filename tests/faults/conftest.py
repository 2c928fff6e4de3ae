"""The node of a fault: a new fake kernel for each fault, or the real one, which all faults share."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty_node import FaultyNode, verdicts
from kernel import FakeKernel

from virtfn_host.linux.look.inventory import read_inventory
from virtfn_host.linux.read.sysfs import Sysfs

IN_GUEST = bool(os.environ.get("VIRTFN_IN_GUEST"))


@pytest.fixture(scope="session")
def real_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyNode]:
    """The machine itself; the end checks that it is as before."""
    subprocess.run(["modprobe", "-a", "igb", "igbvf"], check=True)
    before = read_inventory(Sysfs()).functions
    node = FaultyNode(tmp_path_factory.mktemp("node"), None)
    node.start()
    try:
        node.ask([])
        node.turn()
        node.nature = frozenset(told for told in verdicts(node.neighbours.status) if told[0] != "Converged")
        assert {reason for reason, _ in node.nature} <= {"NoIommu"}
        yield node
        node.converge([])
    finally:
        node.end()
    assert read_inventory(Sysfs()).functions == before
    node.journal.unlink(missing_ok=True)


@pytest.fixture
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FaultyNode]:
    """A fake node, or the real one if VIRTFN_IN_GUEST is set."""
    if IN_GUEST:
        yield request.getfixturevalue("real_node")
        return
    node = FaultyNode(tmp_path, FakeKernel(tmp_path / "root"))
    node.start()
    yield node
    node.end()

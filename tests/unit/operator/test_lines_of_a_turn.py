"""Agent and host process log each step once, and both lines have the same node, turn, policy and PF."""

import asyncio
import logging
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kernel import FakeKernel

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import NodeConfig
from virtfn_host.core.values.report import Outcome
from virtfn_host.core.values.steps import Settle, plan_of
from virtfn_host.executor import Executor
from virtfn_host.logs.lines import about, fields_of
from virtfn_host.process.client import HostClient
from virtfn_host.process.serve import Host, Server


class Fields(logging.Handler):
    """Keeps the fields of the lines of steps as they are when a line is written."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[tuple[str, dict[str, object]]] = []

    def emit(self, record: logging.LogRecord) -> None:
        if hasattr(record, "step"):
            self.lines.append((record.name, fields_of(record)))

    def of(self, name: str) -> list[dict[str, object]]:
        return [fields for logger, fields in self.lines if logger == name]


@pytest.fixture
def seen() -> Iterator[Fields]:
    handler, root = Fields(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)


AGENT, HOST = "virtfn_operator.agent.machine", "virtfn.host.done"


async def test_each_step_is_one_line_of_each_with_the_same_fields(fake_node: Any, seen: Fields) -> None:
    node = fake_node()
    with tempfile.TemporaryDirectory() as short:
        socket = Path(short) / "host.sock"
        host = Host(Executor(node.kernel.machine()), None)
        server = Server(socket, host)
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        serving.start()
        client = HostClient(socket)
        node.apply = client.apply
        node.ask(node.config(2))
        agent = node.agent()
        try:
            with about(node="n1"):
                await node.until(agent, lambda: agent.figures.functions)
        finally:
            await asyncio.to_thread(server.shutdown)
            server.server_close()
            host.end()
    ours, theirs = seen.of(AGENT), seen.of(HOST)
    assert len(ours) == len(theirs) == agent._machine.carried
    assert ours == theirs
    assert {(f["node"], f["policy"], f["outcome"]) for f in ours} == {("n1", "fast", str(Outcome.DONE))}
    assert {type(f["turn"]) for f in ours} == {int}


@pytest.mark.parametrize("name", ["a" * 253, "x\ny", "\u2028", "/"])
async def test_a_policys_name_of_any_kind_hinders_no_plan(fake_node: Any, seen: Fields, name: str) -> None:
    node = fake_node()
    node.ask(NodeConfig(policies=tuple(replace(policy, name=name) for policy in node.config(1).policies)))
    await node.agent().turn()
    assert node.drivers == ["vfio-pci"]
    assert {fields.get("policy") for fields in seen.of(AGENT)} == {name}


def test_a_plan_without_an_asker_is_logged_without_fields_of_it(tmp_path: Path, seen: Fields) -> None:
    host = Host(Executor(FakeKernel(tmp_path / "root", pfs=1).machine()), None)
    host.apply(plan_of([Settle(pf=PciAddress(0, 1, 0, 0), num_vfs=0)]), lambda _: None)
    host.end()
    (fields,) = seen.of(HOST)
    assert set(fields) == {"pf", "step", "outcome"}

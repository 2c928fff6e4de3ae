"""A whole node but for the API server and the kubelet: machine, host process behind its socket, agent, command line.

The agent is the real one with its real patience, but the pauses between its turns are counted, not slept: seconds here
are those of its work plus every pause it would have made, as if no kernel event had woken it.
"""

from __future__ import annotations

import asyncio
import functools
import io
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml
from fault import Policy
from hardware import Lab
from kernel import FakeKernel, FakeModules, FakeSysfs, FakeWriter
from netlink import FakeNetlink
from serving import serving

from virtfn_host import executor
from virtfn_host.cli import verbs as cli
from virtfn_host.core.turn.policy import policy_config
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import NodeConfig, PolicyConfig
from virtfn_host.core.values.holders import Pod
from virtfn_host.executor import Executor
from virtfn_host.linux import poolfile
from virtfn_host.linux.act.journal import Journal
from virtfn_host.linux.act.machine import Machine
from virtfn_host.linux.clock import since_boot
from virtfn_host.linux.netlink.asks import Netlink
from virtfn_host.linux.read.holding import who_blocks
from virtfn_host.linux.read.sysfs import Sysfs
from virtfn_host.linux.touch.modules import Modprobe
from virtfn_host.linux.touch.reader import Reader
from virtfn_host.linux.touch.writer import Writer
from virtfn_host.process.client import HostClient
from virtfn_host.process.serve import Host
from virtfn_operator.agent.files import PoolFiles
from virtfn_operator.agent.loop import Agent
from virtfn_operator.agent.machine import NodeMachine
from virtfn_operator.agent.ports import KubeletUnreachableError, Patience
from virtfn_operator.api.node_state import write_spec

PROMISE = 10.0
"""Seconds until a fault must show, and until it must be gone after its repair."""

DEADLINE = PROMISE if os.environ.get("VIRTFN_TIMED") else 60.0
"""The promise is held to where nothing else runs beside it (`make prove`); elsewhere a hang is caught all the same."""

Told = tuple[str, str]
"""Reason and message."""


class TooSlowError(AssertionError):
    """It did not show, or was not gone, in time."""


class TurnByTurn(Agent):
    """The agent, which rests until it is told to go on; how long it would have rested is noted."""

    def __init__(self, **words: Any) -> None:
        super().__init__(**words)
        self.pause = 0.0
        self._go = asyncio.Event()
        self._resting = asyncio.Event()

    async def _rest(self, seconds: float) -> None:
        self.pause = seconds
        self._resting.set()
        await self._go.wait()
        self._go.clear()

    async def first(self) -> None:
        """The turn that it begins with."""
        await self._resting.wait()

    async def next(self) -> None:
        """One turn more."""
        self._resting.clear()
        self._go.set()
        await self._resting.wait()

    @property
    def failing(self) -> bool:
        """Whether it tries again after a failure."""
        return self._backoff.failures > 0

    def grow_old(self) -> None:
        """As if what fails now had failed for an hour: the longest back-off."""
        self._backoff.failures = 30


@dataclass(slots=True)
class Neighbours:
    """Kubelet, own SriovNode and what was reported."""

    pools: Path
    pods: dict[str, tuple[Pod, ...]] = field(default_factory=dict)
    kubelet_away: bool = False
    body: dict[str, Any] = field(default_factory=lambda: {"metadata": {"name": "n1", "uid": "u", "generation": 0}})
    reports: list[tuple[float, Mapping[str, Any]]] = field(default_factory=list)

    async def allocated(self) -> Mapping[str, tuple[Pod, ...]]:
        """See ports.Kubelet."""
        if self.kubelet_away:
            raise KubeletUnreachableError("no kubelet answers on /var/lib/kubelet/pod-resources/kubelet.sock")
        return self.pods

    async def allocatable(self) -> frozenset[str]:
        """A device plugin and a kubelet that are quick."""
        published = poolfile.read(self.pools)
        return frozenset(str(d.address) for p in (published.pools if published else ()) for d in p.devices if d.healthy)

    @property
    def status(self) -> Mapping[str, Any]:
        """See ports.OwnNode."""
        return self.body.get("status") or {}

    async def ensure(self) -> Mapping[str, Any]:
        """See ports.OwnNode."""
        return self.body

    async def report(self, status: Mapping[str, Any]) -> None:
        """See ports.OwnNode."""
        self.body = {**self.body, "status": dict(status)}
        self.reports.append((time.monotonic(), status))


class FaultyNode:
    """One node; `root` is its file system, `fake` its kernel where that is not the real one."""

    def __init__(self, folder: Path, fake: FakeKernel | None) -> None:
        self.root = fake.root if fake else Path("/")
        self.folder = folder
        self.fake = fake
        self.journal = self.root / "var/lib/virtfn/journal.json"
        self.policies = folder / "policies.yaml"
        self.netlink = FakeNetlink(fake) if fake else Netlink()
        self.machine = self._machine()
        self.lab = Lab(self.machine, fake)
        self.sysfs = self.machine.sysfs
        self.pf, self.other = (*self.lab.pfs[:2], *self.lab.pfs[:1])[:2]
        self.nature: frozenset[Told] = frozenset()
        """What this machine always says, whatever is asked: that it has no IOMMU."""
        self.expected = ("", "")
        """What `virtfn` and the report are to say of the fault that is on."""
        self.uplink = ""
        """The netdev that a policy names."""
        self.pools_file, self.ledger_file = folder / "run/pools.json", folder / "run/ledger.json"
        self.neighbours = Neighbours(self.pools_file)
        self._asked: list[Policy] | None = None
        self._edits = 0
        self._rested = 0.0
        self.socket = folder / "host.sock"
        self.client = HostClient(self.socket)
        self.loop = asyncio.new_event_loop()
        self.agent = self._agent()
        self._reader = Reader()
        self._ends = ExitStack()
        self._ends.callback(self._reader.close)
        self._ends.callback(self.netlink.close)

    def _machine(self) -> Machine:
        journal = Journal(self.journal)
        if self.fake is None:
            sysfs = Sysfs()
            writer = Writer(functools.partial(who_blocks, sysfs))
            return Machine(sysfs=sysfs, writer=writer, journal=journal, modules=Modprobe(), netlink=self.netlink)
        return Machine(
            sysfs=FakeSysfs(self.fake),
            writer=FakeWriter(self.fake),
            journal=journal,
            modules=FakeModules(self.fake),
            netlink=self.netlink,
        )

    def _agent(self) -> TurnByTurn:
        files = PoolFiles(self.pools_file, self.ledger_file)
        patience = Patience(reports=10_000)  # faults come faster here than a status may be written for long
        machine = NodeMachine(host=self.client, kubelet=self.neighbours, files=files, patience=patience, now=self.now)
        return TurnByTurn(machine=machine, node=self.neighbours, patience=patience, version="1")

    def now(self) -> float:
        """Seconds since boot, with every pause that was counted and not slept: a repair that is damped waits these."""
        return since_boot() + self._rested

    def start(self) -> None:
        """Host process and agent."""
        reader = None if self.fake else Reader()
        host = Host(Executor(self.machine), reader)
        if reader is not None:
            self._ends.callback(reader.close)
        self._ends.enter_context(serving(self.socket, host))
        running = self.loop.create_task(self.agent.run())
        self.loop.run_until_complete(self.agent.first())
        self._ends.callback(self._stop, running)

    def _stop(self, running: asyncio.Task[None]) -> None:
        running.cancel()
        with suppress(asyncio.CancelledError):
            self.loop.run_until_complete(running)
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()

    def end(self) -> None:
        """Stop them."""
        self._ends.close()

    # --- what tests say of it ------------------------------------------------------------------------------------

    def vf(self, index: int = 0) -> PciAddress:
        """A VF of the first PF."""
        return self.sysfs.vf_addresses(self.pf)[index]

    def named(self, text: str) -> str:
        """`{pf}` and its like filled in."""
        vfs = self.sysfs.vf_addresses(self.pf)
        found = {"pf": self.pf, "other": self.other, "vf": vfs.get(0, "?"), "second": vfs.get(1, "?")}
        found["group"] = self.sysfs.group(vfs[0]) if 0 in vfs else "?"  # type: ignore[assignment]
        for name, value in found.items():
            text = text.replace("{" + name + "}", str(value))
        return text

    def raw(self, path: str | Path, value: str) -> None:
        """What somebody else writes."""
        self.lab.raw(path, value)

    @contextmanager
    def kernel_does(self, name: str, instead: Callable[..., Any]) -> Iterator[None]:
        """The fake kernel with one thing that it does otherwise."""
        assert self.fake is not None
        with patch.object(self.fake, name, instead):
            yield

    # --- asking ---------------------------------------------------------------------------------------------------

    def ask(self, policies: Sequence[Policy]) -> None:
        """These policies from now on, in the file of `virtfn` and in the SriovNode."""
        self.policies.write_text("---\n".join(yaml.safe_dump(dict(policy)) for policy in policies))
        if list(policies) == self._asked:
            return
        self._asked, self._edits, old = list(policies), self._edits + 1, self.neighbours.body
        read = [_read(policy, self._edits) for policy in policies]
        spec = write_spec(NodeConfig(policies=tuple(p for p in read if p is not None)), may_change=True)
        # One that this version cannot read reaches the agent as the controller of another version wrote it.
        unread = [policy for policy, known in zip(policies, read, strict=True) if known is None]
        spec["policies"] += [_as_written(policy, self._edits) for policy in unread]
        metadata = {**old["metadata"], "generation": old["metadata"]["generation"] + 1}
        self.neighbours.body = {**old, "metadata": metadata, "spec": spec}
        self.agent.see(self.neighbours.body)
        self.agent.pause = 0.1  # it wakes at once

    def virtfn(self, words: Sequence[str]) -> tuple[int, str]:
        """Exit status and everything that was printed."""
        takes_policy = words[0] in ("plan", "apply", "verify")
        more = ["--root", str(self.root), *(["-f", str(self.policies)] if takes_policy else [])]
        printed = io.StringIO()
        with ExitStack() as stack:
            stack.enter_context(redirect_stdout(printed))
            stack.enter_context(redirect_stderr(printed))
            # One for all commands: an interpreter takes half a second to start in an emulated machine.
            stack.enter_context(patch.object(cli, "Reader", lambda: self._reader))
            stack.enter_context(patch.object(self._reader, "close", lambda: None))
            for module in (cli, executor):
                stack.enter_context(patch.object(module, "Netlink", lambda _: self.netlink))
            stack.enter_context(patch.object(self.netlink, "close", lambda: None))
            if self.fake is not None:
                kernel = self.fake
                stack.enter_context(patch.object(cli, "Sysfs", lambda *_: FakeSysfs(kernel)))
                stack.enter_context(patch.object(executor, "Writer", lambda *_: FakeWriter(kernel)))
                stack.enter_context(patch.object(executor, "Modprobe", lambda *_: FakeModules(kernel)))
            status = cli.run([self.named(word) for word in words] + more)
        return status, printed.getvalue()

    # --- turns ----------------------------------------------------------------------------------------------------

    def turn(self) -> tuple[float, list[tuple[float, Mapping[str, Any]]]]:
        """One turn: its seconds, and what was reported after how many of them."""
        before, began = len(self.neighbours.reports), time.monotonic()
        self._rested += self.agent.pause
        self.loop.run_until_complete(asyncio.wait_for(self.agent.next(), 60))
        told = [(at - began, status) for at, status in self.neighbours.reports[before:]]
        return time.monotonic() - began, told

    def until(self, true: Callable[[Mapping[str, Any]], bool], what: str, limit: float = DEADLINE) -> float:
        """Seconds until a report is so, counting the pause that the agent is in and all that follow."""
        spent = self.agent.pause
        while spent < limit:
            seconds, told = self.turn()
            for at, status in told:
                if true(status):
                    return spent + at
            if true(self.neighbours.status):
                return spent + seconds
            spent += seconds + self.agent.pause
        raise TooSlowError(f"{what}: not in {limit:.0f} s; last {verdicts(self.neighbours.status)}")

    def converge(self, policies: Sequence[Policy]) -> None:
        """Bring the node to where a fault begins."""
        self._asked = None  # an edit, or the repairs of one fault after the other would be damped as those of one fight
        self.ask(policies)
        self.until(self.converged, "converging at the start", 120)

    def converged(self, status: Mapping[str, Any]) -> bool:
        """Whether nothing is wrong any more."""
        said = set(verdicts(status))
        return bool(said) and all(reason == "Converged" for reason, _ in said - self.nature)


def verdicts(status: Mapping[str, Any]) -> list[Told]:
    """Every reason with its message that a status holds."""
    blocked = (status.get("plan") or {}).get("blocked") or []
    places = [*status.get("conditions", ()), *status.get("policies", ()), *blocked, *status.get("rejected", ())]
    return [(str(place["reason"]), str(place["message"])) for place in places]


def says(reason: str, message: str) -> Callable[[Mapping[str, Any]], bool]:
    """Whether a status holds this."""
    return lambda status: any(word == reason and re.search(message, text) for word, text in verdicts(status))


def _read(policy: Policy, generation: int) -> PolicyConfig | None:
    name = str(policy["metadata"]["name"])
    found = policy_config(name=name, uid=name, generation=generation, spec=policy["spec"])
    return found if isinstance(found, PolicyConfig) else None


def _as_written(policy: Policy, generation: int) -> dict[str, Any]:
    name, spec = policy["metadata"]["name"], policy["spec"]
    return {"name": name, "uid": name, "generation": generation, "devices": spec["devices"], **spec["virtualFunctions"]}

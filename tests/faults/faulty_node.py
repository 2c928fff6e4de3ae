"""A node without API server and kubelet: machine, host process behind its socket, agent, command line.

Agent and patience are real, but pauses between turns are counted instead of slept: seconds here are the agent's working
time plus every pause that it would have made, as if no kernel event had woken it.
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
from virtfn_host.cli import machine as cli
from virtfn_host.cli import verbs
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
from virtfn_operator.agent.not_offered import KubeletOffer
from virtfn_operator.agent.ports import KubeletUnreachableError, Patience
from virtfn_operator.api.node_state import write_spec

PROMISE = 10.0
"""Seconds until a fault must show, and until it must be gone after its repair."""

DEADLINE = PROMISE if os.environ.get("VIRTFN_TIMED") else 60.0
"""Seconds until a test fails: the promise if nothing runs beside it (`make prove`), else enough to catch a hang."""

Told = tuple[str, str]
"""Reason and message."""


class TooSlowError(AssertionError):
    """The fault did not show, or was not gone, in time."""


class TurnByTurn(Agent):
    """The agent, resting until a test lets it go on; `pause` is how long it would have rested."""

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
        """Wait for the end of its first turn."""
        await self._resting.wait()

    async def next(self) -> None:
        """Run one more turn."""
        self._resting.clear()
        self._go.set()
        await self._resting.wait()

    @property
    def failing(self) -> bool:
        """Return whether it is retrying after a failure."""
        return self._backoff.failures > 0

    def grow_old(self) -> None:
        """Set the longest back-off, as after an hour of failures."""
        self._backoff.failures = 30


@dataclass(slots=True)
class Neighbours:
    """The agent's neighbours: kubelet, its own SriovNode and the reports to it."""

    pools: Path
    pods: dict[str, tuple[Pod, ...]] = field(default_factory=dict)
    kubelet_away: bool = False
    offer: Mapping[str, frozenset[str]] | None = None
    """What the kubelet offers by resource name; None: what is published."""
    node_shows: Mapping[str, int] | None = None
    """What the Node shows of resources; None: what is published."""
    body: dict[str, Any] = field(default_factory=lambda: {"metadata": {"name": "n1", "uid": "u", "generation": 0}})
    reports: list[tuple[float, Mapping[str, Any]]] = field(default_factory=list)

    async def allocated(self) -> Mapping[str, tuple[Pod, ...]]:
        """See ports.Kubelet."""
        if self.kubelet_away:
            raise KubeletUnreachableError("no kubelet answers on /var/lib/kubelet/pod-resources/kubelet.sock")
        return self.pods

    async def allocatable(self) -> frozenset[str]:
        """Return the healthy functions at once, as a quick device plugin and kubelet would."""
        published = poolfile.read(self.pools)
        return frozenset(str(d.address) for p in (published.pools if published else ()) for d in p.devices if d.healthy)

    async def offered(self) -> KubeletOffer:
        """Return the same by resource name."""
        if self.kubelet_away:
            raise KubeletUnreachableError("no kubelet answers on /var/lib/kubelet/pod-resources/kubelet.sock")
        ids, published = await self.allocatable(), poolfile.read(self.pools)
        pools = published.pools if published else ()
        found = {pool.resource_name: ids & {str(device.address) for device in pool.devices} for pool in pools}
        return KubeletOffer(devices=found if self.offer is None else self.offer)

    async def shown(self) -> Mapping[str, int]:
        """See ports.OwnNode: what is published."""
        if self.node_shows is not None:
            return self.node_shows
        published = poolfile.read(self.pools)
        return {p.resource_name: sum(d.healthy for d in p.devices) for p in (published.pools if published else ())}

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
    """One node; `root` is its file system, `fake` its kernel, None on a real one."""

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
        """What this machine reports with any policy: that it has no IOMMU."""
        self.expected = ("", "")
        """The messages that `virtfn` and the report must have for the present fault."""
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
        if self.fake is None:
            sysfs = Sysfs()
            journal = Journal(self.journal, sysfs.boot_id)
            writer = Writer(functools.partial(who_blocks, sysfs))
            return Machine(sysfs=sysfs, writer=writer, journal=journal, modules=Modprobe(), netlink=self.netlink)
        fake = FakeSysfs(self.fake)
        return Machine(
            sysfs=fake,
            writer=FakeWriter(self.fake),
            journal=Journal(self.journal, fake.boot_id),
            modules=FakeModules(self.fake),
            netlink=self.netlink,
            now=self.now,
        )

    def _agent(self) -> TurnByTurn:
        files = PoolFiles(self.pools_file, self.ledger_file)
        patience = Patience(reports=10_000)  # faults come faster here than an agent may write its status
        machine = NodeMachine(host=self.client, kubelet=self.neighbours, files=files, patience=patience, now=self.now)
        return TurnByTurn(machine=machine, node=self.neighbours, patience=patience, version="1")

    def now(self) -> float:
        """Return the seconds since boot plus all counted pauses; damped repairs wait by this clock."""
        return since_boot() + self._rested

    def start(self) -> None:
        """Start host process and agent."""
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

    # --- the machine for tests ------------------------------------------------------------------------------------

    def vf(self, index: int = 0) -> PciAddress:
        """Return a VF of the first PF."""
        return self.sysfs.vf_addresses(self.pf)[index]

    def named(self, text: str) -> str:
        """Fill in `{pf}`, `{other}`, `{vf}`, `{second}` and `{group}`."""
        vfs = self.sysfs.vf_addresses(self.pf)
        found = {"pf": self.pf, "other": self.other, "vf": vfs.get(0, "?"), "second": vfs.get(1, "?")}
        found["group"] = self.sysfs.group(vfs[0]) if 0 in vfs else "?"  # type: ignore[assignment]
        for name, value in found.items():
            text = text.replace("{" + name + "}", str(value))
        return text

    def raw(self, path: str | Path, value: str) -> None:
        """Write as another program does."""
        self.lab.raw(path, value)

    @contextmanager
    def kernel_does(self, name: str, instead: Callable[..., Any]) -> Iterator[None]:
        """Replace one method of the fake kernel."""
        assert self.fake is not None
        with patch.object(self.fake, name, instead):
            yield

    # --- asking ---------------------------------------------------------------------------------------------------

    def ask(self, policies: Sequence[Policy]) -> None:
        """Set the policies, in the file for `virtfn` and in the SriovNode."""
        self.policies.write_text("---\n".join(yaml.safe_dump(dict(policy)) for policy in policies))
        if list(policies) == self._asked:
            return
        self._asked, self._edits, old = list(policies), self._edits + 1, self.neighbours.body
        read = [_read(policy, self._edits) for policy in policies]
        spec = write_spec(NodeConfig(policies=tuple(p for p in read if p is not None)), may_change=True)
        # A policy that this version cannot read reaches the agent as if a controller of another version had written it.
        unread = [policy for policy, known in zip(policies, read, strict=True) if known is None]
        spec["policies"] += [_as_written(policy, self._edits) for policy in unread]
        metadata = {**old["metadata"], "generation": old["metadata"]["generation"] + 1}
        self.neighbours.body = {**old, "metadata": metadata, "spec": spec}
        self.agent.see(self.neighbours.body)
        self.agent.pause = 0.1  # it wakes at once

    def virtfn(self, words: Sequence[str]) -> tuple[int, str]:
        """Run `virtfn`; return its exit status and everything that it printed."""
        takes_policy = words[0] in ("plan", "apply", "verify")
        more = ["--root", str(self.root), *(["-f", str(self.policies)] if takes_policy else [])]
        printed = io.StringIO()
        with ExitStack() as stack:
            stack.enter_context(redirect_stdout(printed))
            stack.enter_context(redirect_stderr(printed))
            # One reader for all commands: an interpreter takes half a second to start in an emulated machine.
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
            status = verbs.run([self.named(word) for word in words] + more)
        return status, printed.getvalue()

    # --- turns ----------------------------------------------------------------------------------------------------

    def turn(self) -> tuple[float, list[tuple[float, Mapping[str, Any]]]]:
        """Run one turn; return its seconds, and each report with the seconds until it."""
        before, began = len(self.neighbours.reports), time.monotonic()
        self._rested += self.agent.pause
        self.loop.run_until_complete(asyncio.wait_for(self.agent.next(), 60))
        told = [(at - began, status) for at, status in self.neighbours.reports[before:]]
        return time.monotonic() - began, told

    def until(self, true: Callable[[Mapping[str, Any]], bool], what: str, limit: float = DEADLINE) -> float:
        """Return the seconds until `true` holds for a report, counting the present pause and all that follow."""
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
        """Converge on the policies with which a fault begins."""
        self._asked = None  # as an edit: else the repairs of successive faults would be damped like repeated ones
        self.ask(policies)
        self.until(self.converged, "converging at the start", 120)

    def converged(self, status: Mapping[str, Any]) -> bool:
        """Return whether nothing is wrong any more."""
        said = set(verdicts(status))
        return bool(said) and all(reason == "Converged" for reason, _ in said - self.nature)


def verdicts(status: Mapping[str, Any]) -> list[Told]:
    """Return every reason in a status, with its message."""
    blocked = (status.get("plan") or {}).get("blocked") or []
    places = [*status.get("conditions", ()), *status.get("policies", ()), *blocked, *status.get("rejected", ())]
    return [(str(place["reason"]), str(place["message"])) for place in places]


def says(reason: str, message: str) -> Callable[[Mapping[str, Any]], bool]:
    """Return a check whether a status has this reason and message."""
    return lambda status: any(word == reason and re.search(message, text) for word, text in verdicts(status))


def _read(policy: Policy, generation: int) -> PolicyConfig | None:
    name = str(policy["metadata"]["name"])
    found = policy_config(name=name, uid=name, generation=generation, spec=policy["spec"])
    return found if isinstance(found, PolicyConfig) else None


def _as_written(policy: Policy, generation: int) -> dict[str, Any]:
    name, spec = policy["metadata"]["name"], policy["spec"]
    return {"name": name, "uid": name, "generation": generation, "devices": spec["devices"], **spec["virtualFunctions"]}

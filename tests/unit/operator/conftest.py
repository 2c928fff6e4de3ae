"""A node in memory: machine, host process, kubelet, device plugin, files and SriovNode, as the agent meets them.

The machine is the fake kernel and the host process the real one's code; the rest is simulated here.
"""

import asyncio
import errno
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, ClassVar

import pytest
from clocked_node import Clocked
from host_in_memory import HostInMemory
from kernel import FakeKernel
from memory import folder_in_memory
from outsider import Outsider

from virtfn_host.core.turn.policy import policy_config
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import NodeConfig, PolicyConfig
from virtfn_host.core.values.holders import Pod
from virtfn_host.core.values.kept import KeptConfig
from virtfn_host.core.values.model import Observation, Original, Pf
from virtfn_host.core.values.offered import Ledger, PoolSet
from virtfn_host.core.values.report import Outcome, Report, StepResult
from virtfn_host.core.values.steps import Plan, Step
from virtfn_host.linux.act import made
from virtfn_host.linux.act.machine import look_at
from virtfn_host.process.client import HostUnreachable
from virtfn_host.process.protocol import PLAIN, Look
from virtfn_operator.agent.loop import Agent
from virtfn_operator.agent.machine import NodeMachine
from virtfn_operator.agent.not_offered import KubeletOffer, PluginReport
from virtfn_operator.agent.ports import KubeletUnreachableError, Patience
from virtfn_operator.api.node_state import write_spec
from virtfn_operator.api.patch import merge_patch
from virtfn_operator.apiserver.kube_error import KubeError

PF = PciAddress.parse("0000:01:00.0")
SWIFT = Patience(
    idle=3600, blocked=0.01, settle=0, retry=0.01, retry_limit=0.02, withdraw=0.05, poll=0.001, api=1, retell=0.01
)


class FakeNode:
    """Machine, host process, kubelet, device plugin, pool file and SriovNode: everything a turn talks to."""

    made: ClassVar[list["FakeNode"]] = []
    """All of this test."""

    def __init__(self, *drivers: str | None) -> None:
        """With one PF, and a VF of somebody else for each driver."""
        self.made.append(self)
        self._folder = folder_in_memory("node-")
        self.kernel = FakeKernel(self._folder / "root", pfs=1)
        self.kernel.register("vfio-pci")
        self.host = HostInMemory(self.kernel)
        self.links_asked: list[bool] = []
        self.users_asked: list[tuple[PciAddress, ...]] = []
        self.applied: list[Step] = []
        self.pods: dict[str, tuple[Pod, ...]] = {}
        self.host_away = self.kubelet_away = self.api_away = self.plugin_away = False
        self.file: PoolSet | None = None
        self.published_sets: list[PoolSet] = []
        self.handed_out: Ledger | None = None
        self.offer: dict[str, frozenset[str]] | None = None
        """What the kubelet offers; None: what is published."""
        self.kubelet = 1
        self.plugin_says = PluginReport()
        self.node_shows: dict[str, int] | None = None
        """What the Node shows; None: what is published."""
        self.node_reads = 0
        self.now = 1000.0
        self.on_publish: Callable[[PoolSet], None] = lambda _: None
        self.body: dict[str, Any] = {"metadata": {"name": "n1", "uid": "u", "generation": 1}}
        self.statuses: list[dict[str, Any]] = []
        if drivers:
            self.remake(*drivers)

    def close(self) -> None:
        self.host.close()
        shutil.rmtree(self._folder)

    # machine
    @property
    def pf(self) -> Pf:
        found = look_at(self.host.machine.sysfs, PF)
        assert isinstance(found, Pf)
        return found

    @property
    def vfs(self) -> list[PciAddress]:
        return [vf for _, vf in sorted(self.host.machine.sysfs.vf_addresses(PF).items())]

    @property
    def drivers(self) -> list[str | None]:
        return [self.host.machine.sysfs.bound_driver(vf) for vf in self.vfs]

    @property
    def original(self) -> Original | None:
        return next(iter(self.host.machine.journal.originals()), None)

    @property
    def boot_id(self) -> str:
        return self.host.machine.sysfs.boot_id()

    # what others do to it
    def remake(self, *drivers: str | None) -> None:
        """Other VFs in the place of those that are there, each on its driver."""
        folder = self.kernel.devices / str(PF)
        autoprobe = (folder / "sriov_drivers_autoprobe").read_text()
        self.kernel.write(folder / "sriov_drivers_autoprobe", "0")
        for number in (0, len(drivers)):
            self.kernel.write(folder / "sriov_numvfs", str(number))
        for index, driver in enumerate(drivers):
            if driver is not None:
                self.bind(index, driver)
        self.kernel.write(folder / "sriov_drivers_autoprobe", autoprobe)

    def unbind(self, index: int) -> None:
        vf = self.vfs[index]
        self.kernel.write(self.kernel.devices / str(vf) / "driver/unbind", str(vf))

    def bind(self, index: int, driver: str) -> None:
        """To vfio-pci by its override, which stays; to another without one in the end."""
        vf = self.vfs[index]
        if self.drivers[index] is not None:
            self.unbind(index)
        override = self.kernel.devices / str(vf) / "driver_override"
        self.kernel.write(override, driver)
        self.kernel.write(self.kernel.drivers / driver / "bind", str(vf))
        if driver != "vfio-pci":
            self.kernel.write(override, "\n")

    def open(self, index: int) -> None:
        if (vf := self.vfs[index]) not in self.kernel.vfio.opened:
            self.kernel.open_device(vf)

    def write_gets_blocked(self) -> None:
        """Somebody takes all VFs away, and waits for who has one open."""
        self.kernel.outsider = Outsider(self.kernel, self.kernel.devices / str(PF) / "sriov_numvfs", "0")

    def rename_netdev(self, *names: str) -> None:
        """The PF's netdev, or what comes back for it; without a name it goes to another network namespace."""
        folder = self.kernel.devices / str(PF) / "net"
        for netdev in folder.iterdir():
            netdev.rename(self._folder / "netdev")
        for name in names:
            (self._folder / "netdev").rename(folder / name)

    def refuse_bind(self) -> None:
        """The driver says no the next time."""
        self.kernel.fail["bind"] = errno.EINVAL

    # host
    async def observe(self, look: Look = PLAIN) -> Observation:
        self.links_asked.append(look.links)
        self.users_asked.append(look.users_of)
        if self.host_away:
            raise HostUnreachable("no host process")
        return await self.host.observe(look)

    async def apply(self, plan: Plan, on_result: Callable[[StepResult], None]) -> Report:
        def ended(result: StepResult) -> None:
            if result.outcome is Outcome.DONE:
                self.applied.append(result.step)
            on_result(result)

        return await self.host.apply(plan, ended)

    async def keep(self, kept: KeptConfig) -> None:
        if self.host_away:
            raise HostUnreachable("no host process")
        await self.host.keep(kept)

    def watch(self) -> AsyncIterator[str]:
        return self.host.watch()

    # kubelet and device plugin
    async def allocated(self) -> Mapping[str, tuple[Pod, ...]]:
        if self.kubelet_away:
            raise KubeletUnreachableError("no kubelet")
        return self.pods

    async def allocatable(self) -> frozenset[str]:
        file = self.published_sets[0] if self.plugin_away and self.published_sets else self.file
        return frozenset(str(d.address) for p in (file.pools if file else ()) for d in p.devices if d.healthy)

    async def offered(self) -> KubeletOffer:
        if self.kubelet_away:
            raise KubeletUnreachableError("no kubelet")
        ids, pools = await self.allocatable(), self.file.pools if self.file else ()
        found = {pool.resource_name: ids & {str(device.address) for device in pool.devices} for pool in pools}
        return KubeletOffer(devices=found if self.offer is None else self.offer, kubelet=self.kubelet)

    # files
    async def plugin(self) -> PluginReport:
        return self.plugin_says

    async def published(self) -> PoolSet | None:
        return self.file

    async def publish(self, pools: PoolSet) -> None:
        self.file = pools
        self.published_sets.append(pools)
        self.on_publish(pools)

    async def ledger(self) -> Ledger | None:
        return self.handed_out

    async def ledger_stamp(self) -> object:
        return self.handed_out

    # SriovNode
    @property
    def status(self) -> Mapping[str, Any]:
        return self.body.get("status") or {}

    async def ensure(self) -> Mapping[str, Any]:
        if self.api_away:
            raise KubeError(0, "no answer")
        return self.body

    async def shown(self) -> Mapping[str, int]:
        self.node_reads += 1
        if self.api_away:
            raise KubeError(0, "no answer")
        published = {p.resource_name: sum(d.healthy for d in p.devices) for p in (self.file.pools if self.file else ())}
        return published if self.node_shows is None else self.node_shows

    async def report(self, status: Mapping[str, Any]) -> None:
        if self.api_away:
            raise KubeError(0, "no answer")
        if merge_patch(self.status, status):
            self.body = {**self.body, "status": dict(status)}
            self.statuses.append(dict(status))

    # for tests
    def ask(self, wanted: NodeConfig, *, may_change: bool = True) -> dict[str, Any]:
        metadata = {**self.body["metadata"], "generation": self.body["metadata"]["generation"] + 1}
        self.body = {**self.body, "metadata": metadata, "spec": write_spec(wanted, may_change)}
        return self.body

    def agent(self, patience: Patience = SWIFT) -> Agent:
        machine = NodeMachine(host=self, kubelet=self, files=self, patience=patience, now=lambda: self.now)
        return Agent(machine=machine, node=self, patience=patience, version="1")

    def hold(self, index: int) -> None:
        self.pods[str(self.vfs[index])] = (Pod(namespace="default", name="dpdk-0"),)
        self.open(index)

    def release(self) -> None:
        self.pods.clear()
        for vf in sorted(self.kernel.vfio.opened):
            self.kernel.close_device(vf)

    @property
    def healthy(self) -> int:
        return sum(device.healthy for pool in (self.file.pools if self.file else ()) for device in pool.devices)

    def ready(self) -> tuple[str, str]:
        found = next(c for c in self.status["conditions"] if c["type"] == "Ready")
        return found["status"], found["reason"]

    def readies(self) -> list[str]:
        return [next(c["reason"] for c in s["conditions"] if c["type"] == "Ready") for s in self.statuses]

    @staticmethod
    def config(count: int = 2, driver: str = "vfio-pci") -> NodeConfig:
        pools = {"count": count, "pools": [{"resourceName": "fast", "driver": driver}] if count else []}
        spec = {"devices": [{"vendor": "8086"}], "virtualFunctions": pools}
        policy = policy_config(name="fast", uid="u1", generation=1, spec=spec)
        assert isinstance(policy, PolicyConfig)
        return NodeConfig(policies=(policy,))

    @staticmethod
    async def until(agent: Agent, true: Callable[[], bool]) -> None:
        """Run the loop until something holds."""
        running = asyncio.create_task(agent.run())
        async with asyncio.timeout(5):
            while not true():
                await asyncio.sleep(0)
                assert not running.done()
        agent.stop()
        with suppress(asyncio.CancelledError):
            await running


@pytest.fixture
def fake_node() -> Iterator[type[FakeNode]]:
    """The class, because tests cannot import from here."""
    yield FakeNode
    while FakeNode.made:
        FakeNode.made.pop().close()


@pytest.fixture
def clocked(fake_node: type[FakeNode], monkeypatch: pytest.MonkeyPatch) -> Clocked:
    monkeypatch.setattr(made, "QUIET", 0.0)
    return Clocked(fake_node())

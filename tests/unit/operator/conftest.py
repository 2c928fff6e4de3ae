"""A node in memory: machine, host process, kubelet, device plugin, files and SriovNode, as the agent meets them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from virtfn_host.core.turn.policy import policy_config
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.desired import NodeConfig, PolicyConfig
from virtfn_host.core.values.holders import Cause, Holder, Pod
from virtfn_host.core.values.model import (
    GroupMember,
    InUse,
    Inventory,
    IommuGroup,
    Observation,
    Original,
    PhysicalFunction,
    Preflight,
    Stuck,
    VirtualFunction,
)
from virtfn_host.core.values.offered import Ledger, PoolSet
from virtfn_host.core.values.reasons import Reason
from virtfn_host.core.values.steps import (
    Bind,
    Forget,
    LoadModule,
    Outcome,
    Plan,
    Probe,
    Report,
    SetAutoprobe,
    SetDriverOverride,
    SetNumVfs,
    Step,
    StepResult,
    Unbind,
)
from virtfn_host.process.client import HostUnreachable
from virtfn_operator.agent.loop import Agent
from virtfn_operator.agent.machine import NodeMachine
from virtfn_operator.agent.ports import KubeletUnreachableError, Patience
from virtfn_operator.api.node_state import write_spec
from virtfn_operator.api.patch import merge_patch
from virtfn_operator.apiserver.kube_error import KubeError

PF = PciAddress.parse("0000:01:00.0")
SWIFT = Patience(
    idle=3600, blocked=0.01, settle=0, retry=0.01, retry_limit=0.02, withdraw=0.05, poll=0.001, api=1, retell=0.01
)


def virtual(index: int, driver: str | None = None) -> VirtualFunction:
    return VirtualFunction(
        address=PciAddress(0, 1, 0x10, index),
        index=index,
        vendor="8086",
        device="10ca",
        driver=driver,
        driver_override=driver if driver == "vfio-pci" else None,
        iommu_group=20 + index,
        vfio_bound=driver == "vfio-pci",
        netdevs=(),
    )


class FakeNode:
    """Machine, host process, kubelet, device plugin, pool file and SriovNode: everything a turn talks to."""

    def __init__(self, *drivers: str | None) -> None:
        self.pf = PhysicalFunction(
            address=PF,
            vendor="8086",
            device="10c9",
            class_code="020000",
            driver="igb",
            netdevs=("ens1f0",),
            numa_node=0,
            iommu_group=10,
            total_vfs=7,
            autoprobe=True,
            vfs=tuple(virtual(n, driver) for n, driver in enumerate(drivers)),
        )
        self.original: Original | None = None
        self.links_asked: list[bool] = []
        self.applied: list[Step] = []
        self.plans: list[Plan] = []
        self.pods: dict[str, tuple[Pod, ...]] = {}
        self.open: set[PciAddress] = set()
        self.refuse: type[Step] | None = None
        self.host_away = self.kubelet_away = self.api_away = self.plugin_away = False
        self.journal_error: str | None = None
        self.stuck: Stuck | None = None
        self.preflight = Preflight()
        self.file: PoolSet | None = None
        self.published_sets: list[PoolSet] = []
        self.handed_out: Ledger | None = None
        self.on_publish: Callable[[PoolSet], None] = lambda _: None
        self.body: dict[str, Any] = {"metadata": {"name": "n1", "uid": "u", "generation": 1}}
        self.statuses: list[dict[str, Any]] = []

    # host
    async def observe(self, *, links: bool = False) -> Observation:
        self.links_asked.append(links)
        if self.host_away:
            raise HostUnreachable("no host process")
        groups = [IommuGroup(number=10, members=(GroupMember(address=PF, driver="igb", vfio_bound=False),))]
        groups += [
            IommuGroup(
                number=20 + vf.index,
                members=(GroupMember(address=vf.address, driver=vf.driver, vfio_bound=vf.vfio_bound),),
            )
            for vf in self.pf.vfs
        ]
        holders = [Holder(address=a, cause=Cause.ENABLED) for a in sorted(self.open)]
        return Observation(
            inventory=Inventory(
                boot_id="b1", kernel="6.1", pfs=(self.pf,), groups=tuple(groups), unreadable=(), drivers=("vfio-pci",)
            ),
            evidence=InUse(holders=tuple(holders)),
            originals=(self.original,) if self.original else (),
            journal_error=self.journal_error,
            stuck=self.stuck,
            preflight=self.preflight,
        )

    async def apply(self, plan: Plan, on_result: Callable[[StepResult], None]) -> Report:
        self.plans.append(plan)
        results: list[StepResult] = []
        for step in plan.steps:
            refused = self.refuse is not None and isinstance(step, self.refuse)
            failed = refused or any(r.outcome is Outcome.FAILED for r in results)
            if not failed:
                self._carry_out(step)
                self.applied.append(step)
            outcome = Outcome.FAILED if refused else Outcome.NOT_TRIED if failed else Outcome.DONE
            reason, text = (Reason.BIND_FAILED, "the driver refused") if failed else (None, "")
            results.append(StepResult(step=step, outcome=outcome, seconds=0.0, reason=reason, message=text))
            on_result(results[-1])
        return Report(results=tuple(results))

    async def watch(self) -> AsyncIterator[str]:
        yield "watching"
        await asyncio.Event().wait()

    def _carry_out(self, step: Step) -> None:
        if self.original is None and not isinstance(step, LoadModule):
            self.original = Original(
                address=PF, vendor="8086", device="10c9", num_vfs=self.pf.num_vfs, autoprobe=self.pf.autoprobe, vfs=()
            )
        match step:
            case SetNumVfs(value=value, expects=expects):
                assert self.pf.num_vfs == expects
                driver = "igbvf" if self.pf.autoprobe else None
                self.pf = replace(self.pf, vfs=tuple(virtual(n, driver) for n in range(value)))
            case SetAutoprobe(value=value):
                self.pf = replace(self.pf, autoprobe=value)
            case Unbind(function=ref):
                assert ref.address not in self.open
                self._change(ref.index, driver=None, vfio_bound=False)
            case SetDriverOverride(function=ref, value=override):
                self._change(ref.index, driver_override=override)
            case Bind(function=ref, driver=driver):
                self._change(ref.index, driver=driver, vfio_bound=driver == "vfio-pci")
            case Probe(function=ref):
                self._change(ref.index, driver="igbvf", vfio_bound=False)
            case Forget():
                self.original = None
            case _:
                pass

    def _change(self, index: int | None, **fields: Any) -> None:
        vfs = tuple(replace(vf, **fields) if vf.index == index else vf for vf in self.pf.vfs)
        self.pf = replace(self.pf, vfs=vfs)

    # kubelet and device plugin
    async def allocated(self) -> Mapping[str, tuple[Pod, ...]]:
        if self.kubelet_away:
            raise KubeletUnreachableError("no kubelet")
        return self.pods

    async def allocatable(self) -> frozenset[str]:
        file = self.published_sets[0] if self.plugin_away and self.published_sets else self.file
        return frozenset(str(d.address) for p in (file.pools if file else ()) for d in p.devices if d.healthy)

    # files
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
        machine = NodeMachine(host=self, kubelet=self, files=self, patience=patience, now=lambda: 1000.0)
        return Agent(machine=machine, node=self, patience=patience, version="1")

    def hold(self, index: int) -> None:
        self.pods[str(self.pf.vfs[index].address)] = (Pod(namespace="default", name="dpdk-0"),)
        self.open.add(self.pf.vfs[index].address)

    def release(self) -> None:
        self.pods.clear()
        self.open.clear()

    @property
    def drivers(self) -> list[str | None]:
        return [vf.driver for vf in self.pf.vfs]

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
def fake_node() -> type[FakeNode]:
    """The class, because tests cannot import from here."""
    return FakeNode

"""The proof `plan`: what `kubectl virtfn plan` prints of a random change of policies is what then happens.

A fleet in memory: nodes on fake kernels with the real agent's loop, an API server's objects, the controller's `decide`.
It converges, pods take some functions, nodes are cordoned and rollouts paused. Then the plan of a random change is
asked for, by the verb itself; the node's part runs as in its container, beside the agent and with nothing of its
memory. Then the change is applied and everybody goes on until nothing moves. Compared are: which nodes are asked for
other policies, the steps that were carried out on each PF, what stays blocked and why, what is rejected (of policies
that are not in the plan, too), which pods are evicted, who gets a turn, and in which order.
"""

import asyncio
import io
import json
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from fake_cluster import FakeCluster
from host_in_memory import HostInMemory
from kernel import FakeKernel
from memory import folder_in_memory

from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.holders import Pod
from virtfn_host.core.values.kept import KeptConfig
from virtfn_host.core.values.model import Observation
from virtfn_host.core.values.offered import Ledger, PoolSet
from virtfn_host.core.values.report import Outcome, Report, StepResult
from virtfn_host.core.values.steps import NoteClaims, Plan, describe, pf_of
from virtfn_host.process.protocol import PLAIN, Look
from virtfn_kubectl.cluster import Ran
from virtfn_kubectl.verbs import run
from virtfn_operator.agent.loop import Agent
from virtfn_operator.agent.machine import NodeMachine
from virtfn_operator.agent.not_offered import KubeletOffer, PluginReport
from virtfn_operator.agent.ports import Patience
from virtfn_operator.agent.preview_process import answered
from virtfn_operator.api.node_spec import PodId
from virtfn_operator.api.patch import patched
from virtfn_operator.controller.decide import Rules, World, decide
from virtfn_operator.controller.evict import Facts, PodOnNode

Body = dict[str, Any]
NODES = "/apis/virtfn.dev/v1alpha1/sriovnodes"
POLICIES = "/apis/virtfn.dev/v1alpha1/sriovpolicies"
MEMBERS, PODS = "/api/v1/nodes", "/api/v1/pods"
PASSES = 60
"""Passes of controller and agents within which nothing moves any more."""
QUIET = 2
"""Passes in a row in which nothing moved: then nothing will."""
START = datetime(2026, 1, 1, tzinfo=UTC)
SWIFT = Patience(retry=0.0, retry_limit=0.0, withdraw=1, poll=0.001, settle=0, reports=1_000_000)


class DiffersError(AssertionError):
    """The plan was not what then happened; the message says where, and for which seed."""


class PlanNode:
    """One node: machine, kubelet, device plugin, files and own SriovNode, as the agent meets them."""

    def __init__(self, name: str, fleet: "PlanFleet", pfs: int, total_vfs: int) -> None:
        self.name, self.fleet = name, fleet
        self._folder = folder_in_memory("plan-")
        self.kernel = FakeKernel(self._folder / "root", pfs=pfs, total_vfs=total_vfs)
        self.kernel.register("vfio-pci")
        self.host = HostInMemory(self.kernel)
        self.pods: dict[str, Pod] = {}
        """By the device that it has."""
        self.file: PoolSet | None = None
        self.done: list[tuple[str, str]] = []
        """PF and words of every step that was carried out."""
        self.agent = Agent(machine=self.machine(), node=self, patience=SWIFT, version="1")

    def machine(self) -> NodeMachine:
        """Return the machine as a new process meets it."""
        return NodeMachine(host=self, kubelet=self, files=self, patience=SWIFT, now=lambda: 1000.0)

    def close(self) -> None:
        """Remove what it has on disk."""
        self.host.close()
        shutil.rmtree(self._folder)

    @property
    def body(self) -> Body:
        """Its SriovNode."""
        return self.fleet.one(NODES, self.name)

    def free(self) -> list[PciAddress]:
        """Return functions that pods may get, as the kubelet offers them."""
        offered = [d.address for pool in (self.file.pools if self.file else ()) for d in pool.devices if d.healthy]
        sysfs = self.host.machine.sysfs
        return sorted(a for a in offered if str(a) not in self.pods and sysfs.bound_driver(a) == "vfio-pci")

    def hold(self, address: PciAddress, name: str, *, opened: bool) -> None:
        """Let a pod have a function; it may not have opened it yet."""
        self.pods[str(address)] = Pod(namespace="default", name=name)
        if opened:
            self.kernel.open_device(address)

    def end(self, name: str) -> None:
        """End a pod."""
        for device in [device for device, pod in self.pods.items() if pod.name == name]:
            del self.pods[device]
            if PciAddress.parse(device) in self.kernel.vfio.opened:
                self.kernel.close_device(PciAddress.parse(device))

    # host process, kubelet, files, own object: see virtfn_operator.agent.ports
    async def observe(self, look: Look = PLAIN) -> Observation:
        """See ports.HostProcess."""
        return await self.host.observe(look)

    async def apply(self, plan: Plan, on_result: Any) -> Report:
        """See ports.HostProcess; notes what was carried out."""

        def ended(result: StepResult) -> None:
            if not isinstance(result.step, NoteClaims):
                outcome = "" if result.outcome is Outcome.DONE else f" ({result.outcome}: {result.message})"
                self.done.append((str(pf_of(result.step)), describe(result.step) + outcome))
            on_result(result)

        return await self.host.apply(plan, ended)

    async def keep(self, kept: KeptConfig) -> None:
        """See ports.HostProcess."""
        await self.host.keep(kept)

    def watch(self) -> Any:
        """See ports.HostProcess."""
        return self.host.watch()

    async def allocated(self) -> Mapping[str, tuple[Pod, ...]]:
        """See ports.Kubelet."""
        return {device: (pod,) for device, pod in self.pods.items()}

    async def allocatable(self) -> frozenset[str]:
        """See ports.Kubelet."""
        return frozenset(str(d.address) for p in (self.file.pools if self.file else ()) for d in p.devices if d.healthy)

    async def offered(self) -> KubeletOffer:
        """See ports.Kubelet."""
        ids = await self.allocatable()
        found = {
            p.resource_name: ids & {str(d.address) for d in p.devices} for p in (self.file.pools if self.file else ())
        }
        return KubeletOffer(devices=found, kubelet=1)

    async def plugin(self) -> PluginReport:
        """See ports.Files."""
        return PluginReport()

    async def published(self) -> PoolSet | None:
        """See ports.Files."""
        return self.file

    async def publish(self, pools: PoolSet) -> None:
        """See ports.Files."""
        self.file = pools

    async def ledger(self) -> Ledger | None:
        """See ports.Files."""
        return None

    async def ledger_stamp(self) -> object:
        """See ports.Files."""
        return None

    @property
    def status(self) -> Mapping[str, Any]:
        """See ports.OwnNode."""
        return self.body.get("status") or {}

    async def ensure(self) -> Mapping[str, Any]:
        """See ports.OwnNode."""
        return self.body

    async def shown(self) -> Mapping[str, int]:
        """See ports.OwnNode."""
        return {p.resource_name: sum(d.healthy for d in p.devices) for p in (self.file.pools if self.file else ())}

    async def report(self, status: Mapping[str, Any]) -> None:
        """See ports.OwnNode."""
        self.fleet.put(NODES, {**self.body, "status": json.loads(json.dumps(dict(status)))})


@dataclass
class PlanFleet:
    """The objects, the nodes, the controller."""

    lists: dict[str, list[Any]] = field(default_factory=lambda: {NODES: [], POLICIES: [], MEMBERS: [], PODS: []})
    nodes: dict[str, PlanNode] = field(default_factory=dict)
    seconds: int = 0
    made: int = 0
    turns: list[str] = field(default_factory=list)
    """Nodes in the order in which they got a turn."""
    evicted: set[str] = field(default_factory=set)

    def one(self, path: str, name: str) -> Body:
        """Return an object."""
        found: Body = next(body for body in self.lists[path] if body["metadata"]["name"] == name)
        return found

    def put(self, path: str, body: Body) -> Body:
        """Write an object as an API server does."""
        name = body["metadata"]["name"]
        old = next((it for it in self.lists[path] if it["metadata"]["name"] == name), None)
        self.made += 1
        stored = self.stored(body, old)
        self.lists[path] = [*(it for it in self.lists[path] if it is not old), stored]
        return stored

    def stored(self, body: Body, old: Body | None) -> Body:
        """Return what an API server stores of an object."""
        metadata = body["metadata"]
        if old is None:
            more = {"uid": f"uid-{self.made}", "creationTimestamp": self.now, "generation": 1}
            return {**body, "metadata": {**more, **metadata}}
        generation = old["metadata"]["generation"] + (old.get("spec") != body.get("spec"))
        kept = {key: old["metadata"][key] for key in ("uid", "creationTimestamp")}
        status = {"status": old["status"]} if "status" in old and "status" not in body else {}
        return {**body, **status, "metadata": {**metadata, **kept, "generation": generation}}

    def remove(self, path: str, name: str) -> None:
        """Delete an object."""
        self.lists[path] = [body for body in self.lists[path] if body["metadata"]["name"] != name]

    @property
    def now(self) -> str:
        """The controller's time."""
        return (START + timedelta(seconds=self.seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")

    def add(self, name: str, labels: Mapping[str, str], pfs: int, total_vfs: int) -> None:
        """Add a node that runs the agent."""
        self.put(MEMBERS, {"metadata": {"name": name, "labels": dict(labels)}})
        self.put(NODES, {"metadata": {"name": name}})
        self.nodes[name] = PlanNode(name, self, pfs, total_vfs)
        self.put(PODS, _agent(name))

    @property
    def facts(self) -> Facts:
        """What the controller knows of Nodes and pods."""
        cordoned = (b["metadata"]["name"] for b in self.lists[MEMBERS] if (b.get("spec") or {}).get("unschedulable"))
        pods = {
            name: tuple(
                PodOnNode(id=PodId(namespace=pod.namespace, name=pod.name, uid=f"uid-of-{pod.name}"))
                for pod in sorted(set(node.pods.values()))
            )
            for name, node in self.nodes.items()
        }
        return Facts(cordoned=frozenset(cordoned), pods=pods)

    async def one_pass(self) -> bool:
        """Let the controller and then each agent look once; return whether anything moved."""
        before = json.dumps([self.lists, [node.done for node in self.nodes.values()]], sort_keys=True)
        self.seconds += 1
        world = World(policies=self.lists[POLICIES], states=self.lists[NODES], nodes=self.lists[MEMBERS])
        decision = decide(world, self.now, Rules(), facts=self.facts)
        for write in decision.writes:
            path = f"/apis/virtfn.dev/v1alpha1/{write.plural}"
            self.put(path, patched(self.one(path, write.name), json.loads(json.dumps(dict(write.patch)))))
            if write.turn:
                self.turns.append(write.name)
        for eviction in decision.evictions:
            self.evicted.add(str(eviction.pod))
            self.nodes[eviction.node].end(eviction.pod.name)
        for name in sorted(self.nodes):
            self.nodes[name].agent.see(self.nodes[name].body)
            await self.nodes[name].agent.turn()
        return before != json.dumps([self.lists, [node.done for node in self.nodes.values()]], sort_keys=True)

    async def settle(self) -> None:
        """Go on until nothing moves."""
        quiet = 0
        for _ in range(PASSES):
            quiet = 0 if await self.one_pass() else quiet + 1
            if quiet == QUIET:
                return
        raise DiffersError(f"the fleet still moves after {PASSES} passes")

    def plan(self, given: Sequence[Body], deleted: Sequence[str]) -> Any:
        """Return the document of the verb `plan`."""
        cluster = PlanCluster(self, json.dumps(given[0]) if len(given) == 1 else "\n---\n".join(map(json.dumps, given)))
        words = ["plan", "--json", *(f"--delete={name}" for name in deleted), *(["-f", "-"] if given else [])]
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err), _given(cluster.document):
            run(words, {}, cluster, START + timedelta(seconds=self.seconds + 1))
        if err.getvalue():
            raise DiffersError(f"plan complains: {err.getvalue()}")
        return json.loads(out.getvalue())


@contextmanager
def _given(text: str) -> Iterator[None]:
    before = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(text.encode()))
    try:
        yield
    finally:
        sys.stdin = before


class PlanCluster(FakeCluster):
    """kubectl on this fleet."""

    def __init__(self, fleet: PlanFleet, document: str) -> None:
        super().__init__(lists=fleet.lists)
        self.fleet, self.document = fleet, document
        self.dry_runs = 0

    def __call__(self, words: Sequence[str], seconds: float, given: str | None = None) -> Ran:
        """Answer like kubectl."""
        verb = next(word for word in words[1:] if not word.startswith("-"))
        if verb == "apply":
            body = json.loads(given or "")
            old = next(
                (it for it in self.fleet.lists[POLICIES] if it["metadata"]["name"] == body["metadata"]["name"]), None
            )
            self.dry_runs += 1  # each is a process of its own: one second later, and another uid
            made = (START + timedelta(seconds=self.fleet.seconds + self.dry_runs)).strftime("%Y-%m-%dT%H:%M:%SZ")
            more = {"creationTimestamp": made, "uid": f"uid-of-dry-run-{self.dry_runs}"}
            asked = {**body, "metadata": {**more, **body["metadata"]}}
            stored = {"kind": "SriovPolicy", **self.fleet.stored(asked, old)}
            return Ran(status=0, out=json.dumps(stored), err="")
        if verb == "exec":
            name = next(word for word in words if word.startswith("virtfn-agent-")).removeprefix("virtfn-agent-")
            machine = self.fleet.nodes[name].machine()
            found = asyncio.run(answered(machine, (given or "").encode(), version="1", domains=frozenset()))
            return Ran(status=0, out=json.dumps(found), err="")
        return super().__call__(words, seconds)


def _agent(node: str) -> Body:
    labels = {"app.kubernetes.io/name": "virtfn", "app.kubernetes.io/component": "agent"}
    return {
        "metadata": {"name": f"virtfn-agent-{node}", "namespace": "virtfn-system", "labels": labels},
        "spec": {"nodeName": node, "containers": [{"name": "agent"}, {"name": "host"}]},
        "status": {"phase": "Running"},
    }


CONTROLLER = {
    "metadata": {
        "name": "virtfn-controller-x",
        "namespace": "virtfn-system",
        "labels": {"app.kubernetes.io/name": "virtfn", "app.kubernetes.io/component": "controller"},
    },
    "spec": {
        "nodeName": "m",
        "containers": [{"name": "controller", "env": [{"name": "VIRTFN_TURN_TIMEOUT", "value": "900"}]}],
    },
    "status": {"phase": "Running"},
}

# --- random fleets and changes ---------------------------------------------------------------------------------------


def _policy(random: Random, name: str) -> Body:
    devices: Body = {"vendor": "8086", "device": "10c9"}
    if random.random() < 0.4:
        devices["address"] = f"0000:0{random.randrange(1, 3)}:00.0"
    if random.random() < 0.12:
        spec: Body = {"wholeFunctions": {"resourceName": name}}
    else:
        count = random.randrange(0, 5)
        cut = random.randrange(0, count) if count > 1 and random.random() < 0.4 else 0
        pools: list[Body] = [{"resourceName": name, "driver": random.choice(("vfio-pci", "vfio-pci", "kernel"))}]
        if cut:
            pools.insert(0, {"resourceName": f"{name}-more", "indexes": f"0-{cut - 1}" if cut > 1 else "0"})
        if random.random() < 0.15:  # no rates: without a link the kernel refuses them, which no plan can foresee
            pools[-1]["link"] = random.choice(({"vlan": 100, "trust": True}, {"mac": "Stable"}, {"spoofCheck": False}))
        fields: Body = {"count": count} if random.random() < 0.85 else {}
        if random.random() < 0.15:
            fields["mtu"] = 9000
        spec = {"virtualFunctions": {**fields, **({"pools": pools} if count or "count" not in fields else {})}}
    disruption: Body = {"maxUnavailable": random.choice((1, 1, 2, "50%"))}
    if random.random() < 0.35:
        disruption["whenInUse"] = "Evict"
    annotations = {"annotations": {"virtfn.dev/paused": "true"}} if random.random() < 0.12 else {}
    selector = {"nodeSelector": {"matchLabels": {"role": random.choice("xy")}}} if random.random() < 0.4 else {}
    return {
        "metadata": {"name": name, **annotations},
        "spec": {
            **selector,
            "priority": random.randrange(-1, 2),
            "devices": [devices],
            **spec,
            "disruption": disruption,
        },
    }


def _fleet(random: Random) -> PlanFleet:
    fleet = PlanFleet()
    fleet.lists[PODS].append(CONTROLLER)
    for number in range(random.randrange(1, 4)):
        fleet.add(f"n{number}", {"role": random.choice("xy")}, random.randrange(1, 3), random.choice((3, 4, 7)))
    for name in ("p", "q")[: random.randrange(3)]:
        body = _policy(random, name)
        body["metadata"].pop("annotations", None)
        fleet.put(POLICIES, body)
    return fleet


def _others(random: Random, fleet: PlanFleet) -> None:
    """Let pods take functions, and an administrator cordon a node."""
    for name, node in fleet.nodes.items():
        for number, address in enumerate(node.free()):
            if random.random() < 0.2:
                node.hold(address, f"pod-{name}-{number}", opened=random.random() < 0.7)
        if random.random() < 0.12:
            fleet.put(MEMBERS, {**fleet.one(MEMBERS, name), "spec": {"unschedulable": True}})


def _change(random: Random, fleet: PlanFleet) -> tuple[list[Body], list[str]]:
    names = [body["metadata"]["name"] for body in fleet.lists[POLICIES]]
    deleted = [name for name in names if random.random() < 0.25]
    left = [name for name in ("p", "q", "r") if name not in deleted]
    given = [_policy(random, name) for name in left if random.random() < 0.5]
    return (given, deleted) if given or deleted else ([_policy(random, "p")], [])


async def _settled(fleet: PlanFleet) -> None:
    await fleet.settle()
    fleet.turns.clear()
    fleet.evicted.clear()
    for node in fleet.nodes.values():
        node.done.clear()


def plans(seed: int, counted: Counter[str]) -> None:
    """Compare one plan with what then happened.

    Raises:
        DiffersError: they differ.
    """
    random = Random(seed)  # so that a run can be repeated
    fleet = _fleet(random)
    try:
        asyncio.run(_settled(fleet))
        _others(random, fleet)
        asyncio.run(_settled(fleet))
        given, deleted = _change(random, fleet)
        before = {name: node.body for name, node in fleet.nodes.items()}
        plan = fleet.plan(given, deleted)
        for body in given:
            fleet.put(POLICIES, body)
        for name in deleted:
            fleet.remove(POLICIES, name)
        asyncio.run(fleet.settle())
        _compare(plan, fleet, before, counted)
    except DiffersError as error:
        raise DiffersError(f"seed {seed}: {error}") from error
    finally:
        for node in fleet.nodes.values():
            node.close()
    counted["histories"] += 1


def _asked(body: Body) -> Any:
    return (body.get("spec") or {}).get("policies")


def _same(what: str, planned: object, happened: object) -> None:
    if planned != happened:
        raise DiffersError(f"{what}: the plan says {planned}, and then {happened}")


def _compare(plan: Any, fleet: PlanFleet, before: Mapping[str, Body], counted: Counter[str]) -> None:
    changed = sorted(name for name, node in fleet.nodes.items() if _asked(node.body) != _asked(before[name]))
    _same("nodes that are asked for other policies", [node["name"] for node in plan["nodes"]], changed)
    _same("nodes where nothing changes", plan["unchangedNodes"], len(fleet.nodes) - len(changed))
    for name in set(fleet.nodes) - set(changed):
        _same(f"steps on {name}", [], fleet.nodes[name].done)
    for node in plan["nodes"]:
        _compare_node(node, fleet, counted)
    _compare_losses(plan, fleet, before, counted)
    if any(part["waits"] for node in plan["nodes"] if not node["evict"] for part in node["devices"]):
        _same("whether something is in the way", plan["stand"] in ("Blocked", "Rejected", "Failed"), True)
    _compare_turns(plan, fleet, counted)


def _compare_node(planned: Any, fleet: PlanFleet, counted: Counter[str]) -> None:
    name, node = planned["name"], fleet.nodes[planned["name"]]
    if planned["unknown"]:
        raise DiffersError(f"{name}: unknown: {planned['unknown']}")
    turn, answer = planned["turn"], planned
    _same(f"{name}: whether it had a turn", bool(turn) and not turn["held"], name in fleet.turns)
    leaves = {pod for pod in answer["evict"] if turn and not turn["held"]}
    _same(f"{name}: pods that are evicted", leaves, {pod for pod in fleet.evicted if f"pod-{name}-" in pod})
    counted["plans that evict"] += bool(leaves)
    counted["plans that get no turn"] += bool(turn and turn["held"])
    done: dict[str, list[str]] = {}
    for pf, step in node.done:
        done.setdefault(pf, []).append(step)
    for part in answer["devices"]:
        steps = part["steps"] if part["atOnce"] or (turn and not turn["held"]) else []
        counted["steps"] += len(steps)
        counted["steps on links and MTUs"] += sum("vlan" in step or "mac" in step or "mtu" in step for step in steps)
        counted["PFs that wait"] += bool(part["waits"])
        if leaves and part["waits"]:  # when the pods have gone, more is done
            carried = done.pop(part["device"], [])
            if not part["steps"] and carried:
                counted["steps after an eviction"] += len(carried)
                wanted = part["stepsWithoutHolders"]
                _same(f"{name}: {part['device']}", wanted, _foreseeable(part["device"], wanted, carried, counted))
            continue
        _same(
            f"{name}: {part['device']}",
            steps,
            _foreseeable(part["device"], steps, done.pop(part["device"], []), counted),
        )
    still = {} if leaves else done
    _same(f"{name}: other PFs", {}, still)
    status = node.body["status"]
    if not leaves and not (turn and turn["held"]):
        parts = [part for part in answer["devices"] if not _returns(part["device"], part["steps"])]
        waits = [(wait["device"], wait["reason"]) for part in parts for wait in part["waits"]]
        blocked = [(it["device"], it["reason"]) for it in (status.get("plan") or {}).get("blocked", ())]
        _same(f"{name}: what waits", sorted(waits), sorted(blocked))
    rejected = [_rejection(it) for it in status.get("rejected", ())]
    _same(f"{name}: rejections", sorted(map(_rejection, answer["status"].get("rejected", ()))), sorted(rejected))
    counted["rejections"] += len(rejected)


def _returns(device: str, steps: list[str]) -> bool:
    """Whether a PF that was on vfio-pci gets its own driver back: until then it has no netdev."""
    return f"{device}: unbind from vfio-pci" in steps


def _foreseeable(device: str, planned: list[str], carried: list[str], counted: Counter[str]) -> list[str]:
    """Return the steps that a plan can know of. Without a netdev of the PF, it is not known which of its settings must
    be made when its own driver has it again. The agent makes them after its next look (decision 0041)."""
    if not _returns(device, planned):
        return carried
    late = [step for step in carried if step not in planned and ": set " in step and "driver_override" not in step]
    counted["settings of PFs that get their driver back"] += len(late)
    return [step for step in carried if step not in late]


def _rejection(item: Any) -> tuple[str, str, str]:
    return item["policy"], item["reason"], item["message"]


def _compare_losses(plan: Any, fleet: PlanFleet, before: Mapping[str, Body], counted: Counter[str]) -> None:
    """Compare what is said of each policy: all that is rejected of one in the plan, of another what was not before."""
    told = {(it["name"], line.split(": ", 1)[1]) for it in plan["policies"] for line in it["notGiven"]}
    given = {it["name"] for it in plan["policies"] if it["change"] != "loses"}
    happened = {
        _rejection(it)
        for name in (node["name"] for node in plan["nodes"])
        for it in fleet.nodes[name].body["status"].get("rejected", ())
        if it["policy"] in given or it not in before[name]["status"].get("rejected", ())
    }
    _same("what policies do not get", told, {(policy, f"{reason}: {text}") for policy, reason, text in happened})
    if any(reason != "NoMatchingDevice" for _, reason, _ in happened):
        _same("whether something is rejected", plan["stand"] in ("Rejected", "Failed"), True)
    counted["policies that lose"] += len(plan["policies"]) - len(given)


def _compare_turns(plan: Any, fleet: PlanFleet, counted: Counter[str]) -> None:
    planned = [node for node in plan["nodes"] if node["turn"] and not node["turn"]["held"]]
    at_once = {node["name"] for node in planned if node["turn"]["atOnce"]}
    order = list(dict.fromkeys(fleet.turns))
    _same("nodes that get a turn at once", at_once, set(order[: len(at_once)]))
    waiting = sorted((node for node in planned if not node["turn"]["atOnce"]), key=lambda node: node["turn"]["place"])
    rest = order[len(at_once) :]
    counted["plans where nodes wait for a turn"] += bool(waiting)
    if len({node["turn"]["place"] for node in waiting}) == len(
        waiting
    ):  # else several policies have queues of their own
        _same("order of the turns", [node["name"] for node in waiting], rest)

"""A cluster in memory that takes turns and evicts, and the laws that hold in it whatever happens in which order.

The controller's rules are the product's (`decide`); nodes, pods, kubelets and the API server are simulated here. A
reconcile is cut into its parts (look, each write, each eviction), and anything may happen between two of them: agents
see a spec late or lose a status, pods end and come again under the same name, budgets close and open, nodes fail or are
silent, policies are edited and paused, Nodes cordoned, clocks go on, and the controller is killed and forgets all.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from virtfn_operator.controller import turns
from virtfn_operator.controller.decide import Decision, Rules, World, Write, decide
from virtfn_operator.controller.evict import Eviction, EvictionAnswer, Facts, Said, read_pods

Body = dict[str, Any]
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
RULES = Rules(turn_timeout=900, grace=300, pause=300)
SLOTS = ("vf0", "vf1", "other")
"""Functions of each node. The policies change the first two; the third is of a PF that no policy changes."""
AFFECTED = SLOTS[:2]
BUDGET = "The disruption budget web needs 1 healthy pod and has 1 currently"


@dataclass
class Pod:
    """A pod that holds one function of a node."""

    uid: str
    name: str
    node: str
    slot: str
    daemon: bool
    budget: bool
    """Whether a PodDisruptionBudget forbids its eviction."""
    ending: bool = False


@dataclass
class Node:
    """A node: its SriovNode in the API server, and what its agent knows, wants and does."""

    body: Body
    seen: Body
    """The object as its agent saw it last."""
    done: str = ""
    """The generations of its policies that are carried out."""
    changing: bool = False
    """Whether functions are being taken away at this moment."""
    withdrawn: bool = False
    half: bool = False
    """Whether the old VFs are gone and new ones could not be made."""
    failed: bool = False
    cordoned: bool = False
    process: bool = False
    """Whether a process of no pod holds a function, too."""
    stops: dict[str, int] = field(default_factory=dict)
    """Generations of policies that failed in its turn, as the controller has seen and written, until it is well."""
    excused: int = 0
    """The generation that took its turn away as silent; until its agent sees that, it counts for nothing."""

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])

    @property
    def disturbs(self) -> bool:
        return self.changing or self.withdrawn or self.half

    def asked(self, body: Body) -> str:
        policies = body.get("spec", {}).get("policies", ())
        return ",".join(f"{policy['name']}:{policy['generation']}" for policy in policies)


@dataclass
class Cluster:
    """Everything, and the laws."""

    random: random.Random
    policies: dict[str, Body] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)
    pods: dict[str, Pod] = field(default_factory=dict)
    now: datetime = BEGIN
    made: int = 0
    answers: dict[str, EvictionAnswer] = field(default_factory=dict)
    pending: list[Callable[[], None]] = field(default_factory=list)
    """What is left of the present reconcile."""
    failures: dict[str, dict[str, int]] = field(default_factory=dict)
    """What the present reconcile has seen to have failed in a turn: generations of policies by node."""
    seen: Counter[str] = field(default_factory=Counter)
    log: list[str] = field(default_factory=list)

    # --- the API server -----------------------------------------------------------------------------------------------

    def world(self) -> World:
        return World(
            policies=list(self.policies.values()),
            states=[node.body for node in self.nodes.values()],
            nodes=[{"metadata": {"name": name, "labels": {"pool": name[0]}}} for name in self.nodes],
        )

    def facts(self) -> Facts:
        pods = {
            name: read_pods(_pod_body(pod) for pod in self.pods.values() if pod.node == name) for name in self.nodes
        }
        cordoned = frozenset(name for name, node in self.nodes.items() if node.cordoned)
        return Facts(cordoned=cordoned, pods=pods, answers=dict(self.answers))

    def of(self, policy: str) -> list[Node]:
        return [node for node in self.nodes.values() if policy in self.matching(node.name)]

    def matching(self, node: str) -> list[str]:
        """The policies of a node: `p` those of pool a, `q` all."""
        return [name for name in self.policies if name == "q" or node.startswith("a")]

    # --- the controller -----------------------------------------------------------------------------------------------

    def look(self) -> None:
        """List and decide; what is to be written comes later, unless the controller is killed."""
        world, facts = self.world(), self.facts()
        text = self.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        decision = decide(world, text, RULES, facts=facts)
        assert not decision.unreadable, decision.unreadable
        self.check(world, facts, decision)
        self.check_refusals(world, facts, text, decision)
        self.failures = {name: self.failing(node) for name, node in self.nodes.items()}
        self.pending = [lambda write=write: self.write(write) for write in decision.writes]  # type: ignore[misc]
        self.pending += [lambda eviction=one: self.evict(eviction) for one in decision.evictions]  # type: ignore[misc]
        self.pending.append(self.written)

    def written(self) -> None:
        """Note what this reconcile has seen and written: from now on it must not be forgotten."""
        for name, failures in self.failures.items():
            self.nodes[name].stops |= failures

    def failing(self, node: Node) -> dict[str, int]:
        """The policies that a node in its turn says have failed."""
        outcomes = node.body.get("status", {}).get("policies", ()) if node.body.get("spec", {}).get("mayChange") else ()
        return {one["name"]: one["generation"] for one in outcomes if one["state"] == "Failed"}

    def reconcile(self) -> None:
        self.finish()
        self.look()
        self.finish()

    def finish(self) -> None:
        while self.pending:
            self.pending.pop(0)()

    def write(self, write: Write) -> None:
        if self.random.random() < 0.05:
            self.seen["lost writes"] += 1
            self.failures = {}
            return
        if write.plural == "sriovpolicies":
            self.policies[write.name] = _merged(self.policies[write.name], write.patch)
            return
        node = self.nodes[write.name]
        node.body = _merged(node.body, write.patch)
        if "spec" in write.patch:
            node.body["metadata"]["generation"] += 1
        note = turns.read_note(node.body)
        if note is not None and note.lost and write.patch.get("spec", {}).get("mayChange") is False:
            node.excused = node.body["metadata"]["generation"]
            self.seen["turns lost"] += 1
        if write.patch.get("spec", {}).get("mayChange") is True:
            self.seen["turns"] += 1

    def evict(self, eviction: Eviction) -> None:
        """Send an eviction, as the API server judges it: by the uid, then by the budget."""
        node, pod = self.nodes[eviction.node], self.pods.get(eviction.pod.uid)
        assert node.body["spec"]["mayChange"] is True, f"{node.name}: an eviction without a turn"
        if pod is None or self.random.random() < 0.05:
            self.seen["evictions without effect"] += 1
            return
        if pod.budget:
            self.answers[pod.uid] = EvictionAnswer(said=Said.REFUSED, text=BUDGET)
            self.seen["evictions refused"] += 1
            return
        assert not pod.daemon, f"{pod.name} of a DaemonSet is evicted"
        assert pod.node == node.name, f"{pod.name} of another node is evicted"
        assert pod.slot in AFFECTED, f"{pod.name} holds {pod.slot} and is evicted"
        pod.ending = True
        self.answers[pod.uid] = EvictionAnswer(said=Said.DONE)
        self.seen["evictions"] += 1

    def killed(self) -> None:
        """End the controller at any point; the next one knows nothing."""
        self.pending, self.answers, self.failures = [], {}, {}
        self.seen["restarts of the controller"] += 1

    # --- the laws -----------------------------------------------------------------------------------------------------

    def check(self, world: World, facts: Facts, decision: Decision) -> None:
        for node in self.nodes.values():
            self.well(node)
        granted = {write.name for write in decision.writes if write.patch.get("spec", {}).get("mayChange") is True}
        for name in granted:
            assert name not in facts.cordoned, f"{name} is cordoned and has a turn"
            for policy in self.matching(name):
                assert not _paused(self.policies[policy]), f"{name} has a turn although {policy} is paused"
                assert not self.stopped(policy), f"{name} has a turn although {self.stopped(policy)} failed"
        for eviction in decision.evictions:
            status = self.nodes[eviction.node].body["status"]
            assert status["plan"]["evict"]["withdrawn"] is True, f"{eviction}: nothing is withdrawn"
            assert eviction.node not in facts.cordoned, f"{eviction}: the node is cordoned"

    def well(self, node: Node) -> None:
        """Forget the failures of a node that says that all is well, and of one whose turn has ended."""
        status = node.body.get("status", {})
        heard = status.get("observedGeneration", 0) >= node.body["metadata"]["generation"]
        states = {outcome["state"] for outcome in status.get("policies", ())}
        turn = node.body.get("spec", {}).get("mayChange")
        if (heard and not states & {"Failed", "Changing"}) or not turn:
            node.stops = {}

    def stopped(self, policy: str) -> str:
        """The node that failed in its turn, where a failure of the policy stops its rollout."""
        if self.policies[policy]["spec"]["disruption"]["onFailure"] != "Stop":
            return ""
        generation = self.policies[policy]["metadata"]["generation"]
        for node in self.of(policy):
            if "spec" in node.body and (node.stops | self.failing(node)).get(policy, 0) >= generation:
                return node.name
        return ""

    def check_refusals(self, world: World, facts: Facts, now: str, decision: Decision) -> None:
        """Without the refusals, the decision about all other nodes is the same."""
        refused = {uid for uid, answer in facts.answers.items() if answer.said is Said.REFUSED}
        if not refused:
            return
        concerned = {self.pods[uid].node for uid in refused if uid in self.pods}
        without = Facts(cordoned=facts.cordoned, pods=facts.pods)
        other = decide(world, now, RULES, facts=without)

        def rest(one: Decision) -> list[Any]:
            return [(w.name, w.patch) for w in one.writes if w.plural == "sriovnodes" and w.name not in concerned]

        assert rest(decision) == rest(other), "a refused eviction changes another node"
        assert decision.evictions == other.evictions or concerned, "a refused eviction changes another one"

    def check_limits(self) -> None:
        """Never more nodes of a policy in a disruptive change than it allows."""
        for name, policy in self.policies.items():
            limit = policy["spec"]["disruption"]["maxUnavailable"]
            busy = [node.name for node in self.of(name) if node.disturbs and not (node.excused or self.silent(node))]
            assert len(busy) <= limit, f"{name} allows {limit}, and these are in a change: {busy}"

    def silent(self, node: Node) -> bool:
        """Whether a node has not seen for `turn_timeout` seconds that its turn has ended: it is not waited for."""
        note = turns.read_note(node.body)
        if note is None or note.closes is None or node.seen["metadata"]["generation"] >= note.closes:
            return False
        return (self.now - note.heard).total_seconds() >= RULES.turn_timeout

    # --- the nodes ----------------------------------------------------------------------------------------------------

    def sees(self, node: Node) -> None:
        late = self.silent(node) or bool(node.excused)
        node.seen = node.body
        node.excused = 0
        if late and not self.may(node):
            self.rest(node)

    def may(self, node: Node) -> bool:
        return bool(node.seen.get("spec", {}).get("mayChange"))

    def rest(self, node: Node) -> None:
        """Without a turn nothing is withdrawn and nothing of what exists is taken away."""
        node.withdrawn = node.changing = node.half = False

    def round(self, node: Node) -> None:
        """One round of the agent: with what it knows of its spec, and what it sees on the machine."""
        asked = node.asked(node.seen)
        wants = bool(asked) and node.done != asked
        holders = [pod for pod in self.pods.values() if pod.node == node.name and pod.slot in AFFECTED]
        evicts = wants and not node.half and bool(holders) and self.evicting(node) and not node.process
        free = wants and not (holders or node.process) and not node.half
        node.failed = node.failed and wants
        if not self.may(node):
            self.rest(node)
        elif free and not node.changing:
            node.withdrawn = node.changing = True
            self.seen["changes"] += 1
        elif evicts:
            node.withdrawn = node.withdrawn or self.random.random() < 0.7  # the kubelet may take its time
        elif not node.changing:
            node.withdrawn = False
        self.check_limits()
        self.says(node, asked, wants=wants, evicts=evicts, holders=holders)

    def evicting(self, node: Node) -> bool:
        return all(p.get("whenInUse") == "Evict" for p in node.seen["spec"]["policies"])

    def says(self, node: Node, asked: str, *, wants: bool, evicts: bool, holders: list[Pod]) -> None:
        if "spec" not in node.seen or self.random.random() < 0.1:
            return
        state, reason = "Ready", "Converged"
        if node.failed and self.random.random() < 0.6:
            state, reason = "Failed", "BindFailed"
        elif node.failed:
            state, reason = "Changing", "Changing"  # it tries again
        elif wants and (holders or node.process) and not evicts and not node.changing:
            state, reason = "Blocked", "VfsInUse"
        elif wants:
            state = "Changing"
            reason = ("Evicting" if evicts else "Changing") if self.may(node) else "WaitingForTurn"
        disruptive = wants and not node.half and (evicts or node.changing or not (holders or node.process))
        plan: Body = {"steps": 3, "disruptive": disruptive}
        if evicts:
            named = [{"device": "pf0", "namespace": "default", "name": pod.name} for pod in holders]
            plan["evict"] = {"withdrawn": node.withdrawn and self.may(node), "pods": named}
        outcomes = [
            {"name": p["name"], "uid": p["uid"], "generation": p["generation"], "state": state, "reason": reason}
            for p in node.seen["spec"]["policies"]
        ]
        status = {"observedGeneration": node.seen["metadata"]["generation"], "policies": outcomes}
        node.body = {**node.body, "status": {**status, **({"plan": plan} if wants else {})}}

    def ends(self, node: Node) -> None:
        """The change of a node ends, well or not."""
        if not node.changing:
            return
        node.changing = False
        if self.random.random() < 0.3:
            node.failed, node.half = True, self.random.random() < 0.5
            node.withdrawn = node.half
            self.seen["changes that failed"] += 1
        else:
            node.done, node.failed, node.withdrawn = node.asked(node.seen), False, False

    def tries_again(self, node: Node) -> None:
        """What is half done disturbs nothing that exists, so it goes on without a turn."""
        if node.half and self.random.random() < 0.5:
            node.half = node.failed = node.withdrawn = False
            node.done = node.asked(node.seen)

    # --- pods ---------------------------------------------------------------------------------------------------------

    def starts(self, node: Node) -> None:
        """A pod gets a function that is on offer; it may have the name of one that has ended."""
        held = {pod.slot for pod in self.pods.values() if pod.node == node.name}
        away = set(AFFECTED) if node.withdrawn or node.changing else set()
        free = [slot for slot in SLOTS if slot not in held | away]
        if not free:
            return
        taken = {pod.name for pod in self.pods.values()}
        names = [name for name in ("web-0", "web-1", "web-2", "web-3") if name not in taken]
        if not names:
            return
        self.made += 1
        pod = Pod(
            uid=f"u{self.made}",
            name=self.random.choice(names),
            node=node.name,
            slot=self.random.choice(free),
            daemon=self.random.random() < 0.05,
            budget=self.random.random() < 0.3,
        )
        self.pods[pod.uid] = pod

    def pod_ends(self) -> None:
        if self.pods:
            del self.pods[self.random.choice(sorted(self.pods))]

    def evicted_pod_ends(self) -> None:
        for uid in [uid for uid, pod in self.pods.items() if pod.ending]:
            del self.pods[uid]

    def budget_moves(self) -> None:
        if self.pods:
            pod = self.pods[self.random.choice(sorted(self.pods))]
            pod.budget = not pod.budget

    # --- people -------------------------------------------------------------------------------------------------------

    def edits(self) -> None:
        name = self.random.choice(sorted(self.policies))
        policy = self.policies[name]
        metadata = {**policy["metadata"], "generation": policy["metadata"]["generation"] + 1}
        self.policies[name] = {**policy, "metadata": metadata}
        self.seen["edits"] += 1

    def pauses(self) -> None:
        name = self.random.choice(sorted(self.policies))
        policy = self.policies[name]
        value = "false" if _paused(policy) else "true"
        self.policies[name] = _merged(policy, {"metadata": {"annotations": {"virtfn.dev/paused": value}}})


def _pod_body(pod: Pod) -> Body:
    owners = [{"kind": "DaemonSet", "name": "d", "controller": True}] if pod.daemon else []
    metadata = {"namespace": "default", "name": pod.name, "uid": pod.uid, "ownerReferences": owners}
    return {"metadata": {**metadata, **({"deletionTimestamp": "now"} if pod.ending else {})}}


def _paused(policy: Body) -> bool:
    return bool(policy["metadata"].get("annotations", {}).get("virtfn.dev/paused") == "true")


def _merged(old: Any, patch: Any) -> Any:
    if not isinstance(patch, Mapping):
        return patch
    whole = {**(old or {}), **{key: _merged((old or {}).get(key), value) for key, value in patch.items()}}
    return {key: value for key, value in whole.items() if value is not None}


def a_policy(name: str, limit: int, when: str, failure: str) -> Body:
    spec: Body = {
        "devices": [{"vendor": "8086"}],
        "virtualFunctions": {"count": 2, "pools": [{"resourceName": name, "indexes": "0" if name == "p" else "1"}]},
        "disruption": {"maxUnavailable": limit, "whenInUse": when, "onFailure": failure},
    }
    if name == "p":
        spec["nodeSelector"] = {"matchLabels": {"pool": "a"}}
    return {"metadata": {"name": name, "uid": f"u-{name}", "generation": 1}, "spec": spec}


def a_cluster(seed: int) -> Cluster:
    """Make a cluster of two policies and up to five nodes, all of which want a change."""
    rng = random.Random(seed)
    found = Cluster(random=rng)
    for name in ("p", "q"):
        when = rng.choices(("Evict", "Wait"), (6, 1))[0]
        found.policies[name] = a_policy(name, rng.choice((1, 1, 2)), when, rng.choice(("Stop", "Continue")))
    for number in range(rng.randint(2, 5)):
        name = f"{rng.choice('ab')}{number}"
        body: Body = {"metadata": {"name": name, "generation": 1}}
        found.nodes[name] = Node(body=body, seen=body)
        for _ in range(rng.randint(0, 3)):
            found.starts(found.nodes[name])
    return found


def steps(cluster: Cluster) -> Iterator[tuple[str, Callable[[], None]]]:
    """Everything that can happen next, each with its name; what is named more often happens more often."""
    rng = cluster.random
    node = cluster.nodes[rng.choice(sorted(cluster.nodes))]

    def part() -> None:
        if cluster.pending:
            cluster.pending.pop(0)()
        else:
            cluster.look()

    def acts() -> None:
        cluster.sees(node)
        cluster.round(node)

    def cordons() -> None:
        node.cordoned = not node.cordoned

    def process() -> None:
        node.process = not node.process and rng.random() < 0.3

    def time() -> None:
        cluster.now += timedelta(seconds=rng.choice((1, 10, 60, 200, 1000)))

    every: list[tuple[int, Callable[[], None]]] = [
        (8, cluster.reconcile),
        (8, part),
        (44, acts),
        (6, lambda: cluster.sees(node)),
        (10, lambda: cluster.round(node)),
        (10, lambda: cluster.ends(node)),
        (6, lambda: cluster.tries_again(node)),
        (8, lambda: cluster.starts(node)),
        (2, cluster.pod_ends),
        (6, cluster.evicted_pod_ends),
        (3, cluster.budget_moves),
        (1, cluster.edits),
        (1, cluster.pauses),
        (1, cordons),
        (1, process),
        (4, time),
        (2, cluster.killed),
    ]
    weights, actions = zip(*every, strict=True)
    chosen = rng.choices(range(len(actions)), weights)[0]
    yield f"{getattr(actions[chosen], '__name__', '')} {chosen} {node.name}", actions[chosen]


def history(seed: int, length: int = 120) -> Counter[str]:
    """Run one history; return how often what happened. An AssertionError has the history as a note."""
    cluster = a_cluster(seed)
    cluster.reconcile()
    try:
        for _ in range(length):
            for name, step in steps(cluster):
                cluster.log.append(name)
                step()
                cluster.check_limits()
    except AssertionError as error:
        error.add_note(f"history {seed}: {'; '.join(cluster.log)}")
        raise
    cluster.seen["histories"] += 1
    return cluster.seen

"""A cluster in memory that takes turns and evicts, and the laws that hold in it whatever happens in which order.

The controller's rules are the product's (`decide`); nodes, pods, kubelets and the API server are simulated here. A
reconcile is cut into its parts (look, each write, each eviction), and anything may happen between two of them: agents
see a spec late or lose a status, pods end and come again under the same name, budgets close and open, nodes fail or are
silent, policies are edited and paused, Nodes cordoned and labelled, clocks go on, and the controller is killed and
forgets all. In the end it becomes quiet, but for one thing that stays wrong (`rollout_calm.py`).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from rollout_calm import becomes_calm
from rollout_nodes import OF_SLOT, SLOTS, Body, Node, Part, Pod, generations

from virtfn_host.core.values.desired import PolicyConfig
from virtfn_operator.api.node_state import read_node
from virtfn_operator.api.policy import read_policy
from virtfn_operator.controller import turns
from virtfn_operator.controller.decide import Decision, Rules, World, Write, decide
from virtfn_operator.controller.evict import Eviction, EvictionAnswer, Facts, Said, read_pods

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
RULES = Rules(turn_timeout=900, grace=300, pause=300)
POOLS = {"p": ("a", "c"), "q": ("a", "b")}
"""The policies, each with the labels of its nodes."""
BUDGET = "The disruption budget web needs 1 healthy pod and has 1 currently"


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
    calm: bool = False
    """Whether changes go well, except those that are cursed."""
    seen: Counter[str] = field(default_factory=Counter)
    log: list[str] = field(default_factory=list)

    # --- the API server -----------------------------------------------------------------------------------------------

    def world(self) -> World:
        return World(
            policies=list(self.policies.values()),
            states=[node.body for node in self.nodes.values()],
            nodes=[{"metadata": {"name": name, "labels": {"pool": node.pool}}} for name, node in self.nodes.items()],
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
        """The policies of a node."""
        return [name for name in self.policies if self.nodes[node].pool in POOLS[name]]

    def wants(self, node: Node, policy: str) -> bool:
        """Whether a policy as it is now is not carried out there yet."""
        return bool(node.parts[policy].done != self.policies[policy]["metadata"]["generation"])

    # --- the controller -----------------------------------------------------------------------------------------------

    def look(self) -> None:
        """List and decide; what is to be written comes later, unless the controller is killed."""
        world, facts = self.world(), self.facts()
        text = self.now.strftime("%Y-%m-%dT%H:%M:%SZ")
        decision = decide(world, text, RULES, facts=facts)
        assert not decision.unreadable, decision.unreadable
        self.check(world, facts, decision)
        for node in filter(self.silent, self.nodes.values()):  # from now on its place is another node's
            node.excused = node.body["metadata"]["generation"]
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
            self.failures.pop(write.name, None)
            return
        if write.plural == "sriovpolicies":
            self.policies[write.name] = _merged(self.policies[write.name], write.patch)
            return
        node = self.nodes[write.name]
        node.body = _merged(node.body, write.patch)
        node.stops |= self.failures.get(write.name, {})
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
            self.answers[eviction.pod.uid] = EvictionAnswer(said=Said.LATER, text="503: busy")
            return
        if pod.budget:
            self.answers[pod.uid] = EvictionAnswer(said=Said.REFUSED, text=BUDGET)
            self.seen["evictions refused"] += 1
            return
        assert not pod.daemon, f"{pod.name} of a DaemonSet is evicted"
        assert pod.node == node.name, f"{pod.name} of another node is evicted"
        assert self.says_evict(OF_SLOT.get(pod.slot, "")), f"{pod.name} holds {pod.slot} and is evicted"
        pod.until = self.now + timedelta(seconds=self.random.choice((1, 30, 30, 3600)))
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
        for write in decision.writes:
            if write.plural == "sriovnodes":
                self.check_write(write, facts)
        for eviction in decision.evictions:
            status = self.nodes[eviction.node].body["status"]
            assert status["plan"]["evict"]["withdrawn"] is True, f"{eviction}: nothing is withdrawn"
            assert eviction.node not in facts.cordoned, f"{eviction}: the node is cordoned"

    def check_write(self, write: Write, facts: Facts) -> None:
        """Neither a turn nor an edit that comes with one is for a policy that is held back, or for a cordoned node."""
        name, spec = write.name, write.patch.get("spec", {})
        before = self.nodes[name].body.get("spec", {})
        if not spec.get("mayChange", before.get("mayChange")):
            return
        old = generations(before)
        edited = {it for it, number in generations({**before, **spec}).items() if old.get(it) != number}
        brought = self.matching(name) if spec.get("mayChange") else edited
        assert not (brought and name in facts.cordoned), f"{name} is cordoned and may change {brought}"
        for policy in brought:
            assert not _paused(self.policies[policy]), f"{name} may change although {policy} is paused"
            assert not (other := self.stopped(policy, name)), f"{name} may change {policy} although {other} failed"

    def well(self, node: Node) -> None:
        """Forget the failures of policies that a node says are well, or that it has no more."""
        status = node.body.get("status", {})
        heard = node.answered >= node.body["metadata"]["generation"]
        ill = ("Failed", "Changing", "Blocked")
        well = {one["name"] for one in status.get("policies", ()) if one["state"] not in ill}
        mine = self.matching(node.name)
        node.stops = {it: number for it, number in node.stops.items() if it in mine and not (heard and it in well)}

    def stopped(self, policy: str, but: str) -> str:
        """The node that failed in its turn, where a failure of the policy holds up this one: not if it failed, too."""
        if self.policies[policy]["spec"]["disruption"]["onFailure"] != "Stop":
            return ""
        generation = self.policies[policy]["metadata"]["generation"]
        failed = [
            node.name
            for node in self.of(policy)
            if "spec" in node.body and (node.stops | self.failing(node)).get(policy, 0) >= generation
        ]
        return "" if but in failed or not failed or self.noted(policy, but) else failed[0]

    def noted(self, policy: str, node: str) -> bool:
        """Whether the controller has noted that a policy failed there."""
        note, config = turns.read_note(self.nodes[node].body), read_policy(self.policies[policy], frozenset()).config
        return note is not None and isinstance(config, PolicyConfig) and turns.failed_in(note, config)

    def check_refusals(self, world: World, facts: Facts, now: str, decision: Decision) -> None:
        """Without the refusals, the decision about all other nodes is the same."""
        refused = {uid for uid, answer in facts.answers.items() if answer.said is not Said.DONE}
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
            parts = [(node, node.parts[name]) for node in self.of(name)]
            parts = [(node, part) for node, part in parts if part.disturbs and not part.was_left]
            busy = [node.name for node, part in parts if not (node.excused or self.silent(node))]
            assert len(busy) <= limit, f"{name} allows {limit}, and these are in a change: {busy}"

    def silent(self, node: Node) -> bool:
        """Whether a node has not answered for too long that its turn has ended: it is not waited for."""
        note = turns.read_note(node.body)
        if note is None or note.closes is None or node.answered >= note.closes:
            return False
        if self.now - note.granted >= timedelta(seconds=turns.MOST * RULES.turn_timeout):
            return True
        late = self.now - note.heard >= timedelta(seconds=RULES.turn_timeout)
        return late and read_node(node.body).word == note.word

    # --- the nodes ----------------------------------------------------------------------------------------------------

    def sees(self, node: Node) -> None:
        if node.dead:
            return
        late = self.silent(node) or bool(node.excused)
        node.seen = node.body
        node.excused = 0
        if late and not node.may:
            node.rest()

    def holders(self, node: Node, policy: str) -> list[Pod]:
        """The pods that hold what a policy changes there."""
        return [pod for pod in self.pods.values() if pod.node == node.name and OF_SLOT.get(pod.slot) == policy]

    def says_evict(self, policy: str) -> bool:
        return policy in self.policies and self.policies[policy]["spec"]["disruption"]["whenInUse"] == "Evict"

    def round(self, node: Node) -> None:
        """One round of the agent: with what it knows of its spec, and what it sees on the machine."""
        if node.dead:
            return
        asked = generations(node.seen.get("spec", {}))
        if not node.may:
            node.rest()
        for policy, part in node.parts.items():
            if policy not in asked:
                part.rest()
                continue
            part.wants = part.done != asked[policy]
            part.held = bool(self.holders(node, policy)) or node.process == policy
            part.evicts = part.wants and not part.half and self.says_evict(policy) and node.process != policy
            part.evicts = part.evicts and part.held
            part.failed = part.failed and part.wants
            self.goes_on(node, part)
        self.check_limits()
        if "spec" in node.seen and self.random.random() >= 0.1:
            pods = [(it, pod.name) for it in asked if node.parts[it].evicts for pod in self.holders(node, it)]
            node.body = {**node.body, "status": node.status(self.random, pods)}

    def goes_on(self, node: Node, part: Part) -> None:
        """Go on with the change of one PF."""
        if node.may and part.free and not part.changing:
            part.withdrawn, part.changing, part.failed = True, True, False  # it tries again
            self.seen["changes"] += 1
        elif node.may and part.evicts:
            part.failed = False
            part.withdrawn = part.withdrawn or self.random.random() < 0.7  # the kubelet may take its time
        elif not part.changing:
            part.withdrawn = False

    def ends(self, node: Node) -> None:
        """The changes of a node end, each well or not."""
        asked = generations(node.seen.get("spec", {}))
        for policy, part in node.parts.items():
            if not part.changing or node.dead:
                continue
            part.changing = False
            if part.cursed or (not self.calm and self.random.random() < 0.3):
                part.failed, part.half = True, self.random.random() < 0.5
                part.withdrawn = part.half
                self.seen["changes that failed"] += 1
            else:
                part.done, part.failed, part.withdrawn, part.was_left = asked.get(policy, 0), False, False, False

    def tries_again(self, node: Node) -> None:
        """What is half done disturbs nothing that exists, so it goes on without a turn."""
        asked = generations(node.seen.get("spec", {}))
        for policy, part in node.parts.items():
            if part.half and not part.cursed and not node.dead and self.random.random() < 0.5:
                part.half = part.failed = part.withdrawn = part.was_left = False
                part.done = asked.get(policy, 0)

    # --- pods ---------------------------------------------------------------------------------------------------------

    def starts(self, node: Node) -> None:
        """A pod gets a function that is on offer; it may have the name of one that has ended."""
        held = {pod.slot for pod in self.pods.values() if pod.node == node.name}
        away = {slot for slot, policy in OF_SLOT.items() if node.parts[policy].withdrawn or node.parts[policy].changing}
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
            hangs=self.random.random() < 0.03,
        )
        self.pods[pod.uid] = pod

    def pod_ends(self) -> None:
        if self.pods:
            del self.pods[self.random.choice(sorted(self.pods))]

    def evicted_pod_ends(self) -> None:
        """Where the kubelet is alive, and unless the pod hangs in its deletion."""
        for uid in [uid for uid, pod in self.pods.items() if pod.ending and not self.nodes[pod.node].dead]:
            if not self.pods[uid].hangs:
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

    def labels(self, node: Node) -> None:
        before = self.matching(node.name)
        node.pool = self.random.choice("abc")
        for name in set(before).difference(self.matching(node.name)):
            node.parts[name].was_left = node.parts[name].disturbs

    def pauses(self) -> None:
        name = self.random.choice(sorted(self.policies))
        policy = self.policies[name]
        value = "false" if _paused(policy) else "true"
        self.policies[name] = _merged(policy, {"metadata": {"annotations": {"virtfn.dev/paused": value}}})


def _pod_body(pod: Pod) -> Body:
    owners = [{"kind": "DaemonSet", "name": "d", "controller": True}] if pod.daemon else []
    metadata = {"namespace": "default", "name": pod.name, "uid": pod.uid, "ownerReferences": owners}
    return {"metadata": {**metadata, **({"deletionTimestamp": pod.until.isoformat()} if pod.until else {})}}


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
    spec["nodeSelector"] = {"matchExpressions": [{"key": "pool", "operator": "In", "values": list(POOLS[name])}]}
    return {"metadata": {"name": name, "uid": f"u-{name}", "generation": 1}, "spec": spec}


def a_cluster(seed: int) -> Cluster:
    """Make a cluster of two policies on two PFs and up to five nodes, all of which want a change."""
    rng = random.Random(seed)
    found = Cluster(random=rng)
    for name in ("p", "q"):
        when = rng.choices(("Evict", "Wait"), (6, 1))[0]
        found.policies[name] = a_policy(name, rng.choice((1, 1, 2)), when, rng.choice(("Stop", "Continue")))
    for number in range(rng.randint(2, 5)):
        pool = rng.choice("abc")
        name = f"{pool}{number}"
        body: Body = {"metadata": {"name": name, "generation": 1}}
        found.nodes[name] = Node(body=body, seen=body, pool=pool, parts={policy: Part() for policy in found.policies})
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
        node.process = rng.choice("pq") if not node.process and rng.random() < 0.3 else ""

    def dies() -> None:
        node.dead = not node.dead and rng.random() < 0.3

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
        (1, dies),
        (1, lambda: cluster.labels(node)),
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
        becomes_calm(cluster)
    except AssertionError as error:
        error.add_note(f"history {seed}: {'; '.join(cluster.log)}")
        raise
    cluster.seen["histories"] += 1
    return cluster.seen

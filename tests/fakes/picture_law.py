"""The proof `picture`: what is decided one change at a time is what is decided from everything, after any events.

A history is a random sequence: objects are made, edited, broken and deleted; the watches tell of it late, each kind by
itself; lists are read, or missed deletions found by them; what is decided is written, and some answers are lost. After
each decision it is compared with `decide_all` over what the picture knows, and with that in another order. When the
watches have caught up, it is compared with `decide` over the objects themselves. Evictions and refusals count as writes
do. What is known of pods is another thing at each decision.
"""

import json
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

from virtfn_operator.api.node_spec import PodId
from virtfn_operator.controller.decide import Decision, Rules, SeenWorld, World, Write, decide, decide_all
from virtfn_operator.controller.decider import Decider, world_of
from virtfn_operator.controller.evict import EvictionAnswer, Facts, PodOnNode, Said
from virtfn_operator.controller.known import Comparison, Listing
from virtfn_operator.controller.order import in_order
from virtfn_operator.controller.picture import ObjectKind, Picture
from virtfn_operator.controller.see import SeenState

Body = dict[str, Any]
Step = Callable[[Random, "Store", str], None]
GIVEN = ("labels", "annotations", "creationTimestamp", "deletionTimestamp")
"""Metadata that an API server takes from a request."""

NAMES = ("a", "b", "c", "d", "e")
RULES = Rules(turn_timeout=300, grace=60, pause=60)


class ViolatedError(AssertionError):
    """A law did not hold; the message says which, and for which seed."""


class Store:
    """Objects as an API server has them, and what its watches have not told yet."""

    def __init__(self) -> None:
        self.objects: dict[ObjectKind, dict[str, Body]] = {kind: {} for kind in ObjectKind}
        self.untold: dict[ObjectKind, list[tuple[str, Body]]] = {kind: [] for kind in ObjectKind}
        self.version = 0

    def put(self, kind: ObjectKind, name: str, body: Body) -> Body:
        """Write an object."""
        self.version += 1
        old = self.objects[kind].get(name)
        generation = old["metadata"]["generation"] + (old.get("spec") != body.get("spec")) if old else 1
        uid = old["metadata"]["uid"] if old else f"{name}-{self.version}"
        given = {key: value for key, value in body.get("metadata", {}).items() if key in GIVEN}
        metadata = {**given, "name": name, "uid": uid, "generation": generation, "resourceVersion": str(self.version)}
        self.objects[kind][name] = {**body, "metadata": metadata}
        self.untold[kind].append(("MODIFIED" if old else "ADDED", self.objects[kind][name]))
        return self.objects[kind][name]

    def delete(self, kind: ObjectKind, name: str, *, told: bool = True) -> None:
        """Delete an object if it is there."""
        if (body := self.objects[kind].pop(name, None)) is not None:
            self.version += 1
            metadata = {**body["metadata"], "resourceVersion": str(self.version)}
            if told:
                self.untold[kind].append(("DELETED", {**body, "metadata": metadata}))

    def patch(self, write: Write) -> Body | None:
        """Carry out a write; None where it is refused."""
        kind = ObjectKind(write.plural)
        old = self.objects[kind].get(write.name)
        wanted = write.patch.get("metadata", {}).get("resourceVersion")
        if old is None or (wanted is not None and wanted != old["metadata"]["resourceVersion"]):
            return None
        return self.put(kind, write.name, _merged(old, json.loads(json.dumps(dict(write.patch)))))

    def world(self) -> World:
        """Return the objects as lists."""
        lists = {kind: list(objects.values()) for kind, objects in self.objects.items()}
        policies, states = lists[ObjectKind.POLICY], lists[ObjectKind.STATE]
        return World(policies=policies, states=states, nodes=lists[ObjectKind.NODE])


def _merged(old: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    whole = {**(old if isinstance(old, dict) else {})}
    for key, value in patch.items():
        if value is None:
            whole.pop(key, None)
        else:
            whole[key] = _merged(whole.get(key), value)
    return whole


class Leader:
    """A controller: its picture and what it decides."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.picture = Picture(RULES.domains)
        self.decider = Decider(RULES)
        for kind in ObjectKind:
            self.list(kind)

    def list(self, kind: ObjectKind) -> None:
        """Read a list; the watch goes on from there."""
        listing = Listing(self.picture.objects[kind])
        listing.page(self.store.objects[kind].values())
        self.picture.listed(kind, listing, str(self.store.version))

    def hear(self, kind: ObjectKind, number: int) -> None:
        """Take over that many events of a watch."""
        told, self.store.untold[kind] = self.store.untold[kind][:number], self.store.untold[kind][number:]
        for event, body in told:
            self.picture.objects[kind].tell(event, body)

    def catch_up(self) -> None:
        """Take over all events."""
        for kind in ObjectKind:
            self.hear(kind, len(self.store.untold[kind]))

    def decide(self, now: str, *, jumped: bool = False, facts: Facts | None = None) -> Decision:
        """Decide from what changed."""
        self.decider.take(self.picture.changes())
        return self.decider.decide(now, jumped=jumped, facts=facts or Facts(cordoned=self.picture.cordoned))

    def write(self, random: Random, writes: tuple[Write, ...], counted: Counter[str]) -> None:
        """Write in the order of the controller; some answers, or the requests themselves, are lost."""
        order = in_order(writes)
        for write in (*order.ends, *order.rest, *order.grants):
            self._write(random, write, counted)

    def _write(self, random: Random, write: Write, counted: Counter[str]) -> None:
        dice = random.random()
        body = None if dice < 0.1 else self.store.patch(write)
        if dice < 0.2:
            counted["writes without an answer"] += 1
            if write.turn:
                self.picture.objects[ObjectKind.STATE].promise(write.name)
        elif body is None:
            counted["writes refused"] += 1
        else:
            counted["writes"] += 1
            self.picture.objects[ObjectKind(write.plural)].answer(body)


def history(seed: int, counted: Counter[str], *, steps: int = 24) -> None:
    """Run one history.

    Raises:
        ViolatedError: a decision is another one than from everything.
    """
    random = Random(seed)  # so that a run can be repeated
    store = Store()
    quiet = random.random() < 0.5
    names = NAMES[: random.randrange(1, 4 if quiet else 6)]
    for name in names:
        store.put(ObjectKind.NODE, name, _node(random))
        store.put(ObjectKind.STATE, name, {})
    for name in NAMES[:2] if quiet else ():
        store.put(ObjectKind.POLICY, name, _policy(random, name))
    leader, seconds = Leader(store), 0
    for _ in range(steps):
        random.choice(QUIET if quiet else STEPS)(random, store, random.choice(names if quiet else NAMES))
        if quiet and random.random() < 0.7:
            leader.hear(ObjectKind.STATE, 9)
        dice = random.random()
        if dice < 0.4:
            leader.hear(random.choice(tuple(ObjectKind)), random.randrange(1, 4))
        elif dice < 0.45:
            kind = random.choice(tuple(ObjectKind))
            store.untold[kind] = []
            leader.list(kind)
        elif dice < 0.48:
            leader.catch_up()
            leader = Leader(store)
            counted["leaders"] += 1
        if random.random() < 0.4:
            seconds = max(0, seconds + random.choice((1, 30) * 9 * quiet + (1, 30, 500, 1000, -400)))
            now, jumped = _time(seconds), random.random() < 0.05
            facts = _facts(random, leader.picture.cordoned)
            decision = leader.decide(now, jumped=jumped, facts=facts)
            known = _known(leader.picture, random)
            _compare(seed, decision, decide_all(known, now, RULES, jumped=jumped, facts=facts))
            counted["evictions"] += len(decision.evictions)
            counted["refusals"] += len(decision.refusals)
            leader.write(random, decision.writes, counted)
            counted["decisions"] += 1
    for kind in ObjectKind:
        if random.random() < 0.5:
            name = random.choice(NAMES)
            store.delete(kind, name, told=False)
            leader.hear(kind, len(store.untold[kind]))
            leader.list(kind)
    leader.catch_up()
    _check(seed, leader, store)
    now = _time(seconds + 1)
    facts = _facts(random, frozenset(store.objects[ObjectKind.CORDON]))
    _compare(seed, _unpromised(leader, now, facts), decide(store.world(), now, RULES, facts=facts))
    counted["histories"] += 1


def _facts(random: Random, cordoned: frozenset[str]) -> Facts:
    """Return what is known of Nodes and pods at one moment."""
    if random.random() < 0.2:
        return Facts(cordoned=cordoned)
    pods: dict[str, tuple[PodOnNode, ...] | str] = {}
    for name in NAMES:
        if random.random() < 0.8:
            pods[name] = tuple(_pod(random, pod, name) for pod in ("web-0", "web-1") if random.random() < 0.8)
        elif random.random() < 0.5:
            pods[name] = "forbidden"
    return Facts(
        cordoned=cordoned,
        pods=pods,
        answers={
            f"{pod}-{name}": EvictionAnswer(said=random.choice(list(Said)), text="the budget")
            for name in NAMES
            for pod in ("web-0", "web-1")
            if random.random() < 0.5
        },
        refusals={name: random.choice(("the budget", "no right")) for name in NAMES if random.random() < 0.3},
    )


def _pod(random: Random, name: str, node: str) -> PodOnNode:
    pinned = "is a static pod" if random.random() < 0.2 else ""
    pod = PodId(namespace="default", name=name, uid=f"{name}-{node}")
    return PodOnNode(id=pod, pinned=pinned, ending=random.random() < 0.2)


def _unpromised(leader: Leader, now: str, facts: Facts) -> Decision:
    """Decide as if no answer were awaited: the store knows of no promise."""
    for name, known in list(leader.picture.objects[ObjectKind.STATE].known.items()):
        if isinstance(known.seen, SeenState) and known.seen.promised:
            leader.picture.objects[ObjectKind.STATE].drop(name)
    leader.list(ObjectKind.STATE)
    return leader.decide(now, facts=facts)


def _check(seed: int, leader: Leader, store: Store) -> None:
    for kind in ObjectKind:
        check = Comparison(leader.picture.objects[kind])
        check.page(store.objects[kind].values())
        if missed := check.missed(str(store.version)):
            raise ViolatedError(f"seed {seed}: the check finds {missed} of {kind}, but the watches told all")


def _known(picture: Picture, random: Random) -> SeenWorld:
    """Return what a picture knows, in any order."""
    everything = picture.everything()
    random.shuffle(everything)
    return world_of(everything)


def _compare(seed: int, one: Decision, other: Decision) -> None:
    ours, theirs = (sorted((w.plural, w.name, json.dumps(w.patch), w.turn) for w in d.writes) for d in (one, other))
    if ours != theirs:
        raise ViolatedError(f"seed {seed}: writes\n{ours}\ninstead of\n{theirs}")
    if sorted(one.unreadable) != sorted(other.unreadable):
        raise ViolatedError(f"seed {seed}: {sorted(one.unreadable)} instead of {sorted(other.unreadable)}")
    changed = [sorted((w.name, repr(w.transitions)) for w in d.writes) for d in (one, other)]
    if changed[0] != changed[1]:
        raise ViolatedError(f"seed {seed}: other transitions")
    evicted = [(sorted(map(repr, d.evictions)), dict(d.refusals)) for d in (one, other)]
    if evicted[0] != evicted[1]:
        raise ViolatedError(f"seed {seed}: evictions and refusals {evicted[0]} instead of {evicted[1]}")


def _time(seconds: int) -> str:
    return f"2026-01-01T{seconds // 3600 % 24:02}:{seconds // 60 % 60:02}:{seconds % 60:02}Z"


# --- what happens to objects -----------------------------------------------------------------------------------------


def _policy(random: Random, name: str) -> Body:
    spec: Body = {
        "priority": random.randrange(-2, 3),
        "devices": [{"vendor": "8086"}],
        "virtualFunctions": {"count": random.randrange(1, 4), "pools": [{"resourceName": f"r-{name}"}]},
        "disruption": {
            "maxUnavailable": random.choice([1, 2, "30%", "100%"]),
            "whenInUse": random.choice(["Wait", "Evict", "Evict"]),
            "onFailure": random.choice(["Stop", "Continue"]),
        },
    }
    if random.random() < 0.5:
        spec["nodeSelector"] = {"matchLabels": {"role": random.choice("xy")}}
    if random.random() < 0.15:
        spec["devices"] = random.choice([[], 7, [{"vendor": "nonsense"}]])
    metadata: Body = {"creationTimestamp": f"2026-01-01T00:00:0{random.randrange(3)}Z"}
    if random.random() < 0.15:
        metadata["annotations"] = {"virtfn.dev/paused": random.choice(["true", "false"])}
    return {"metadata": metadata, "spec": spec}


def _node(random: Random) -> Body:
    labels: Any = random.choice([{"role": "x"}, {"role": "y"}, {}, {"role": "x", "zone": "1"}])
    return {"metadata": {"labels": labels if random.random() < 0.95 else {"role": 7}}}


def _edit_policy(random: Random, store: Store, name: str) -> None:
    old = store.objects[ObjectKind.POLICY].get(name, {})
    body = _policy(random, name)
    if old and random.random() < 0.05:
        body["metadata"]["deletionTimestamp"] = _time(0)
    store.put(ObjectKind.POLICY, name, {**old, **body})


def _spoil_policy(random: Random, store: Store, name: str) -> None:
    """Make a policy with a name that no policy can have, so that it cannot be read at all."""
    if random.random() < 0.2:
        store.put(ObjectKind.POLICY, "x" * 300, _policy(random, name))


def _edit_node(random: Random, store: Store, name: str) -> None:
    store.put(ObjectKind.NODE, name, _node(random))


def _pause(random: Random, store: Store, name: str) -> None:
    if (body := store.objects[ObjectKind.POLICY].get(name)) is not None:
        annotations = {"virtfn.dev/paused": random.choice(["true", "false"])}
        store.put(ObjectKind.POLICY, name, {**body, "metadata": {**body["metadata"], "annotations": annotations}})


def _cordon(random: Random, store: Store, name: str) -> None:
    """Cordon a Node; one that is cordoned already changes, or is not cordoned any more."""
    if name in store.objects[ObjectKind.CORDON] and random.random() < 0.7:
        store.delete(ObjectKind.CORDON, name)
    else:
        store.put(ObjectKind.CORDON, name, {})


def _make_state(random: Random, store: Store, name: str) -> None:
    if name not in store.objects[ObjectKind.STATE]:
        store.put(ObjectKind.STATE, name, {})


ANSWERS = ("Ready", "Ready", "WithoutDevice", "Changing", "Changing", "Blocked", "Failed", "Odd")
REASONS = {
    "Ready": ("Converged", "Converged", "WaitingForTurn"),
    "WithoutDevice": ("NoMatchingDevice",),
    "Changing": ("Changing", "WaitingForTurn", "Evicting"),
}


def _answer(random: Random, store: Store, name: str) -> None:
    """The agent reports, of what it is asked or of something else."""
    body = store.objects[ObjectKind.STATE].get(name)
    if body is None:
        return
    found = (body.get("spec") or {}).get("policies")
    asked = found if isinstance(found, list) else []
    has_turn = (body.get("spec") or {}).get("mayChange") is True
    waits = random.random() < 0.7  # for a turn, or in its turn for pods
    outcomes = [
        {
            **{key: entry[key] for key in ("name", "uid", "generation") if key in entry},
            "state": (state := "Changing" if waits else random.choice(ANSWERS)),
            "reason": random.choice(REASONS.get(state, (state,))),
            "message": random.choice(("", "so it is")),
        }
        for entry in asked
        if isinstance(entry, dict)
    ]
    generation = body["metadata"]["generation"]
    late = 0 if waits else random.choice((0, 0, 0, 1))
    status: Body = {"observedGeneration": max(0, generation - late), "policies": outcomes}
    if waits or random.random() < 0.4:
        status["plan"] = {"disruptive": waits or random.random() < 0.8, "steps": random.randrange(3)}
        if has_turn or random.random() < 0.3:
            pods = [{"device": "pf0", "namespace": "default", "name": pod} for pod in ("web-0", "web-1")]
            status["plan"]["evict"] = {"withdrawn": random.random() < 0.8, "pods": pods[random.randrange(3) :]}
    if random.random() < 0.15 and asked:
        status["rejected"] = [{"policy": asked[0].get("name", ""), "reason": "IndexTaken", "message": "taken"}]
    if random.random() < 0.05:
        status["plan"] = 7
    status["functions"] = [{"address": "0000:01:00.0", "numVfs": random.randrange(3)}]
    store.put(ObjectKind.STATE, name, {**body, "status": status})


def _meddle(random: Random, store: Store, name: str) -> None:
    """Another program writes a spec."""
    body = store.objects[ObjectKind.STATE].get(name)
    if body is None or random.random() < 0.7:
        return
    spec = dict(body.get("spec") or {})
    odd: list[Callable[[], Any]] = [
        lambda: {**spec, "policies": 7},
        lambda: {**spec, "mayChange": not spec.get("mayChange")},
        lambda: (
            {**spec, "policies": [{"name": "x"}, *(spec.get("policies") or ())][:3]}
            if isinstance(spec.get("policies") or [], list)
            else {}
        ),
        dict,
    ]
    store.put(ObjectKind.STATE, name, {**body, "spec": random.choice(odd)()})


def _delete(random: Random, store: Store, name: str) -> None:
    store.delete(random.choice(tuple(ObjectKind)), name)


QUIET: tuple[Step, ...] = (_answer,) * 40 + (_edit_policy, _edit_node, _meddle, _pause, _cordon, _delete)
"""What happens while nodes mostly take turns."""
OFTEN: tuple[Step, ...] = (_answer,) * 4 + (_edit_policy,) * 2
STEPS: tuple[Step, ...] = (*OFTEN, _spoil_policy, _edit_node, _make_state, _meddle, _delete, _pause, _cordon)

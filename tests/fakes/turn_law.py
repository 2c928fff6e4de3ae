"""The proof `turns`: at no moment have more nodes a turn than allowed, whatever becomes of watches, writes and leaders.

Policies and labels stay as they are. Agents report what they like. The controller hears of it late, and meanwhile
writes from what it knows. A request or its answer is lost, or a request arrives long after the controller has given it
up. A controller may be followed by another one; by then its own requests have arrived or never will, because a leader
gives up a write before its lease can be taken (`reconcile.WRITE_SECONDS`).
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random

from picture_law import RULES, Body, Leader, Store, ViolatedError, _time

from virtfn_operator.api.policy import read_policy
from virtfn_operator.api.selector import matches
from virtfn_operator.controller.decide import Write
from virtfn_operator.controller.order import Order, in_order
from virtfn_operator.controller.picture import ObjectKind


@dataclass(frozen=True, kw_only=True)
class Carelessness:
    """What a controller leaves out, to see that the law notices."""

    order: Callable[[tuple[Write, ...]], Order] = in_order
    promises: bool = True
    versions: bool = True
    own_writes: bool = True


CAREFUL = Carelessness()


@dataclass(kw_only=True)
class _Run:
    random: Random
    store: Store
    leader: Leader
    care: Carelessness
    late: list[Write] = field(default_factory=list)
    """Requests that were given up and may still arrive."""
    most: Counter[str] = field(default_factory=Counter)


def turns(seed: int, counted: Counter[str], care: Carelessness = CAREFUL, *, steps: int = 30) -> None:
    """Run one history.

    Raises:
        ViolatedError: more nodes have a turn than allowed.
    """
    random = Random(seed)  # so that a run can be repeated
    store = Store()
    for number in range(random.randrange(2, 7)):
        store.put(ObjectKind.NODE, f"n{number}", {"metadata": {"labels": {"role": random.choice("xy")}}})
        store.put(ObjectKind.STATE, f"n{number}", {})
    for name in ("p", "q", "r")[: random.randrange(1, 4)]:
        store.put(ObjectKind.POLICY, name, {"spec": _spec(random, name)})
    run = _Run(random=random, store=store, leader=Leader(store), care=care)
    seconds = 0
    for _ in range(steps):
        _something(run)
        _look(seed, run)
        if random.random() < 0.5:
            seconds += random.choice((1, 30, 1000))
            for write in _decided(run, _time(seconds)):
                _carry_out(run, write, counted)
                _look(seed, run)
                if random.random() < 0.3:
                    _something(run)
                    _look(seed, run)
    counted["histories"] += 1
    counted["histories with several turns at once"] += max(run.most.values()) > 1


def _spec(random: Random, name: str) -> Body:
    return {
        "devices": [{"vendor": "8086"}],
        "virtualFunctions": {"count": 2, "pools": [{"resourceName": name}]},
        "disruption": {"maxUnavailable": random.choice((1, 1, 2, "20%", "50%"))},
        **({"nodeSelector": {"matchLabels": {"role": random.choice("xy")}}} if random.random() < 0.4 else {}),
    }


def _decided(run: _Run, now: str) -> list[Write]:
    """Return the writes of one decision as the controller sends them."""
    order = run.care.order(run.leader.decide(now).writes)
    run.random.shuffle(rest := list(order.rest))
    return [*order.ends, *rest, *order.grants]


def _carry_out(run: _Run, write: Write, counted: Counter[str]) -> None:
    if not run.care.versions:
        metadata = {key: value for key, value in write.patch.get("metadata", {}).items() if key != "resourceVersion"}
        write = replace(write, patch={**write.patch, "metadata": metadata})
    dice = run.random.random()
    if dice < 0.1:
        run.late.append(write)
        body, answered = None, False
    else:
        body, answered = run.store.patch(write), dice > 0.2
    counted["grants"] += bool(write.turn and body)
    if not answered and write.turn and run.care.promises:
        run.leader.picture.objects[ObjectKind.STATE].promise(write.name)
    if answered and body is not None and run.care.own_writes:
        run.leader.picture.objects[ObjectKind(write.plural)].answer(body)


def _something(run: _Run) -> None:
    random, store = run.random, run.store
    dice = random.random()
    if dice < 0.6:
        _report(run, random.choice(sorted(store.objects[ObjectKind.STATE])))
    elif dice < 0.85:
        kind = random.choice(tuple(ObjectKind))
        run.leader.hear(kind, random.randrange(1, 5))
    elif dice < 0.9 and run.late:
        store.patch(run.late.pop(random.randrange(len(run.late))))
    elif dice < 0.93:
        for write in run.late:
            if random.random() < 0.5:
                store.patch(write)
        run.late.clear()
        for kind in ObjectKind:
            store.untold[kind].clear()
        run.leader = Leader(store)


def _report(run: _Run, name: str) -> None:
    random, body = run.random, run.store.objects[ObjectKind.STATE][name]
    asked = (body.get("spec") or {}).get("policies") or []
    outcomes = [
        {
            **{key: entry[key] for key in ("name", "uid", "generation")},
            "state": random.choice(("Ready", "Changing", "Failed")),
        }
        for entry in asked
    ]
    plan = {"plan": {"disruptive": True, "steps": random.randrange(9)}} if random.random() < 0.6 else {}
    status = {"observedGeneration": body["metadata"]["generation"], "policies": outcomes, **plan}
    run.store.put(ObjectKind.STATE, name, {**body, "status": status})


def _look(seed: int, run: _Run) -> None:
    """Check the store: who has a turn, and how many may."""
    labels = {name: body["metadata"]["labels"] for name, body in run.store.objects[ObjectKind.NODE].items()}
    states = run.store.objects[ObjectKind.STATE]
    for body in run.store.objects[ObjectKind.POLICY].values():
        policy = read_policy(body, RULES.domains)
        matching = [name for name in states if matches(policy.selector, labels[name])]
        having = [name for name in matching if (states[name].get("spec") or {}).get("mayChange") is True]
        run.most[policy.name] = max(run.most[policy.name], len(having))
        if len(having) > policy.max_unavailable.of(len(matching)):
            raise ViolatedError(f"seed {seed}: {having} of {matching} have a turn for {policy.max_unavailable}")

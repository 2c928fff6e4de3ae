"""The proof `objects`: hostile objects beside good ones, in the controller's `decide` and the agent's spec-to-plan.

Laws: nothing raises; good objects are decided as they would be alone; no reconcile at 100 nodes takes over 2 s; what is
written fits the schema's bounds; an agent that cannot read all of its spec plans nothing.
"""

import json
import resource
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import Any

from hostile_objects import Body, hostile_nodes, hostile_policies, mangled
from inventories import a_pf, an_inventory

from virtfn_host.core.turn.plan import plan
from virtfn_host.core.turn.resolve import resolve
from virtfn_host.core.values.model import InUse
from virtfn_operator.agent.recall import recalled
from virtfn_operator.api.conditions import OURS, Condition, read_conditions, upsert
from virtfn_operator.api.node_spec import SPEC_LIMIT
from virtfn_operator.api.node_state import read_spec
from virtfn_operator.controller.decide import Decision, World, decide

NOW = "2026-01-01T00:00:00Z"
NODES = 100
HOSTILE_NODES = 40
"""How many of the nodes have hostile objects."""

POLICIES = 160
OBJECTS = POLICIES + 2 * HOSTILE_NODES
"""Number of policies, specs and statuses in one round."""

SLOWEST = 2.0
"""Limit for one reconcile, in seconds."""

MEMORY = 512
"""The controller's memory limit in the chart, in MiB."""

SPOKEN = Condition(type="Ready", status="True", reason="Converged", message="", observed_generation=1)
MACHINE = an_inventory(a_pf(0, 4), a_pf(1, 0))


class ViolatedError(Exception):
    """A law did not hold; the message says which, and for which seed."""


def rounds(seed: int, number: int, counted: Counter[str]) -> float:
    """Run that many rounds; return the seconds of the slowest reconcile.

    Raises:
        ViolatedError: a law did not hold.
    """
    return max(_round(seed + turn, counted) for turn in range(number))


@dataclass(frozen=True, kw_only=True)
class Portion:
    """The result of some rounds in a process of their own."""

    counted: Counter[str]
    slowest: float
    peak: int
    """Most memory that the process had, in MiB."""
    violation: str


def portion(number: int, seed: int) -> Portion:
    """Run that many rounds, up to the first violation."""
    counted: Counter[str] = Counter()
    slowest, violation = 0.0, ""
    try:
        slowest = rounds(seed, number, counted)
        if peak() > MEMORY:
            violation = f"seed {seed}: {peak()} MiB"
    except Exception as error:  # any exception in a round is a violation
        violation = "".join(traceback.format_exception(error))
    return Portion(counted=counted, slowest=slowest, peak=peak(), violation=violation)


def peak() -> int:
    """Return the most memory that this process had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def _round(seed: int, counted: Counter[str]) -> float:
    random = Random(seed)  # so that a run can be repeated
    good = [_good(n) for n in range(5)]
    names = [f"good-{n:03}" for n in range(NODES - HOSTILE_NODES)]
    alone = _alone(good, names)
    policies, nodes = hostile_policies(seed, POLICIES), hostile_nodes(seed, HOSTILE_NODES)
    labels = [{"metadata": {"name": body["metadata"]["name"], "labels": {"role": "dpdk"}}} for body in nodes]
    world = World(
        policies=_mixed(random, good, mangled(random, policies)),
        states=_mixed(random, alone.states, mangled(random, nodes)),
        nodes=[*alone.nodes, *labels],
    )
    began = time.process_time()
    decision = decide(world, NOW)
    took = time.process_time() - began
    if took > SLOWEST:
        raise ViolatedError(f"seed {seed}: a reconcile took {took:.2f} s")
    _compare(seed, decide(alone, NOW), decision, good)
    _check_writes(seed, decision, counted)
    for body in nodes:
        _agent(seed, body, counted)
    counted["objects"] += OBJECTS
    counted["reconciles"] += 1
    counted["objects told of as unreadable"] += len(decision.unreadable)
    return took


def _good(number: int) -> Body:
    spec = {
        "nodeSelector": {"matchLabels": {"good": "yes"}},
        "devices": [{"vendor": "8086", "device": "10c9"}],
        "virtualFunctions": {"count": 5, "pools": [{"resourceName": f"good{number}", "indexes": str(number)}]},
    }
    metadata = {"name": f"good-{number}", "uid": f"good-{number}", "generation": 1, "creationTimestamp": NOW}
    return {"metadata": metadata, "spec": spec}


def _alone(policies: list[Body], names: list[str]) -> World:
    """Return the good policies in a settled world: each node has its spec and has answered."""
    labels = [{"metadata": {"name": name, "labels": {"good": "yes"}}} for name in names]
    empty = [{"metadata": {"name": name, "generation": 1}} for name in names]
    first = decide(World(policies=policies, states=empty, nodes=labels), NOW)
    specs = {write.name: write.patch["spec"] for write in first.writes if write.plural == "sriovnodes"}
    outcomes = [{"name": f"good-{n}", "uid": f"good-{n}", "generation": 1, "state": "Ready"} for n in range(5)]
    status = {"observedGeneration": 1, "policies": outcomes}
    states = [{"metadata": {"name": n, "generation": 1}, "spec": specs[n], "status": status} for n in names]
    return World(policies=policies, states=states, nodes=labels)


def _mixed(random: Random, some: Any, others: Any) -> list[Any]:
    both = [*some, *others]
    random.shuffle(both)
    return both


def _compare(seed: int, alone: Decision, beside: Decision, good: list[Body]) -> None:
    """Check that good policies are decided the same; in a spec only their own entries can be compared."""
    names = {body["metadata"]["name"] for body in good}
    statuses = [{w.name: w.patch for w in d.writes if w.name in names} for d in (alone, beside)]
    if statuses[0] != statuses[1]:
        raise ViolatedError(f"seed {seed}: a good policy's status is another one")
    for write in beside.writes:
        if write.name.startswith("good-0") and write.plural == "sriovnodes":
            entries = write.patch["spec"].get("policies", [])
            kept = [entry["name"] for entry in entries if entry["uid"] in names]
            if entries and kept != sorted(names):
                raise ViolatedError(f"seed {seed}: {write.name} has only {kept} of the good policies")


def _check_writes(seed: int, decision: Decision, counted: Counter[str]) -> None:
    for write in decision.writes:
        size = len(json.dumps(dict(write.patch)))
        if size > SPEC_LIMIT + 4096:
            raise ViolatedError(f"seed {seed}: {write.name} would have {size} bytes")
        for condition in write.patch.get("status", {}).get("conditions", ()):
            if not condition["reason"] or condition["status"] not in ("True", "False", "Unknown"):
                raise ViolatedError(f"seed {seed}: {write.name}: {condition}")
            if condition["type"] in OURS:
                counted[f"policies {condition['type']}: {condition['reason']}"] += 1


def _agent(seed: int, body: Body, counted: Counter[str]) -> None:
    """Do what an agent does with the object: recall its status, read the spec, resolve and plan, or do nothing."""
    status = body["status"] if isinstance(body["status"], dict) else {}
    recall = recalled(status, MACHINE)
    devices = [device.address for pool in (recall.pools.pools if recall.pools else ()) for device in pool.devices]
    if len(set(devices)) != len(devices):
        raise ViolatedError(f"seed {seed}: {body['metadata']['name']}: a function in two pools")
    if not all(condition.type for condition in upsert(read_conditions(status), SPOKEN, NOW)):
        raise ViolatedError(f"seed {seed}: {body['metadata']['name']}: a condition without a type")
    spec = read_spec(body["spec"], frozenset())
    if spec is None or spec.rejected:
        counted["specs that nothing is done for"] += 1
        return
    found = resolve(spec.config, MACHINE, ())
    planned = plan(MACHINE, found.desired, InUse(holders=()))
    if planned != plan(MACHINE, found.desired, InUse(holders=())):
        raise ViolatedError(f"seed {seed}: two plans of the same")
    counted["specs planned"] += 1

"""`make prove`: the long proofs in full, of which `make test` runs short samples. Writes prove-results.json.

`make prove PROOFS='histories contested'` runs only those, and keeps the results of the others.
"""

import asyncio
import json
import os
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import hypothesis
from api_proof import prove as prove_api
from claim_histories import CLAIM_COUNTER_PROOF, CLAIM_MUTATIONS, ClaimHistories, run_claim_histories
from document_law import kinds, tried
from growing_law import growing_kinds, tried_growing
from histories import COUNTER_PROOF, MUTATIONS, NOT_TIMED, Histories, run_histories, violation_in
from history_node import RAN, seen
from hostile_objects import hostile_nodes, hostile_policies
from hostile_socket import hostile_socket
from hypothesis import settings
from kubelet_restarts import KilledKubelet, Restarts
from kubelet_restarts import restarts as restart_kubelet
from object_proof import OBJECTS, portion
from picture_law import history
from plan_law import plans
from plugin_node import plugin_node
from real_kernels import PROVED, Boot, run_on
from rollout_law import history as rollout_history
from rollout_mutations import MUTATIONS as MUTATIONS_OF_TURNS
from storm import Batch, storm
from turn_law import turns

from virtfn_lab.cluster import LabError, down, up
from virtfn_lab.guest import run_in_guest
from virtfn_lab.kubelet_restarts import Restarted, restarts_of_kubelet
from virtfn_lab.node import Node
from virtfn_lab.paths import run_dir
from virtfn_lab.pool_changes import Change, changes
from virtfn_lab.pressure import Recovered, every
from virtfn_lab.product import install
from virtfn_lab.progress import say
from virtfn_lab.qemu import Hardware
from virtfn_lab.restarts import Round, rounds
from virtfn_lab.run import CommandFailedError
from virtfn_lab.upgrades import OLDER, Upgraded, upgrades

RESULTS = Path("prove-results.json")
"""The last result of each proof; a proof that runs alone replaces only its own."""

UNFINISHED = "{}: did not come to its end"
"""Name of a proof that ended with an error."""

PORTION = 500
"""Histories in one run of hypothesis, which remembers all it has tried and gets slower with their number."""


ROUNDS = 20
"""Rounds of the proof `objects` in one portion."""


@dataclass(frozen=True, kw_only=True)
class Proof:
    """The result of a proof: tries and violations."""

    name: str
    tried: int
    violations: int
    seed: int
    seconds: float


def restarts(number: int, seed: int) -> Proof:
    """Prove that a node recovers from SIGKILL in the middle of an apply, in a real cluster."""
    name = "SIGKILL of host, agent, plugin, kubelet in the middle of an apply: converged, held VF untouched"
    return in_cluster(name, lambda node: rounds(node, number, seed), seed)


def kubelet_in_cluster(number: int, seed: int) -> Proof:
    """Prove that a real kubelet that restarts costs no registration and no Allocate."""
    name = "real kubelet restarts of 0.1 to 5 s under pods: one registration each, no Allocate lost"
    return in_cluster(name, lambda node: restarts_of_kubelet(node, number, seed), seed)


def upgrades_in_cluster(number: int) -> Proof:
    """Prove that upgrades of the device plugin touch nothing and, where two may overlap, cost no pod."""
    name = "helm upgrades of the device plugin under pods: never without one where two may overlap, no Allocate lost"
    return in_cluster(name, lambda node: chain(upgrades(node, number), upgrades(node, number, *OLDER)), seed=0)


def pools(number: int) -> Proof:
    """Prove that pools come and go without an effect on others, in a real cluster."""
    name = "pools that come and go: the device plugin is not restarted, the pool beside them stays as it is"
    return in_cluster(name, lambda node: changes(node, number), seed=0)


def pressure(number: int, seed: int) -> Proof:
    """Prove that a node recovers from kills under load, full disks and a jumping clock, in a real cluster."""
    name = "each process killed under load, disks full, clock an hour off: nothing held touched, recovered by itself"
    return in_cluster(name, lambda node: every(node, number, seed), seed)


def objects_in_cluster(policies: int, nodes: int, seed: int) -> Proof:
    """Prove that generated objects in a real API server hold up no good policy."""
    name = "hostile objects through a real API server: no process ends, a good policy is carried out beside them"
    made = list(hostile_policies(seed, policies)), list(hostile_nodes(seed, nodes))
    return in_cluster(name, lambda node: storm(node, *made, size=100), seed)


def in_cluster(
    name: str, tries: Callable[[Node], Iterable[Round | Change | Recovered | Restarted | Batch | Upgraded]], seed: int
) -> Proof:
    """Run tries in a cluster made for them, up to the first violation."""
    began, tried, violations = time.monotonic(), 0, 0
    cluster = up()
    try:
        install(cluster)
        for done in tries(Node(cluster)):
            tried += done.tried if isinstance(done, Batch) else 1
            say(f"{tried}: {done}")
    except (LabError, CommandFailedError) as error:
        say(f"violated: {error}")
        tried, violations = tried + 1, 1
    finally:
        down()
    return Proof(name=name, tried=tried, violations=violations, seed=seed, seconds=round(time.monotonic() - began, 1))


def from_seeds(name: str, law: Callable[[int, Counter[str]], None], number: int, seed: int) -> Proof:
    """Prove that a law holds for so many seeds, on every core."""
    began = time.monotonic()
    counted: Counter[str] = Counter()
    violations = 0
    portions = [range(start, min(start + PORTION, seed + number)) for start in range(seed, seed + number, PORTION)]
    with ProcessPoolExecutor(os.cpu_count() or 1) as pool:
        for found, violated in pool.map(partial(_seeds, law), portions):
            counted += found
            violations += len(violated)
            for text in violated[:3]:
                say(f"violated: {text[:2000]}")
    say(", ".join(f"{number} {what}" for what, number in sorted(counted.items())))
    seconds = round(time.monotonic() - began, 1)
    return Proof(name=name, tried=counted["histories"] + violations, violations=violations, seed=seed, seconds=seconds)


def _seeds(law: Callable[[int, Counter[str]], None], seeds: Iterable[int]) -> tuple[Counter[str], list[str]]:
    counted: Counter[str] = Counter()
    violated = []
    for seed in seeds:
        try:
            law(seed, counted)
        except Exception as error:  # any exception in a history is a violation
            violated.append(f"seed {seed}: {error!r}")
    return counted, violated


HISTORIES = "random histories on the fake kernel: no held function touched, converged, originals exact"
CLAIMS = (
    "random histories of names, places, cards and boots: nothing taken away that no policy edit ended, nothing given \
back that this boot's virtfn did not touch"
)


def histories(number: int, seed: int, name: str = HISTORIES) -> Proof:
    """Run random histories on the fake kernel, on every core, in portions with a seed each."""
    began = time.monotonic()
    portions = [(min(PORTION, number - start), seed + start // PORTION) for start in range(0, number, PORTION)]
    counted: Counter[str] = Counter()
    violations = 0
    with ProcessPoolExecutor(os.cpu_count() or 1) as pool:
        portion = _claims_portion if name == CLAIMS else _portion
        for done, (answer, happened) in enumerate(pool.map(portion, *zip(*portions, strict=True)), start=1):
            counted += happened
            if answer:
                violations += 1
                say(f"violated: {answer}")
            if not done % 10:
                say(f"{counted[RAN]} histories, {violations} violations, {time.monotonic() - began:.0f} s")
    for what, times in sorted(counted.items()):
        say(f"{times:9} {what}")
    return Proof(
        name=name,
        tried=counted[RAN] + violations,
        violations=violations,
        seed=seed,
        seconds=round(time.monotonic() - began, 1),
    )


def _portion(number: int, seed: int) -> tuple[str, Counter[str]]:
    """Run one portion; return the violation, if any, and how often each thing happened."""
    hypothesis.seed(seed)(Histories)
    return _tried(run_histories, number)


def _claims_portion(number: int, seed: int) -> tuple[str, Counter[str]]:
    """Run one portion with the actors and laws of claims."""
    hypothesis.seed(seed)(ClaimHistories)
    return _tried(run_claim_histories, number)


def _tried(run: Callable[[settings], None], number: int) -> tuple[str, Counter[str]]:
    seen.clear()
    answer = ""
    try:
        run(settings(NOT_TIMED, stateful_step_count=20, max_examples=number))
    except Exception as error:  # any exception in a history is a violation
        answer = "".join(traceback.format_exception(error))  # the exception's notes are the history
    return answer, Counter(seen)


def counter_proofs(number: int, seed: int) -> Proof:
    """Run the histories with one safety dropped at a time. A law must break; if none does, that is a violation."""
    began = time.monotonic()
    tried = caught = 0
    of_claims = [(*one, ClaimHistories, run_claim_histories, CLAIM_COUNTER_PROOF) for one in CLAIM_MUTATIONS.items()]
    of_safeties = [(*one, Histories, run_histories, COUNTER_PROOF) for one in MUTATIONS.items()]
    for dropped, mutation, machine, run, how in [*of_safeties, *of_claims]:
        for turn in range(number):
            hypothesis.seed(seed + turn)(machine)
            with mutation():
                violation = violation_in(partial(run, settings(how, derandomize=False)))
            if violation:
                caught += 1
                say(f"caught without {dropped}: {violation.splitlines()[0]}")
            tried += 1
    every = ", ".join(MUTATIONS | CLAIM_MUTATIONS)
    return Proof(
        name=f"counter-proof: random histories without one of these are caught: {every}",
        tried=tried,
        violations=tried - caught,
        seed=seed,
        seconds=round(time.monotonic() - began, 1),
    )


ROLLOUT = "random histories of turns and evictions: never more nodes than allowed, no pod evicted that holds nothing"
ROLLOUT_PORTION = 250


def rollouts(number: int, seed: int) -> Proof:
    """Run random histories of turns and evictions on every core; without one of the safeties, a law must break."""
    began = time.monotonic()
    counted: Counter[str] = Counter()
    violations = [name for name in MUTATIONS_OF_TURNS if not _caught(name, seed)]
    for name in violations:
        say(f"violated: no law breaks without {name}")
    starts = range(seed, seed + number, ROLLOUT_PORTION)
    with ProcessPoolExecutor(os.cpu_count() or 1) as pool:
        for done, (answer, happened) in enumerate(pool.map(_rollout_portion, starts), start=1):
            counted += happened
            if not done % 10:
                say(f"{counted['histories']} histories, {time.monotonic() - began:.0f} s")
            if answer:
                violations.append(answer)
                say(f"violated: {answer}")
    for what, times in sorted(counted.items()):
        say(f"{times:9} {what}")
    seconds = round(time.monotonic() - began, 1)
    tried = counted["histories"] + len(violations)
    return Proof(name=ROLLOUT, tried=tried, violations=len(violations), seed=seed, seconds=seconds)


def _rollout_portion(start: int) -> tuple[str, Counter[str]]:
    """Run one portion; return the violation, if any, and how often each thing happened."""
    counted: Counter[str] = Counter()
    for seed in range(start, start + ROLLOUT_PORTION):
        try:
            counted += rollout_history(seed)
        except Exception as error:  # any exception in a history is a violation
            return "".join(traceback.format_exception(error)), counted
    return "", counted


def _caught(dropped: str, seed: int) -> bool:
    with MUTATIONS_OF_TURNS[dropped]():
        for one in range(seed, seed + 3000):
            try:
                rollout_history(one)
            except AssertionError as error:
                say(f"caught without {dropped}: {str(error).splitlines()[0]}")
                return True
    return False


def in_guest(name: str, settings_: str, test: str, seed: int, topology: str = "igb2") -> Proof:
    """Run one test file in its long form on a real kernel."""
    began = time.monotonic()
    out = Path(tempfile.mkdtemp(prefix="prove-", dir=run_dir()))
    words = f"VIRTFN_TRIED=/out/tried {settings_} python3 -m pytest -s -p no:cacheprovider --timeout=14400"
    status = run_in_guest(f"{words} tests/{test}", hardware=Hardware(topology=topology), out=out, timeout=14400)
    tried = sum(map(int, (out / "tried").read_text().split())) if (out / "tried").exists() else 0
    seconds = round(time.monotonic() - began, 1)
    return Proof(name=name, tried=tried, violations=int(status != 0), seed=seed, seconds=seconds)


def objects(number: int, seed: int) -> Proof:
    """Try hostile policies, specs and statuses beside good ones, on every core, in portions with a seed each."""
    began = time.monotonic()
    turns = -(-number // OBJECTS)
    portions = [(min(ROUNDS, turns - start), seed + start) for start in range(0, turns, ROUNDS)]
    counted: Counter[str] = Counter()
    slowest, most, violations = 0.0, 0, 0
    with ProcessPoolExecutor(os.cpu_count() or 1) as pool:
        for done in pool.map(portion, *zip(*portions, strict=True)):
            counted += done.counted
            slowest, most = max(slowest, done.slowest), max(most, done.peak)
            if done.violation:
                violations += 1
                say(f"violated: {done.violation}")
            tried = counted["objects"]
            say(f"{tried} objects, slowest reconcile {slowest:.2f} s, {most} MiB, {time.monotonic() - began:.0f} s")
    for what, times in sorted(counted.items()):
        say(f"{times:9} {what}")
    return Proof(
        name="hostile objects beside good ones: none raises, good ones as alone, no reconcile of 100 nodes over 2 s",
        tried=counted["objects"],
        violations=violations,
        seed=seed,
        seconds=round(time.monotonic() - began, 1),
    )


def api_server(seconds: float) -> Proof:
    """Run agent and controller, each against an API server that misbehaves in every way that we know."""
    tried, violations, took = prove_api(seconds)
    name = "a misbehaving API server: 30 requests and lines a minute at most, recovered within 60 s"
    return Proof(name=name, tried=tried, violations=violations, seed=0, seconds=took)


def contract(boot: Boot) -> Proof:
    """Run the whole contract on a kernel of which `make test` runs nothing, or a sample."""
    began = time.monotonic()
    results = run_on(boot, Path(tempfile.mkdtemp(prefix="prove-", dir=run_dir())))
    said = [(f"{file}: {name}", what) for file, tests in results.items() for name, what in tests.items()]
    wrong = [f"{name}: {what}" for name, what in said if what != "passed"]
    wrong += [f"{file}: nothing was run" for file, tests in results.items() if not tests]
    for line in wrong:
        say(f"violated: {line}")
    seconds = round(time.monotonic() - began, 1)
    name = f"the whole contract on Linux {boot}"
    return Proof(name=name, tried=len(said), violations=len(wrong), seed=0, seconds=seconds)


def documents(flips: int, generated: int, kills: int, seed: int) -> Proof:
    """Try our documents, damaged, changed or replaced."""
    began = time.monotonic()
    # In memory: the files' modes matter here, not their disk.
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        counted, violations = tried(kinds(Path(folder)), flips=flips, generated=generated, kills=kills, seed=seed)
        more, others = tried_growing(
            growing_kinds(Path(folder)), flips=flips, generated=generated, kills=kills, seed=seed
        )
    counted, violations = counted + more, [*violations, *others]
    for line in violations[:100]:
        say(f"violated: {line}")
    for what, times in sorted(counted.items()):
        say(f"{times:9} {what}")
    return Proof(
        name="pool file, ledger, journal: truncated, bits flipped, generated, no file at all: refused or read right",
        tried=counted.total(),
        violations=len(violations),
        seed=seed,
        seconds=round(time.monotonic() - began, 1),
    )


def socket(number: int, seed: int) -> Proof:
    """Send hostile messages; without strace to see their effect, that is a violation."""
    began = time.monotonic()
    outcome = hostile_socket(number, seed, say)
    return Proof(
        name="host socket: hostile messages; nothing outside of the list opened for writing or started, nothing left",
        tried=outcome.tried,
        violations=len(outcome.violations) + (not outcome.traced),
        seed=seed,
        seconds=round(time.monotonic() - began, 1),
    )


def kubelet_restarts(number: int, seed: int) -> Proof:
    """Kill and start a kubelet again while pods come and go; the plugin keeps its real pauses and deadlines."""
    began = time.monotonic()

    async def tried() -> Restarts:
        with tempfile.TemporaryDirectory() as folder:
            async with plugin_node(Path(folder), KilledKubelet) as node:
                return await restart_kubelet(node, number, random.Random(seed), away=(0.1, 5.0), up=(0.1, 2.0))

    found = asyncio.run(tried())
    say(
        f"{found.restarts} restarts: {found.torn} registrations ended by the plugin, {found.lost} of "
        f"{found.lost + found.answered} Allocates lost, {found.longest:.2f} s at most without the list"
    )
    return Proof(
        name="kubelet restarts of 0.1 to 5 s under pods: one registration each, no Allocate lost",
        tried=found.restarts,
        violations=found.violations,
        seed=seed,
        seconds=round(time.monotonic() - began, 1),
    )


PROOFS: Mapping[str, Callable[[], Proof]] = {
    "kubelet-restarts": lambda: kubelet_restarts(100, seed=20261129),
    "documents": lambda: documents(flips=100_000, generated=20_000, kills=500, seed=20261128),
    "objects": lambda: objects(100_000, seed=20261129),
    "counter": lambda: counter_proofs(10, seed=20261124),
    "contested": lambda: in_guest(
        "real kernel: operations against programs that open VFs: none pulled from under one, no write blocked 1 s",
        "VIRTFN_CONTESTED=1000",
        "kernel/guest/test_contested.py",
        seed=1,
    ),
    "killed": lambda: in_guest(
        "real kernel: SIGKILL at every step boundary of five plans: converged, restored byte for byte",
        "VIRTFN_BOUNDARIES=1",
        "kernel/guest/test_killed.py",
        seed=0,
    ),
    "faults": lambda: in_guest(
        "real kernel: every fault shows its own reason within 10 s, and is gone within 10 s of its repair",
        "VIRTFN_TIMED=1",
        "faults",
        seed=0,
        topology="contract",
    ),
    **{f"{boot.kernel}{'' if boot.iommu else '-noiommu'}": partial(contract, boot) for boot in PROVED},
    "turns": lambda: from_seeds(
        "turns under late watches, lost answers, late requests and new leaders: never more at once than allowed",
        turns,
        20_000,
        seed=20261129,
    ),
    "picture": lambda: from_seeds(
        "events in any order, gaps, lost answers, new leaders: what is decided of one change is what is decided of all",
        history,
        50_000,
        seed=20261129,
    ),
    "plan": lambda: from_seeds(
        "kubectl virtfn plan of random changes on random fleets: what it prints is what then happens",
        plans,
        2_000,
        seed=20261130,
    ),
    "socket": lambda: socket(1_000_000, seed=20261128),
    "api-server": lambda: api_server(60.0),
    "pools": lambda: pools(20),
    "upgrades": lambda: upgrades_in_cluster(20),
    "kubelet-cluster": lambda: kubelet_in_cluster(100, seed=20261129),
    "pressure": lambda: pressure(16, seed=20261129),
    "objects-cluster": lambda: objects_in_cluster(2000, 1000, seed=20261129),
    "histories": lambda: histories(100_000, seed=20261124),
    "rollout": lambda: rollouts(50_000, seed=0),
    "claim-histories": lambda: histories(100_000, seed=20261129, name=CLAIMS),
    "restarts": lambda: restarts(100, seed=20261124),
}
"""Proofs by the word that chooses them, the longest last."""


def _carried_out(word: str) -> Proof:
    """Run one proof. One that does not come to its end counts as violated, and the others go on."""
    began = time.monotonic()
    try:
        return PROOFS[word]()
    except Exception as error:  # do not throw away hours of other proofs
        traceback.print_exception(error)
        seconds = round(time.monotonic() - began, 1)
        return Proof(name=UNFINISHED.format(word), tried=0, violations=1, seed=0, seconds=seconds)


def main(words: Sequence[str]) -> int:
    """Run the proofs; return 1 after a violation, 2 for an unknown word."""
    if unknown := set(words) - set(PROOFS):
        print(f"no such proof: {', '.join(sorted(unknown))}; there are: {', '.join(PROOFS)}", file=sys.stderr)
        return 2
    results = {proof["name"]: proof for proof in json.loads(RESULTS.read_text())} if RESULTS.exists() else {}
    proofs = []
    for word in [word for word in PROOFS if not words or word in words]:
        proofs.append(_carried_out(word))
        results.pop(UNFINISHED.format(word), None)
        results[proofs[-1].name] = asdict(proofs[-1])
        RESULTS.write_text(json.dumps(list(results.values()), indent=1) + "\n")
    for proof in proofs:
        print(
            f"{proof.tried:8} tried  {proof.violations} violations  seed {proof.seed}  {proof.seconds} s  {proof.name}"
        )
    return int(any(proof.violations for proof in proofs))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

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
from pathlib import Path

import hypothesis
from api_proof import prove as prove_api
from document_law import kinds, tried
from histories import COUNTER_PROOF, MUTATIONS, NOT_TIMED, Histories, run_histories
from history_node import RAN, seen
from hostile_objects import hostile_nodes, hostile_policies
from hostile_socket import hostile_socket
from hypothesis import settings
from kubelet_restarts import KilledKubelet, Restarts
from kubelet_restarts import restarts as restart_kubelet
from object_proof import OBJECTS, portion
from plugin_node import plugin_node
from real_kernels import OWN, Boot, run_on
from storm import Batch, storm

from virtfn_lab.cluster import LabError, down, up
from virtfn_lab.guest import run_in_guest
from virtfn_lab.node import Node
from virtfn_lab.paths import run_dir
from virtfn_lab.pool_changes import Change, changes
from virtfn_lab.pressure import Recovered, every
from virtfn_lab.product import install
from virtfn_lab.progress import say
from virtfn_lab.qemu import Hardware
from virtfn_lab.restarts import Round, rounds
from virtfn_lab.run import CommandFailedError

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


def in_cluster(name: str, tries: Callable[[Node], Iterable[Round | Change | Recovered | Batch]], seed: int) -> Proof:
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


def histories(number: int, seed: int) -> Proof:
    """Run random histories on the fake kernel, on every core, in portions with a seed each."""
    began = time.monotonic()
    portions = [(min(PORTION, number - start), seed + start // PORTION) for start in range(0, number, PORTION)]
    counted: Counter[str] = Counter()
    violations = 0
    with ProcessPoolExecutor(os.cpu_count() or 1) as pool:
        for done, (answer, happened) in enumerate(pool.map(_portion, *zip(*portions, strict=True)), start=1):
            counted += happened
            if answer:
                violations += 1
                say(f"violated: {answer}")
            if not done % 10:
                say(f"{counted[RAN]} histories, {violations} violations, {time.monotonic() - began:.0f} s")
    for what, times in sorted(counted.items()):
        say(f"{times:9} {what}")
    return Proof(
        name="random histories on the fake kernel: no held function touched, converged, originals exact",
        tried=counted[RAN] + violations,
        violations=violations,
        seed=seed,
        seconds=round(time.monotonic() - began, 1),
    )


def _portion(number: int, seed: int) -> tuple[str, Counter[str]]:
    """Run one portion; return the violation, if any, and how often each thing happened."""
    seen.clear()
    hypothesis.seed(seed)(Histories)
    answer = ""
    try:
        run_histories(settings(NOT_TIMED, stateful_step_count=20, max_examples=number))
    except Exception as error:  # any exception in a history is a violation
        answer = "".join(traceback.format_exception(error))  # the exception's notes are the history
    return answer, Counter(seen)


def counter_proofs(number: int, seed: int) -> Proof:
    """Run the histories with one safety dropped at a time. A law must break; if none does, that is a violation."""
    began = time.monotonic()
    tried = caught = 0
    for dropped, mutation in MUTATIONS.items():
        for turn in range(number):
            hypothesis.seed(seed + turn)(Histories)
            try:
                with mutation():
                    run_histories(settings(COUNTER_PROOF, derandomize=False))
            except AssertionError as error:
                caught += 1
                say(f"caught without {dropped}: {str(error).splitlines()[0]}")
            tried += 1
    return Proof(
        name=f"counter-proof: random histories without one of these are caught: {', '.join(MUTATIONS)}",
        tried=tried,
        violations=tried - caught,
        seed=seed,
        seconds=round(time.monotonic() - began, 1),
    )


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
    """Run the contract on one of our own kernels, with features that Debian's kernels lack."""
    began = time.monotonic()
    results = run_on(boot, Path(tempfile.mkdtemp(prefix="prove-", dir=run_dir())))
    said = [(f"{file}: {name}", what) for file, tests in results.items() for name, what in tests.items()]
    wrong = [f"{name}: {what}" for name, what in said if what != "passed"]
    wrong += [f"{file}: nothing was run" for file, tests in results.items() if not tests]
    for line in wrong:
        say(f"violated: {line}")
    seconds = round(time.monotonic() - began, 1)
    name = f"the contract on a kernel of our own: {boot}"
    return Proof(name=name, tried=len(said), violations=len(wrong), seed=0, seconds=seconds)


def documents(flips: int, generated: int, kills: int, seed: int) -> Proof:
    """Try our documents, damaged, changed or replaced."""
    began = time.monotonic()
    # In memory: the files' modes matter here, not their disk.
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        counted, violations = tried(kinds(Path(folder)), flips=flips, generated=generated, kills=kills, seed=seed)
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
    **{f"{boot.kernel}{'' if boot.iommu else '-noiommu'}": partial(contract, boot) for boot in OWN},
    "socket": lambda: socket(1_000_000, seed=20261128),
    "api-server": lambda: api_server(60.0),
    "pools": lambda: pools(20),
    "pressure": lambda: pressure(16, seed=20261129),
    "objects-cluster": lambda: objects_in_cluster(2000, 1000, seed=20261129),
    "histories": lambda: histories(100_000, seed=20261124),
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

"""`make prove`: the long proofs in full, of which `make test` runs short samples. Writes prove-results.json."""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import hypothesis
from histories import Histories
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from real_kernels import OWN, Boot, run_on

from virtfn_lab.cluster import LabError, down, up
from virtfn_lab.guest import run_in_guest
from virtfn_lab.node import Node
from virtfn_lab.paths import run_dir
from virtfn_lab.product import install
from virtfn_lab.progress import say
from virtfn_lab.restarts import rounds

RESULTS = Path("prove-results.json")


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What was tried, and how often it did not hold."""

    name: str
    tried: int
    violations: int
    seed: int
    seconds: float


def restarts(number: int, seed: int) -> Proof:
    """SIGKILL in the middle of an apply, in a real cluster; the first violation ends it."""
    began, tried, violations = time.monotonic(), 0, 0
    cluster = up()
    try:
        install(cluster)
        for done in rounds(Node(cluster), number, seed):
            tried += 1
            say(f"{tried}: {done.victim} killed with {done.bound} of {done.count} bound, {done.seconds:.1f} s")
    except LabError as error:
        say(f"violated: {error}")
        tried, violations = tried + 1, 1
    finally:
        down()
    name = "SIGKILL of host, agent, plugin, kubelet in the middle of an apply: converged, held VF untouched"
    return Proof(name=name, tried=tried, violations=violations, seed=seed, seconds=round(time.monotonic() - began, 1))


def histories(number: int, seed: int) -> Proof:
    """Random histories on the fake kernel, on every core; a worker ends at its first violation and says which."""
    began = time.monotonic()
    workers = os.cpu_count() or 1
    portions = [number // workers + (worker < number % workers) for worker in range(workers)]
    with ProcessPoolExecutor(workers) as pool:
        answers = list(pool.map(_portion, portions, range(seed, seed + workers)))
    for answer in filter(None, answers):
        say(f"violated: {answer}")
    return Proof(
        name="random histories on the fake kernel: no held function touched, converged, originals exact",
        tried=number,
        violations=sum(map(bool, answers)),
        seed=seed,
        seconds=round(time.monotonic() - began, 1),
    )


def _portion(number: int, seed: int) -> str:
    """What went wrong, or nothing."""
    hypothesis.seed(seed)(Histories)
    try:
        run_state_machine_as_test(Histories, settings=settings(LONG, max_examples=number))
    except AssertionError as error:
        return "\n".join([str(error), *getattr(error, "__notes__", ())])
    return ""


def in_guest(name: str, settings_: str, test: str, seed: int) -> Proof:
    """One test of tests/kernel/guest, the long way, on a real kernel."""
    began = time.monotonic()
    out = Path(tempfile.mkdtemp(prefix="prove-", dir=run_dir()))
    words = f"VIRTFN_TRIED=/out/tried {settings_} python3 -m pytest -s -p no:cacheprovider --timeout=14400"
    status = run_in_guest(f"{words} tests/kernel/guest/{test}", out=out, timeout=14400)
    tried = sum(map(int, (out / "tried").read_text().split())) if (out / "tried").exists() else 0
    seconds = round(time.monotonic() - began, 1)
    return Proof(name=name, tried=tried, violations=int(status != 0), seed=seed, seconds=seconds)


def contract(boot: Boot) -> Proof:
    """The contract on one of our own kernels: what no kernel of Debian has."""
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


LONG = settings(stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck), database=None)

PROOFS: tuple[Callable[[], Proof], ...] = (
    lambda: histories(100_000, seed=20261124),
    lambda: in_guest(
        "real kernel: operations against programs that open VFs: none pulled from under one, no write blocked 1 s",
        "VIRTFN_CONTESTED=1000",
        "test_contested.py",
        seed=1,
    ),
    lambda: in_guest(
        "real kernel: SIGKILL at every step boundary of five plans: converged, restored byte for byte",
        "VIRTFN_BOUNDARIES=1",
        "test_killed.py",
        seed=0,
    ),
    *(partial(contract, boot) for boot in OWN),
    lambda: restarts(100, seed=20261124),
)


def main() -> int:
    """1 when anything was violated."""
    proofs = []
    for prove in PROOFS:
        proofs.append(prove())
        RESULTS.write_text(json.dumps([asdict(proof) for proof in proofs], indent=1) + "\n")
    for proof in proofs:
        print(
            f"{proof.tried:8} tried  {proof.violations} violations  seed {proof.seed}  {proof.seconds} s  {proof.name}"
        )
    return int(any(proof.violations for proof in proofs))


if __name__ == "__main__":
    sys.exit(main())

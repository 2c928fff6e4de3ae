"""`make prove`: the long proofs in full, of which `make test` runs short samples. Writes prove-results.json."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from virtfn_lab.cluster import LabError, down, up
from virtfn_lab.node import Node
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


PROOFS: tuple[Callable[[], Proof], ...] = (lambda: restarts(100, seed=20261124),)


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

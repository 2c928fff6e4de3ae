"""`make demo`: cluster, chart, policy, pod, and everything given back, in one command.

It shows what a user sees, with the time that each step took, and fails at the first step that goes wrong.
"""

import sys

from virtfn_lab.cluster import Cluster, LabError, up
from virtfn_lab.node import CONVERGED
from virtfn_lab.paths import repository
from virtfn_lab.product import RESOURCE, allocatable, functions, install, node_ready, pod, uninstall
from virtfn_lab.progress import say
from virtfn_lab.run import CommandFailedError

POLICY = repository() / "examples/policy-fast.yaml"


def demo(cluster: Cluster) -> None:
    """Apply a policy and a pod, then delete both.

    Raises:
        LabError: a step did not have the expected result.
    """
    say(f"virtfn installed; every pod ready after {install(cluster):.1f} s")
    before = functions(cluster)
    print(f"$ cat examples/{POLICY.name}\n{POLICY.read_text()}")
    cluster.kubectl("apply", "-f", str(POLICY))
    seconds = cluster.until("14 VFs are allocatable", lambda: allocatable(cluster) == 14, 120)
    say(f"14 VFs allocatable {seconds:.1f} s after the policy")
    cluster.until("the node is converged", lambda: node_ready(cluster) == CONVERGED, 60)
    _show(cluster, "get", "svp")
    _show(cluster, "get", "svn")
    say(f"allocatable on node-1: {RESOURCE} = {allocatable(cluster)}")
    cluster.kubectl("apply", "-f", "-", stdin=pod("demo"))
    seconds = cluster.until("the pod opened its VF", lambda: "opened /dev/vfio/" in _log(cluster), 120)
    say(f"a pod has its VF open {seconds:.1f} s after it was applied; it says:")
    print(_log(cluster))
    cluster.until("the node shows it", lambda: "default/demo" in str(cluster.get("svn", "node-1")["status"]), 30)
    _show(cluster, "get", "svn")
    cluster.kubectl("delete", "pod", "demo")
    cluster.kubectl("delete", "-f", str(POLICY))
    seconds = cluster.until("every function is as it was", lambda: functions(cluster) == before, 120)
    say(f"policy deleted; VFs gone and the original state back after {seconds:.1f} s:")
    print(functions(cluster))
    cluster.until("the node is converged", lambda: node_ready(cluster) == CONVERGED, 60)
    _show(cluster, "get", "svn")
    uninstall(cluster)
    say("chart uninstalled")


def _show(cluster: Cluster, *words: str) -> None:
    print(f"$ kubectl {' '.join(words)}\n{cluster.kubectl(*words).stdout}", flush=True)


def _log(cluster: Cluster) -> str:
    return cluster.kubectl("logs", "demo", check=False).stdout


def main() -> int:
    """Entry point of `make demo`; the lab keeps running for a closer look."""
    try:
        demo(up())
    except (LabError, CommandFailedError) as error:
        print(error, file=sys.stderr)
        return 1
    say("done; the lab still runs: make lab-down stops it")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`make demo`: cluster, chart, policy, pod, a virtual machine that uses its VF, and everything given back.

It shows what a user sees, with the time that each step took, and fails at the first step that goes wrong.
"""

import sys

from virtfn_lab.cluster import Cluster, LabError, up
from virtfn_lab.consumers import FAR, example, far_end, follow
from virtfn_lab.node import CONVERGED, Node
from virtfn_lab.paths import repository
from virtfn_lab.product import RESOURCE, allocatable, functions, install, node_ready, pod, uninstall
from virtfn_lab.progress import say
from virtfn_lab.run import CommandFailedError

POLICY = repository() / "examples/policy-fast.yaml"
MACHINES = "virtfn.dev/machine"
"""The resource of examples/virtual-machine/policy.yaml."""


def demo(cluster: Cluster) -> None:
    """Install the chart, let a pod and a virtual machine in a pod use a VF, give everything back.

    Raises:
        LabError: a step did not have the expected result.
    """
    say(f"virtfn installed; every pod ready after {install(cluster):.1f} s")
    before = functions(cluster)
    _pod(cluster)
    _given_back(cluster, before, "fast")
    _virtual_machine(cluster)
    _given_back(cluster, before, "machines")
    _show(cluster, "get", "svn")
    uninstall(cluster)
    say("chart uninstalled")


def _pod(cluster: Cluster) -> None:
    """Make VFs, and let a pod open one."""
    print(f"$ cat examples/{POLICY.name}\n{POLICY.read_text()}")
    _show(cluster, "apply", "-f", str(POLICY))
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


def _virtual_machine(cluster: Cluster) -> None:
    """Let a virtual machine in a pod send packets through its VF to another VF of the card."""
    node = Node(cluster)
    node.apply(example("virtual-machine/policy.yaml"))
    cluster.until("6 VFs are allocatable", lambda: allocatable(cluster, MACHINES) == 6, 120)
    node.converged()
    with far_end(node) as far:
        say(f"6 VFs for virtual machines; node-1 keeps the seventh, {far}, and answers there at {FAR}")
        node.apply(example("virtual-machine/pod.yaml"))
        say("a pod starts a virtual machine with its VF; the machine says:")
        said = follow(node, "machine", lambda line: print(line, flush=True))
    if not any(line.endswith(" 0% packet loss") for line in said):
        raise LabError("the virtual machine did not reach node-1")
    say("packets went from the virtual machine through its VF to node-1, and back")
    cluster.kubectl("delete", "pod", "machine")


def _given_back(cluster: Cluster, before: str, policy: str) -> None:
    """Delete a policy, and wait until every function is as it was before."""
    _show(cluster, "delete", "svp", policy)
    seconds = cluster.until("every function is as it was", lambda: functions(cluster) == before, 120)
    say(f"policy deleted; VFs gone and the original state back after {seconds:.1f} s:")
    print(functions(cluster))
    cluster.until("the node is converged", lambda: node_ready(cluster) == CONVERGED, 60)


def _show(cluster: Cluster, *words: str) -> None:
    print(f"$ kubectl {' '.join(words)}\n{cluster.kubectl(*words).stdout}", flush=True)


def _log(cluster: Cluster) -> str:
    return cluster.kubectl("logs", "demo", check=False).stdout


def main() -> int:
    """Entry point of `make demo`; the lab keeps running for a closer look."""
    try:
        demo(up(consumers=["qemu"]))
    except (LabError, CommandFailedError) as error:
        print(error, file=sys.stderr)
        return 1
    say("done; the lab still runs: make lab-down stops it")
    return 0


if __name__ == "__main__":
    sys.exit(main())

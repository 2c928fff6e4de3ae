"""The lab's command: `python -m virtfn_lab up | down | status | kubectl | helm | exec | footprint`."""

import argparse
import sys

from virtfn_lab import cluster
from virtfn_lab.footprint import footprint
from virtfn_lab.inside import KUBELET_ROOT
from virtfn_lab.progress import say
from virtfn_lab.qemu import TOPOLOGIES
from virtfn_lab.run import CommandFailedError


def main() -> int:
    """Run one verb; return the exit status."""
    parser = argparse.ArgumentParser(prog="virtfn_lab", description="A cluster with emulated SR-IOV hardware.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up", help="build what is missing and start a cluster")
    up.add_argument("--nodes", type=int, default=1)
    up.add_argument("--topology", choices=sorted(TOPOLOGIES), default="igb2")
    up.add_argument("--kubelet-root", default=KUBELET_ROOT, help="root-dir of the kubelets (default: %(default)s)")
    up.add_argument("--consumers", action="store_true", help="with the images and cards of docs/consumers/")
    verbs.add_parser("down", help="stop the cluster and remove what it left")
    verbs.add_parser("status", help="its nodes")
    for name, text in (("kubectl", "kubectl as administrator"), ("helm", "Helm as administrator")):
        verbs.add_parser(name, help=text).add_argument("words", nargs=argparse.REMAINDER)
    node = verbs.add_parser("exec", help="a shell command as root on a node")
    node.add_argument("node", type=int)
    node.add_argument("command")
    share = verbs.add_parser("footprint", help="what the processes of virtfn take of a node")
    share.add_argument("--node", type=int, default=1)
    share.add_argument("--seconds", type=float, default=60.0, help="to watch the processor for (default: %(default)s)")
    options = parser.parse_args()
    try:
        return _run(options)
    except (cluster.LabError, CommandFailedError) as error:
        print(error, file=sys.stderr)
        return 1


def _run(options: argparse.Namespace) -> int:
    if options.verb == "up":
        topology = "consumers" if options.consumers else options.topology
        consumers = cluster.CONSUMERS if options.consumers else ()
        made = cluster.up(options.nodes, topology, options.kubelet_root, consumers=consumers)
        say(f"kubeconfig, for use inside the lab's network: {made.folder / 'pki/admin.kubeconfig'}")
        say("try: make kubectl ARGS='get nodes'")
        return 0
    if options.verb == "down":
        cluster.down()
        return 0
    running = cluster.running()
    if options.verb == "footprint":
        for line in footprint(running, options.node, options.seconds):
            print(line)
        return 0
    if options.verb == "status":
        done = running.kubectl("get", "nodes", "-o", "wide", check=False)
    elif options.verb == "exec":
        done = running.node_exec(options.node, options.command)
    else:
        done = getattr(running, options.verb)(*options.words, check=False)
    print(done.stdout, end="")
    print(done.stderr, end="", file=sys.stderr)
    return int(done.returncode)


if __name__ == "__main__":
    sys.exit(main())

"""Install, upgrade, roll back and uninstall the chart, and print what is left on the node and in the API.

The chart to upgrade from is that of the commit before the one that brought the hooks, with a field less in a CRD, so
that a CRD is upgraded whatever these commits changed.
"""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from virtfn_lab.cluster import Cluster, LabError
from virtfn_lab.node import Node
from virtfn_lab.paths import repository
from virtfn_lab.product import CHART, HOOK_SECONDS, NAMESPACE, functions, settings, uninstall
from virtfn_lab.progress import say
from virtfn_lab.run import run

HOOKS = "charts/virtfn/templates/hooks.yaml"
POLICIES, NODES = "sriovpolicies.virtfn.dev", "sriovnodes.virtfn.dev"
CRDS = tuple(sorted(f"{path.stem}.virtfn.dev" for path in (CHART / "crds").iterdir()))

KINDS = "all,sa,role,rolebinding,configmap,secret,networkpolicy,pdb,lease"
CLUSTER_KINDS = (
    "clusterrole,clusterrolebinding,priorityclass,validatingwebhookconfiguration,"
    "validatingadmissionpolicy,validatingadmissionpolicybinding"
)
FILES = (
    "find /run/virtfn* /var/lib/virtfn* /etc/systemd/system -name '*' ! -type d 2>/dev/null"
    " | grep -e virtfn; find /var/lib/kubelet/device-plugins /var/lib/kubelet/plugins* -name 'virtfn*' || true"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftBehind:
    """What is left of virtfn; all sorted."""

    objects: tuple[str, ...]
    """Objects of the chart, its hooks and its processes."""
    nodes: tuple[str, ...]
    """SriovNodes."""
    policies: tuple[str, ...]
    files: tuple[str, ...]
    """Files and sockets on the node."""
    functions: str
    """As `product.functions`."""

    def __str__(self) -> str:
        lines = (
            ("objects", self.objects),
            ("SriovNodes", self.nodes),
            ("policies, which are the user's", self.policies),
            ("files on the node", self.files),
        )
        return "; ".join(f"{what}: {', '.join(found) or 'nothing'}" for what, found in lines)


def left_behind(node: Node) -> LeftBehind:
    """Look at what is left of virtfn, and print it."""
    found = LeftBehind(
        objects=tuple(sorted(_objects(node.cluster))),
        nodes=_names(node.cluster, "svn"),
        policies=_names(node.cluster, "svp"),
        files=tuple(sorted(node.shell(FILES).split())),
        functions=functions(node.cluster),
    )
    say(f"left behind: {found}")
    return found


def left_in_the_end(node: Node) -> LeftBehind:
    """Wait until Kubernetes has collected what belonged to removed objects (replica sets), and look at what is left.

    Raises:
        LabError: objects of the chart are left.
    """
    node.until("no object of the chart is left", lambda: not _objects(node.cluster), 60)
    return left_behind(node)


def _objects(cluster: Cluster) -> list[str]:
    lines = cluster.kubectl("get", KINDS, "-A", "-o", "name").stdout
    lines += cluster.kubectl("get", CLUSTER_KINDS, "-o", "name").stdout
    return [name for name in lines.splitlines() if "virtfn" in name]


_NO_KIND = ("doesn't have a resource type", "could not find the requested resource")
"""What kubectl says where a CRD is gone: the second, as long as it remembers what the API server had."""


def _names(cluster: Cluster, kind: str) -> tuple[str, ...]:
    """Names of a kind; none where its CRD is gone."""
    done = cluster.kubectl("get", kind, "-o", "jsonpath={.items[*].metadata.name}", check=False)
    if done.returncode != 0 and not any(text in done.stderr for text in _NO_KIND):
        raise LabError(f"kubectl get {kind}: {done.stderr}")
    return tuple(sorted(done.stdout.split()))


def older_chart(folder: Path) -> Path:
    """Write the chart of the commit before the hooks into a folder, without the field `slot` of matchers.

    Raises:
        LabError: this checkout has no history.
    """
    words = ["git", "-C", str(repository()), "log", "--diff-filter=A", "--format=%H", "--", HOOKS]
    added = run(words).split()
    if not added:
        raise LabError(f"no commit adds {HOOKS}: is this a checkout with its history?")
    words = ["git", "-C", str(repository()), "archive", "--output", str(folder / "chart.tar"), f"{added[-1]}^"]
    run([*words, "charts/virtfn"])
    with tarfile.open(fileobj=io.BytesIO((folder / "chart.tar").read_bytes())) as found:
        found.extractall(folder, filter="data")
    chart = folder / "charts/virtfn"
    path = chart / "crds/sriovpolicies.yaml"
    crd = yaml.safe_load(path.read_text())
    del matcher(crd)["properties"]["slot"]
    for rule in matcher(crd)["x-kubernetes-validations"]:
        rule["rule"] = rule["rule"].replace(" || has(self.slot)", "")
    path.write_text(yaml.safe_dump(crd))
    return chart


def matcher(crd: Any) -> dict[str, Any]:
    """Return the schema of a matcher in the CRD of policies."""
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    found: dict[str, Any] = schema["properties"]["spec"]["properties"]["devices"]["items"]
    return found


def knows_slot(cluster: Cluster) -> bool:
    """Whether the cluster's CRD has the field that the older chart's one lacks."""
    return "slot" in matcher(cluster.get("crd", POLICIES))["properties"]


def install_chart(cluster: Cluster, chart: Path) -> None:
    """Install a chart."""
    _helm(cluster, "install", "virtfn", str(chart), "--create-namespace", *settings())


def upgrade(cluster: Cluster, chart: Path = CHART) -> str:
    """Upgrade to a chart; return what Helm and the hook say."""
    return _helm(cluster, "upgrade", "virtfn", str(chart), *settings())


def roll_back(cluster: Cluster, revision: int) -> str:
    """Roll back to a revision; return what Helm says."""
    return _helm(cluster, "rollback", "virtfn", str(revision))


def uninstall_chart(cluster: Cluster) -> str:
    """Uninstall, wait for the chart's pods to end, and return what Helm and the hooks say."""
    return _printed("uninstall", uninstall(cluster))


def _helm(cluster: Cluster, *words: str) -> str:
    """Run Helm with time for an emulated node; its hooks' logs come on standard error."""
    words = (*words, "--namespace", NAMESPACE, "--timeout", f"{HOOK_SECONDS}s")
    done = cluster.helm(*words, timeout=3 * HOOK_SECONDS)
    return _printed(words[0], done.stdout + done.stderr)


def _printed(command: str, told: str) -> str:
    for line in told.splitlines():
        say(f"helm {command}: {line}")
    return told

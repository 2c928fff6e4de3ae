"""Whether virtfn can be installed in a cluster: each check gives findings, each finding the command that mends it."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from virtfn_host.core.values.codec import SPARSE
from virtfn_kubectl.judge.explained import some
from virtfn_kubectl.judge.other_programs import other_programs
from virtfn_kubectl.read.members import DaemonSeen, MemberSeen
from virtfn_operator.api import GROUP

OLDEST = (1, 30)
"""The chart's kubeVersion."""

ENFORCE = "pod-security.kubernetes.io/enforce"
NFD = "feature.node.kubernetes.io/"
"""How labels of Node Feature Discovery begin."""
_CAPABLE = re.compile(r"feature\.node\.kubernetes\.io/(network-sriov\.capable|pci-[\w.]+\.sriov\.capable)", re.ASCII)
_VERSION = re.compile(r"v?(\d{1,4})\.(\d{1,4})", re.ASCII)


class Level(StrEnum):
    """How grave a finding is."""

    OK = "ok"
    NOTE = "note"
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One result of a check."""

    level: Level
    text: str
    next: str = ""
    """The command that mends it, or what to do."""
    unseen: bool = field(default=False, metadata=SPARSE)
    """Whether it says only that something could not be looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """Something that could not be looked at."""

    text: str
    forbidden: bool
    """Whether a right is missing, so that others may look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFacts:
    """What is known of a cluster; None where it may not be read."""

    namespace: str
    server: str = ""
    """The API server's version, like `v1.31.2`."""
    groups: frozenset[str] | None = None
    """API groups."""
    there: bool | None = None
    """Whether the namespace is there."""
    labels: tuple[tuple[str, str], ...] = ()
    """Labels of the namespace, if it is there."""
    members: tuple[MemberSeen, ...] | None = None
    daemons: tuple[DaemonSeen, ...] | None = None
    may_install: bool | None = None
    because: str = ""
    """Why not, in the API server's words, if it gives a reason."""
    unseen: tuple[Unseen, ...] = ()


def preflight(facts: ClusterFacts) -> tuple[Finding, ...]:
    """Return the findings of every check."""
    found = [finding for check in CHECKS for finding in check(facts)]
    return (*found, *map(_not_looked_at, facts.unseen))


def _not_looked_at(it: Unseen) -> Finding:
    step = "have an administrator of the cluster look, or give you the rights that docs/kubectl.md lists"
    next_ = step if it.forbidden else ""
    return Finding(level=Level.NOTE, text=f"not looked at: {it.text}", next=next_, unseen=True)


def version(text: str) -> tuple[int, int] | None:
    """Return major and minor of a version like `v1.31.2+k3s1`, or None."""
    match = _VERSION.match(text)
    return (int(match[1]), int(match[2])) if match else None


def _server(facts: ClusterFacts) -> Iterator[Finding]:
    found = version(facts.server)
    if found is None:
        yield Finding(level=Level.NOTE, text="the API server's version is not known", next="kubectl version")
    elif found < OLDEST:
        text = f"API server {facts.server}: the chart needs {_dotted(OLDEST)} or newer"
        yield Finding(level=Level.BAD, text=text, next="upgrade the cluster")
    else:
        yield Finding(level=Level.OK, text=f"API server {facts.server}")


def _kubelets(facts: ClusterFacts) -> Iterator[Finding]:
    if facts.members is None:
        return
    linux = [member for member in facts.members if member.system in ("", "linux")]
    old = [it for it in linux if (found := version(it.kubelet)) is not None and found < OLDEST]
    if old:
        text = f"kubelets older than {_dotted(OLDEST)}: {some([f'{it.name} {it.kubelet}' for it in old])}"
        step = "upgrade these nodes, or keep virtfn off them with the chart's value nodes.nodeSelector"
        yield Finding(level=Level.BAD, text=text, next=step)
    elif linux:
        versions = sorted({it.kubelet for it in linux if it.kubelet})
        yield Finding(level=Level.OK, text=f"{len(linux)} Linux nodes, kubelets {some(versions)}")
    else:
        yield Finding(level=Level.BAD, text="there is no Linux node", next="kubectl get nodes")
    if away := [it.name for it in linux if not it.ready]:
        yield Finding(level=Level.NOTE, text=f"not ready: {some(away)}", next=f"kubectl describe node {away[0]}")


def _namespace(facts: ClusterFacts) -> Iterator[Finding]:
    name = facts.namespace
    label = f"kubectl label namespace {name} {ENFORCE}=privileged --overwrite"
    if facts.there is None:
        return
    if not facts.there:
        step = f"kubectl create namespace {name} && {label}"
        yield Finding(level=Level.NOTE, text=f"there is no namespace {name} yet", next=step)
        return
    match dict(facts.labels).get(ENFORCE):
        case "privileged":
            yield Finding(level=Level.OK, text=f"namespace {name} allows privileged pods")
        case None:
            text = f"namespace {name} has no label {ENFORCE}; where the cluster enforces another level by default,"
            yield Finding(level=Level.NOTE, text=f"{text} the container `host` is refused", next=label)
        case other:
            text = f"namespace {name} enforces Pod Security level {other}, which refuses the container `host`"
            yield Finding(level=Level.BAD, text=text, next=label)


def _devices(facts: ClusterFacts) -> Iterator[Finding]:
    if facts.members is None:
        return
    capable = [it.name for it in facts.members if any(_CAPABLE.fullmatch(k) and v == "true" for k, v in it.labels)]
    if capable:
        yield Finding(level=Level.OK, text=f"nodes with SR-IOV, by Node Feature Discovery: {some(capable)}")
    elif any(key.startswith(NFD) for member in facts.members for key, _ in member.labels):
        text = "Node Feature Discovery has found no function with SR-IOV on any node"
        yield Finding(level=Level.NOTE, text=text, next="switch SR-IOV on in the firmware of node and card")
    elif facts.members:
        text = "nothing tells which nodes have SR-IOV: Node Feature Discovery is not installed"
        yield Finding(level=Level.NOTE, text=text, next=_look(facts.members[0].name))


def _look(node: str) -> str:
    """Return the command that shows which functions of a node can make VFs, before anything is installed."""
    return f"kubectl debug node/{node} -it --image=busybox -- sh -c 'grep . /host/sys/bus/pci/devices/*/sriov_totalvfs'"


def _others(facts: ClusterFacts) -> Iterator[Finding]:
    found = tuple(other_programs(facts.groups or frozenset(), facts.daemons))
    for program in found:
        level = Level.BAD if program.running else Level.NOTE
        yield Finding(level=level, text=program.text, next=program.next)
    if not found and facts.groups is not None and facts.daemons is not None:
        yield Finding(level=Level.OK, text="no other program that manages SR-IOV devices")


def _installed(facts: ClusterFacts) -> Iterator[Finding]:
    if facts.groups is not None and GROUP in facts.groups:
        step = "helm list -A --filter virtfn; before an upgrade: kubectl apply -f charts/virtfn/crds"
        yield Finding(level=Level.NOTE, text="virtfn's API is here already", next=step)


def _permission(facts: ClusterFacts) -> Iterator[Finding]:
    if facts.may_install is False:
        text = "you may not create CustomResourceDefinitions and ClusterRoles"
        text += f": {facts.because}" if facts.because else ""
        yield Finding(level=Level.BAD, text=text, next="have an administrator of the cluster install virtfn")
    elif facts.may_install:
        yield Finding(level=Level.OK, text="you may create what the chart has")


def _values(facts: ClusterFacts) -> Iterator[Finding]:
    """Yield the chart's values that a distribution needs (docs/install.md)."""
    members = facts.members or ()
    if any("+k0s" in member.kubelet for member in members):
        yield _value("k0s", "kubelet.rootDir=/var/lib/k0s/kubelet")
    if any(key.startswith("microk8s.io/") for member in members for key, _ in member.labels):
        yield _value("MicroK8s", "networkPolicy.apiServer.ports={16443}")
    if facts.groups is not None and "security.openshift.io" in facts.groups:
        yield _value("OpenShift", "securityContextConstraints.create=true")


def _value(distribution: str, value: str) -> Finding:
    step = f"helm install ... --set {value}    (docs/install.md has the others)"
    return Finding(level=Level.NOTE, text=f"{distribution} needs values of the chart", next=step)


def _dotted(found: tuple[int, int]) -> str:
    return f"{found[0]}.{found[1]}"


CHECKS: tuple[Callable[[ClusterFacts], Iterator[Finding]], ...] = (
    _server,
    _kubelets,
    _permission,
    _namespace,
    _devices,
    _others,
    _installed,
    _values,
)

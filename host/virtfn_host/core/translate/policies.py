"""Write what was asked for as SriovPolicy objects, and check each as virtfn itself will."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

from virtfn_host.core.translate.asked import Asked, Nodes, Target, Translated
from virtfn_host.core.translate.item import UnfitError
from virtfn_host.core.turn.policy import API_VERSION, policy_config
from virtfn_host.core.values.desired import DeviceMatcher, Rejected
from virtfn_host.core.values.fields import LIST_LIMIT

MOST_NAMES = 256
"""Most values of one requirement on a label."""

NAME_LIMIT = 63
"""Characters of a policy's name: it is also written into labels."""

HOSTNAME = "kubernetes.io/hostname"
"""The label that the kubelet sets to the node's name."""

_WIRE = {"class_code": "class"}
_NO_NAME = re.compile(r"[^a-z0-9]+")


def written(asked: Sequence[Asked]) -> Iterator[Translated]:
    """Yield the policies of all resources, each with a name of its own."""
    taken: set[str] = set()
    for one in asked:
        yield from _policies(one, taken)


def _policies(asked: Asked, taken: set[str]) -> Iterator[Translated]:
    """Yield one policy for each set of indexes; a policy's pools are the same on all of its PFs."""
    if not asked.targets:
        yield Translated(source=asked.source, document=None, notes=asked.notes, open=asked.open)
    notes = asked.notes
    for targets in _alike(asked.targets):
        document = {
            "apiVersion": API_VERSION,
            "kind": "SriovPolicy",
            "metadata": {"name": own_name(asked.name, taken)},
            "spec": _spec(asked, targets),
        }
        _check(asked, document)
        yield Translated(source=asked.source, document=document, notes=notes, open=asked.open)
        notes = ()


def _alike(targets: Iterable[Target]) -> Iterator[list[Target]]:
    """Yield targets that fit into one policy: with equal indexes and counts, 64 at most."""
    groups: dict[Target, list[Target]] = {}
    for target in targets:
        groups.setdefault(replace(target, matcher=DeviceMatcher(), cards=frozenset()), []).append(target)
    for group in groups.values():
        for first in range(0, len(group), LIST_LIMIT):
            yield group[first : first + LIST_LIMIT]


def own_name(wanted: str, taken: set[str]) -> str:
    """Return a name for an object that no other has: of the wanted characters, or with a number."""
    base = _NO_NAME.sub("-", wanted.lower())[:NAME_LIMIT].strip("-") or "imported"
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base[: NAME_LIMIT - 7].rstrip('-')}-{number}"
    taken.add(name)
    return name


def _spec(asked: Asked, targets: Sequence[Target]) -> dict[str, Any]:
    first = targets[0]
    spec: dict[str, Any] = {}
    if selector := _selector(asked.nodes):
        spec["nodeSelector"] = selector
    if asked.priority:
        spec["priority"] = asked.priority
    spec["devices"] = [_matcher(target.matcher) for target in targets]
    offered = {"resourceName": asked.resource}
    granted = {**({"rdma": True} if asked.rdma else {}), **({"vhostNet": True, "tun": True} if asked.vhost_net else {})}
    grant = {"grant": granted} if granted else {}
    offer = grant if asked.topology else {**grant, "allocation": {"topology": "None"}}
    if first.whole:
        return spec | {"wholeFunctions": {**offered, "driver": asked.driver, **offer}}
    count = {} if first.count is None else {"count": first.count}
    indexes = {} if first.indexes is None else {"indexes": str(first.indexes)}
    lasting = {name: "Stable" for name, needed in (("mac", asked.mac), ("guid", asked.guid)) if needed}
    link = {"link": lasting} if lasting else {}
    pool = {**offered, **indexes, "driver": asked.driver, **link, **offer}
    mtu = {} if asked.mtu is None else {"mtu": asked.mtu}
    return spec | {"virtualFunctions": {**count, **mtu, "pools": [pool]}}


def _selector(nodes: Nodes) -> dict[str, Any]:
    labels = dict(nodes.labels)
    if len(nodes.names) == 1:
        labels[HOSTNAME] = nodes.names[0]
    selector: dict[str, Any] = {"matchLabels": labels} if labels else {}
    if len(nodes.names) > 1:
        selector["matchExpressions"] = [{"key": HOSTNAME, "operator": "In", "values": list(nodes.names)}]
    return selector


def _matcher(matcher: DeviceMatcher) -> dict[str, Any]:
    given = {field.name: getattr(matcher, field.name) for field in fields(matcher)}
    return {_WIRE.get(name, name): str(value) for name, value in given.items() if value is not None}


def _check(asked: Asked, document: dict[str, Any]) -> None:
    """Refuse what virtfn itself would refuse: a limit that the other tool does not have."""
    name = document["metadata"]["name"]
    read = policy_config(name=name, uid=name, generation=1, spec=document["spec"])
    if isinstance(read, Rejected):
        raise UnfitError(asked.place, f"{asked.source}: the policy would be refused: {read.message}")

"""SriovNetwork, SriovIBNetwork and OVSNetwork as NetworkAttachmentDefinitions, with the CNI configuration that the
operator makes of them.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from virtfn_host.core.translate.asked import Translated
from virtfn_host.core.translate.devices import OBJECT_NAME, full_name
from virtfn_host.core.translate.item import JSON_LIMIT, Item, inside, needed
from virtfn_host.core.translate.words import left_out

NETWORKS = {"SriovNetwork": "sriov", "SriovIBNetwork": "ib-sriov", "OVSNetwork": "ovs"}
"""Kinds of networks, with the type of their CNI plugin."""

_SWITCH, _STATE = ("on", "off"), ("auto", "enable", "disable")
_PROTOCOLS = ("802.1q", "802.1Q", "802.1ad", "802.1AD")
_MOST_RATE = 2**31 - 1

_COMMON = ("resourceName", "networkNamespace", "ipam", "capabilities", "metaPlugins")

_WORDS: dict[str, dict[str, tuple[str, tuple[str, ...]]]] = {
    "SriovNetwork": {
        "spoofChk": ("spoofchk", _SWITCH),
        "trust": ("trust", _SWITCH),
        "vlanProto": ("vlanProto", _PROTOCOLS),
        "linkState": ("link_state", _STATE),
    },
    "SriovIBNetwork": {"linkState": ("link_state", _STATE)},
    "OVSNetwork": {},
}
"""Fields with a closed list of words: their names in the CNI configuration, and the words."""

_NUMBERS: dict[str, dict[str, tuple[str, int]]] = {
    "SriovNetwork": {
        "vlan": ("vlan", 4096),
        "vlanQoS": ("vlanQoS", 7),
        "minTxRate": ("min_tx_rate", _MOST_RATE),
        "maxTxRate": ("max_tx_rate", _MOST_RATE),
    },
    "SriovIBNetwork": {},
    "OVSNetwork": {"vlan": ("vlan", 4095), "mtu": ("mtu", 65535)},
}
_TEXTS: dict[str, dict[str, str]] = {
    "SriovNetwork": {"logLevel": "logLevel", "logFile": "logFile"},
    "SriovIBNetwork": {},
    "OVSNetwork": {"bridge": "bridge", "interfaceType": "interface_type"},
}


def network(item: Item, kind: str, prefix: str) -> Translated:
    """Return the NetworkAttachmentDefinition of a network object."""
    fields = item.fields()
    metadata = needed(fields, "metadata", item).fields()
    name = needed(metadata, "name", fields["metadata"]).matching(OBJECT_NAME, "an object's name")
    holder = needed(fields, "spec", item)
    spec = holder.fields()
    namespace = next((f for f in (spec.get("networkNamespace"), metadata.get("namespace")) if f and f.value), None)
    resource = full_name(prefix, needed(spec, "resourceName", holder))
    placed = {} if namespace is None else {"namespace": namespace.matching(OBJECT_NAME, "a namespace")}
    document = {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": name, **placed, "annotations": {"k8s.v1.cni.cncf.io/resourceName": resource}},
        "spec": {"config": json.dumps(_config(name, kind, spec), indent=2)},
    }
    known = (*_COMMON, *_WORDS[kind], *_NUMBERS[kind], *_TEXTS[kind], *(("trunk",) if kind == "OVSNetwork" else ()))
    return Translated(source=f"{kind} {name}", document=document, notes=left_out(spec, known, {}))


def _config(name: str, kind: str, spec: Mapping[str, Item]) -> dict[str, Any]:
    """Return a plugin's configuration, or a list of plugins where others are chained."""
    head = {"cniVersion": "1.0.0", "name": name}
    plugin = {"type": NETWORKS[kind], **dict(_settings(kind, spec))}
    if not (chained := spec.get("metaPlugins")) or not chained.value:
        return head | plugin
    return head | {"plugins": [plugin, *_chained(chained)]}


def _chained(item: Item) -> list[object]:
    """Return the plugins of a text that is a list without brackets."""
    others = item.document("[", "]").items()
    with inside(item, f"[{item.value}]"):
        for other in others:
            needed(other.fields(), "type", other)
    return [other.value for other in others]


def _settings(kind: str, spec: Mapping[str, Item]) -> Iterator[tuple[str, object]]:
    for field, (called, highest) in _NUMBERS[kind].items():
        if field in spec:
            yield called, spec[field].number(highest)
    for field, (called, words) in _WORDS[kind].items():
        if field in spec and spec[field].value != "":
            yield called, spec[field].one_of(words)
    for field, called in _TEXTS[kind].items():
        if field in spec and spec[field].value != "":
            yield called, spec[field].text(4096)
    if kind == "OVSNetwork" and "trunk" in spec:
        yield "trunk", [{key: one.number(4095) for key, one in part.fields().items()} for part in spec["trunk"].items()]
    if (given := spec.get("capabilities")) and given.value:
        yield "capabilities", _object(given)
    given = spec.get("ipam")
    yield "ipam", _object(given) if given and given.value else {}


def _object(item: Item) -> object:
    """Return the object that a text field has as JSON."""
    item.text(JSON_LIMIT)
    found = item.document()
    if not isinstance(found.value, dict):
        raise item.unfit("want a JSON object in it")
    return found.value

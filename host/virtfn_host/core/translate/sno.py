"""Objects of the SR-IOV network operator: SriovNetworkNodePolicy, and its kinds of networks.

Facts: priority is 0 to 99, and the lower number wins; absent is 99. A selector without a range means the first `numVfs`
VFs. On one PF, policies of one priority, and those whose VFs do not overlap, get the highest `numVfs` of them; of two
that overlap, the one that wins gets the VFs, and the other none.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from virtfn_host.core.translate.asked import Asked, Nodes, Target, Translated, Translation
from virtfn_host.core.translate.counts import first_indexes, settled
from virtfn_host.core.translate.devices import (
    OBJECT_NAME,
    Named,
    both,
    distinct,
    expect_few,
    full_name,
    hex_id,
    pf_names,
    root_devices,
)
from virtfn_host.core.translate.item import Item, needed
from virtfn_host.core.translate.networks import NETWORKS, network
from virtfn_host.core.translate.policies import written
from virtfn_host.core.translate.words import called, left_out, mapping_of
from virtfn_host.core.values.desired import KERNEL_DRIVER, DeviceMatcher
from virtfn_host.core.values.fields import LIST_LIMIT
from virtfn_host.core.values.names import MAX_MTU
from virtfn_host.core.values.strict_json import clipped

PREFIX = "openshift.io"
"""Domain of a resource name; the operator's environment variable RESOURCE_PREFIX says another."""

GROUP = "sriovnetwork.openshift.io"
POLICY = "SriovNetworkNodePolicy"
LOWEST = 99
MOST_VFS = 2048
"""Most VFs of one PF in the CRD."""
MOST_OBJECTS = 1024

_LABEL = re.compile(r"([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")

_NETWORK_CLASS = "02"
_DRIVERS = {"netdevice": KERNEL_DRIVER, "vfio-pci": "vfio-pci"}

_OTHER_KINDS = {
    "SriovNetworkNodeState": "virtfn shows the state of a node as SriovNode",
    "SriovOperatorConfig": "virtfn has no such object; nodes are not drained, the chart's values hold its settings",
    "SriovNetworkPoolConfig": "write maxUnavailable of the pool into `disruption.maxUnavailable` of each policy",
}

_SPEC_FIELDS = (
    *("resourceName", "nodeSelector", "priority", "numVfs", "nicSelector", "deviceType", "externallyManaged"),
    *("vdpaType", "linkType", "eSwitchMode", "excludeTopology", "needVhostNet", "isRdma"),
    "mtu",
)
_SPEC_LEFT_OUT = {
    "bridge": "virtfn manages no OVS bridges",
    "eSwitchParams": "virtfn does not set up the e-switch",
}
_SWITCHDEV = "set it before there are VFs, with `devlink dev eswitch set pci/ADDRESS mode switchdev`"
_LINK_TYPE = "virtfn leaves the link type of a card as it is"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Objects:
    policies: tuple[Asked, ...]
    networks: tuple[Translated, ...]
    others: tuple[str, ...]


def translate_sno(documents: Sequence[object], prefix: str = PREFIX) -> Translation:
    """Translate the objects of a file, in any order and number; lists of `kubectl get` are read, too.

    Raises:
        UnfitError: there is no object of the operator in it, or the operator's schema or webhook would refuse one.
    """
    items = [item for n, document in enumerate(documents) for item in _single(Item(document, (n,)))]
    if len(items) > MOST_OBJECTS:
        raise items[MOST_OBJECTS].unfit(f"more than {MOST_OBJECTS} objects; split the file")
    found = _objects(items, prefix)
    if not found.policies and not found.networks:
        kinds = ", ".join([POLICY, *NETWORKS])
        first = items[0] if items else Item(None, (0,))
        version = clipped(mapping_of(first.value).get("apiVersion"))
        text = f"want objects of apiVersion {GROUP}/v1 and kind {kinds}"
        raise first.unfit(f"{text}; this is {called(first.value)} of apiVersion {version}")
    return Translation(results=(*written(settled(found.policies)), *found.networks), notes=found.others)


def _single(document: Item) -> Iterator[Item]:
    """Yield the objects of a document: itself, or the items of a list."""
    fields = mapping_of(document.value)
    if isinstance(fields.get("items"), list) and str(fields.get("kind", "")).endswith("List"):
        for item in document.at("items", fields["items"]).items(MOST_OBJECTS):
            yield from _single(item)
    else:
        yield document


def _objects(items: Sequence[Item], prefix: str) -> _Objects:
    policies, networks, others = [], [], []
    seen: dict[tuple[str, str, str], Item] = {}
    for item in items:
        kind = mapping_of(item.value).get("kind")
        if not isinstance(kind, str) or not _is_theirs(item):
            others.append(f"{called(item.value)}: not translated; the operator does not read it")
            continue
        if kind in _OTHER_KINDS:
            others.append(f"{called(item.value)}: not translated; {_OTHER_KINDS[kind]}")
        elif kind == POLICY:
            policies += _policy(item, prefix)
        elif kind in NETWORKS:
            networks.append(network(item, kind, prefix))
        else:
            others.append(f"{called(item.value)}: not translated; virtfn does not know this kind")
            continue
        _expect_new(item, kind, seen)
    return _Objects(policies=tuple(policies), networks=tuple(networks), others=tuple(others))


def _is_theirs(item: Item) -> bool:
    version = mapping_of(item.value).get("apiVersion")
    return isinstance(version, str) and version.startswith(f"{GROUP}/")


def _expect_new(item: Item, kind: str, seen: dict[tuple[str, str, str], Item]) -> None:
    metadata = mapping_of(mapping_of(item.value).get("metadata"))
    key = (kind, str(metadata.get("namespace")), str(metadata.get("name")))
    if seen.setdefault(key, item) is not item:
        raise item.unfit(f"{kind} {key[2][:63]} is there twice")


# --- one policy ------------------------------------------------------------------------------------------------------


def _policy(item: Item, prefix: str) -> list[Asked]:
    fields = item.fields()
    metadata = needed(fields, "metadata", item)
    name = needed(metadata.fields(), "name", metadata).matching(OBJECT_NAME, "an object's name")
    if name == "default":
        return []  # the operator makes it and reads nothing of it
    holder = needed(fields, "spec", item)
    spec = holder.fields()
    count = needed(spec, "numVfs", holder).number(MOST_VFS, "number of VFs")
    foreign = "externallyManaged" in spec and spec["externallyManaged"].switch()
    driver = _DRIVERS[_word(spec, "deviceType", tuple(_DRIVERS)) or "netdevice"]
    infiniband = (_word(spec, "linkType", ("eth", "ETH", "ib", "IB")) or "").lower() == "ib"
    priority = spec["priority"].number(LOWEST, "priority") if "priority" in spec else LOWEST
    rdma = _rdma(spec, driver)
    targets, left_open = _targets(needed(spec, "nicSelector", holder), count)
    asked = Asked(
        source=f"{POLICY} {name}",
        place=item.place,
        name=name,
        resource=full_name(prefix, needed(spec, "resourceName", holder)),
        driver=driver,
        targets=distinct([replace(target, count=None if foreign else count) for target in targets]),
        nodes=Nodes(labels=_labels(spec)),
        priority=LOWEST - priority,
        rank=priority,
        # The operator sets the MAC of each VF, of which a ConnectX makes the GUID by which rdma_cm knows it. Which
        # network a card is on is not known here; a policy that asks for both gets what it has.
        guid=infiniband or rdma,
        mac=rdma and not infiniband,
        topology=not ("excludeTopology" in spec and spec["excludeTopology"].switch()),
        vhost_net="needVhostNet" in spec and spec["needVhostNet"].switch(),
        mtu=(spec["mtu"].number(MAX_MTU, "MTU") or None) if "mtu" in spec else None,
        rdma=rdma,
        notes=(*_words(spec), *left_out(spec, _SPEC_FIELDS, _SPEC_LEFT_OUT)),
        open=(*left_open, *_open(spec, count)),
    )
    return [replace(asked, targets=tuple(_first_vfs(target, count) for target in asked.targets)) if foreign else asked]


def _rdma(spec: Mapping[str, Item], driver: str) -> bool:
    """Refuse what the operator's webhook refuses: RDMA on a vfio driver."""
    asked = "isRdma" in spec and spec["isRdma"].switch()
    if asked and driver != KERNEL_DRIVER:
        raise spec["isRdma"].unfit("needs deviceType netdevice: a function on vfio-pci has no RDMA device")
    return asked


def _first_vfs(target: Target, count: int) -> Target:
    """Name the first `count` VFs, where more of them may exist."""
    return target if target.indexes is not None or not count else replace(target, indexes=first_indexes(count))


def _labels(spec: Mapping[str, Item]) -> tuple[tuple[str, str], ...]:
    found = spec["nodeSelector"].fields() if "nodeSelector" in spec else {}
    if len(found) > LIST_LIMIT:
        raise spec["nodeSelector"].unfit(f"more than {LIST_LIMIT} labels")
    for key, item in found.items():
        if not _LABEL.fullmatch(key):
            raise item.unfit("is not the name of a label")
    return tuple((key, item.matching(_VALUE, "the value of a label")) for key, item in found.items())


def _word(spec: Mapping[str, Item], field: str, words: tuple[str, ...]) -> str | None:
    return spec[field].one_of(words) if field in spec and spec[field].value != "" else None


def _words(spec: Mapping[str, Item]) -> Iterator[str]:
    """Yield what is said of fields with values of their own."""
    if _word(spec, "eSwitchMode", ("legacy", "switchdev")) == "switchdev":
        yield f"eSwitchMode switchdev is not carried over: {_SWITCHDEV}"
    if kind := _word(spec, "linkType", ("eth", "ETH", "ib", "IB")):
        yield f"linkType {kind} is not carried over: {_LINK_TYPE}"


def _open(spec: Mapping[str, Item], count: int) -> Iterator[str]:
    if kind := _word(spec, "vdpaType", ("virtio", "vhost")):
        yield f"vdpaType {kind}: virtfn makes and offers no vdpa devices"
    if not count:
        yield "numVfs 0: the operator does nothing then; a SriovPolicy with count 0 takes the VFs away"


def _targets(item: Item, count: int) -> tuple[list[Target], tuple[str, ...]]:
    fields = item.fields()
    vendor, device = (_id(fields.get(field)) for field in ("vendor", "deviceID"))
    names, roots = pf_names(fields.get("pfNames")), root_devices(fields.get("rootDevices"))
    expect_few(item, names, roots)
    _expect_ranges(fields, names, roots, count)
    pfs: list[Named] = both(names, roots) or [(DeviceMatcher(), None)]
    alone = None if device or names or roots else _NETWORK_CLASS
    targets = [
        Target(matcher=replace(pf, vendor=vendor, device=device, class_code=alone), indexes=indexes)
        for pf, indexes in pfs
    ]
    return targets, tuple(_unequal(fields, vendor, device, pfs))


def _id(item: Item | None) -> str | None:
    return hex_id(item) if item is not None and item.value != "" else None


def _unequal(fields: Mapping[str, Item], vendor: str | None, device: str | None, pfs: Sequence[Named]) -> Iterator[str]:
    if "netFilter" in fields and fields["netFilter"].value:
        yield f"netFilter {fields['netFilter'].text()}: a policy does not choose by network; name the PFs"
    elif not (vendor or device) and pfs[0][0] == DeviceMatcher():
        yield "nicSelector: is empty, and selects nothing for the operator; name a device"


def _expect_ranges(fields: Mapping[str, Item], names: Sequence[Named], roots: Sequence[Named], count: int) -> None:
    """Refuse ranges that the operator's webhook refuses."""
    for n, (_, indexes) in enumerate(names):
        if indexes is not None and indexes.ranges[-1][1] >= count:
            raise fields["pfNames"].items()[n].unfit(f"VF {indexes.ranges[-1][1]} is not below numVfs {count}")
    for n, (_, indexes) in enumerate(roots):
        if indexes is not None:
            raise fields["rootDevices"].items()[n].unfit("a PCI address has no range; only pfNames do")

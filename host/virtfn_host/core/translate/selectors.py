"""One resource of the network device plugin: its selectors as targets, and its drivers as the driver of a pool."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from virtfn_host.core.translate.asked import Asked, Target
from virtfn_host.core.translate.devices import (
    Named,
    address,
    both,
    distinct,
    expect_few,
    full_name,
    hex_ids,
    pf_names,
    root_devices,
)
from virtfn_host.core.translate.drivers import VFIO, pool_driver
from virtfn_host.core.translate.item import Item, needed
from virtfn_host.core.translate.vf_ids import Known, known_devices
from virtfn_host.core.translate.words import left_out
from virtfn_host.core.values.desired import KERNEL_DRIVER, DeviceMatcher

NET, ACCELERATOR, AUXILIARY = "netDevice", "accelerator", "auxNetDevice"
_CLASSES = {NET: "02", ACCELERATOR: "12"}
"""PCI base classes that the plugin looks at."""
_LINKS = {"ether": "0200", "infiniband": "0207"}

_DRIVER = re.compile(r"[A-Za-z0-9_-]{1,55}")

_RESOURCE_FIELDS = ("resourceName", "resourcePrefix", "deviceType", "excludeTopology", "selectors")
_RESOURCE_LEFT_OUT = {
    "additionalInfo": "containers get no variable with additional information",
    "isRdma": "the plugin reads it among the selectors only",
}
_SELECTOR_FIELDS = (
    *("vendors", "devices", "drivers", "pfNames", "rootDevices", "pciAddresses", "linkTypes"),
    *("needVhostNet", "isRdma"),
)
_SELECTOR_OPEN = {
    "acpiIndexes": "a policy does not choose by ACPI index: name the PF and `indexes`",
    "ddpProfiles": "a policy does not choose by the PF's DDP package: name the PFs that have it",
    "pKeys": "a policy does not choose by partition key: name the PF and `indexes`",
    "vdpaType": "virtfn makes and offers no vdpa devices",
}
_SOME_VHOST = "needVhostNet of some selectors: containers get /dev/vhost-net and /dev/net/tun with every VF of the pool"
_SOME_RDMA = "isRdma of some selectors: containers get RDMA device nodes with every VF, and one without is unhealthy"
_BY_STATE = (
    "{field}: only functions {which} were offered; a policy takes all VFs of its PFs, so add `indexes` if some are"
    " used otherwise"
)
_NO_RDMA = "isRdma is not carried over: a function on {driver} has no RDMA device, so the plugin offers none of these"
_AUXILIARY = "deviceType auxNetDevice: virtfn offers PCI functions, and no auxiliary devices (subfunctions)"
_EVERY_CARD = "selectors: no vendor, device, PF or link type is named, so the policy would take the VFs of every card"
_ADDRESSES = "pciAddresses: these are VFs; write their PF's address, and `indexes`; `virtfn list` shows both"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What selectors mean, what is not carried over, and what a person must decide."""

    targets: tuple[Target, ...] = ()
    notes: tuple[str, ...] = ()
    open: tuple[str, ...] = ()


def resource(entry: Item, prefix: str) -> Asked:
    """Return what one entry of `resourceList` asks for."""
    fields = entry.folded()
    own = fields["resourceprefix"].text() if "resourceprefix" in fields else prefix
    name = needed(fields, "resourceName", entry)
    kind = fields["devicetype"].one_of((NET, ACCELERATOR, AUXILIARY)) if "devicetype" in fields else NET
    full = full_name(own, name)
    asked = Asked(
        source=f"{entry.name}, {full}",
        place=entry.place,
        name=name.text(),
        resource=full,
        driver=KERNEL_DRIVER,
        targets=(),
        topology=not ("excludetopology" in fields and fields["excludetopology"].switch()),
        notes=left_out(fields, _RESOURCE_FIELDS, _RESOURCE_LEFT_OUT),
    )
    return replace(asked, open=(_AUXILIARY,)) if kind == AUXILIARY else _chosen(asked, fields, kind)


def _chosen(asked: Asked, fields: Mapping[str, Item], kind: str) -> Asked:
    selectors = [(item, item.folded()) for item in _objects(fields)]
    found = [_selected(item, given, kind) for item, given in selectors]
    drivers = list(dict.fromkeys(name for _, given in selectors for name in _drivers(given)))
    driver = pool_driver(drivers, KERNEL_DRIVER if kind == NET else VFIO)
    vhost = [_is_set(given, "needvhostnet") for _, given in selectors]
    rdma = [_is_set(given, "isrdma") for _, given in selectors]
    may_have = kind == NET and driver.driver == KERNEL_DRIVER
    notes = (*asked.notes, *driver.notes, *(note for one in found for note in one.notes))
    notes += (_SOME_VHOST,) if any(vhost) and not all(vhost) else ()
    if any(rdma) and not may_have:
        notes += (_NO_RDMA.format(driver=driver.driver),)
    elif any(rdma) and not all(rdma):
        notes += (_SOME_RDMA,)
    left_open = (*driver.open, *(text for one in found for text in one.open))
    targets = distinct([target for one in found for target in one.targets])
    if any(target.indexes is None and not target.whole for target in targets):
        notes += (_BY_STATE.format(field="drivers", which=f"on {' or '.join(drivers)}"),) if drivers else ()
        notes += (_BY_STATE.format(field="isRdma", which="with an RDMA device"),) if any(rdma) and may_have else ()
    return replace(
        asked,
        driver=driver.driver,
        vhost_net=any(vhost),
        rdma=any(rdma) and may_have,
        chosen_by=(driver.driver, *(["isRdma"] if any(rdma) else [])),
        targets=targets,
        notes=tuple(dict.fromkeys(notes)),
        open=tuple(dict.fromkeys(left_open)),
    )


def _objects(fields: Mapping[str, Item]) -> list[Item]:
    """Return the objects of selectors: one, or a list of which any may fit."""
    item = fields.get("selectors", Item({}, (0,)))
    return item.items() if isinstance(item.value, list) else [item]


def _drivers(fields: Mapping[str, Item]) -> list[str]:
    items = fields["drivers"].items() if "drivers" in fields else []
    return [item.matching(_DRIVER, "a driver's name like vfio-pci") for item in items]


def _selected(item: Item, fields: Mapping[str, Item], kind: str) -> _Found:
    """Return what one object of selectors means; all of its selectors must fit."""
    found = _devices(item, fields, kind)
    left = left_out(fields, (*_SELECTOR_FIELDS, *_SELECTOR_OPEN), {})
    return replace(found, notes=(*found.notes, *left), open=(*found.open, *_unequal(fields)))


def _is_set(fields: Mapping[str, Item], name: str) -> bool:
    return name in fields and fields[name].value is True


def _unequal(fields: Mapping[str, Item]) -> Iterator[str]:
    for field, text in _SELECTOR_OPEN.items():
        if field.lower() in fields and fields[field.lower()].value:
            yield f"{field}: {text}"


def _devices(item: Item, fields: Mapping[str, Item], kind: str) -> _Found:
    vendors, devices = hex_ids(fields.get("vendors")), hex_ids(fields.get("devices"))
    names = pf_names(fields.get("pfnames")) if kind == NET else []
    roots = root_devices(fields.get("rootdevices")) if kind == NET else []
    expect_few(item, vendors, devices, names, roots)
    subclass = _subclass(fields.get("linktypes")) if kind == NET else None
    if "pciaddresses" in fields:
        return _by_address(fields["pciaddresses"])
    if names or roots:
        return _by_pf(both(names, roots), vendors, devices, subclass)
    if devices:
        return _by_ids(vendors, devices, subclass)
    targets = [DeviceMatcher(vendor=vendor, class_code=subclass or _CLASSES[kind]) for vendor in vendors or (None,)]
    left_open = () if vendors or subclass else (_EVERY_CARD,)
    return _Found(targets=tuple(Target(matcher=matcher) for matcher in targets), open=left_open)


def _subclass(item: Item | None) -> str | None:
    """Return the PCI class of a link type; None for none, and for both."""
    links = {one.one_of(tuple(_LINKS)) for one in item.items()} if item is not None else set()
    return _LINKS[links.pop()] if len(links) == 1 else None


def _by_address(item: Item) -> _Found:
    """Return targets by the function's own address, to be completed by hand: a policy has the PF's and an index."""
    addresses = [address(one) for one in item.items()]
    return _Found(targets=tuple(Target(matcher=DeviceMatcher(address=one)) for one in addresses), open=(_ADDRESSES,))


def _by_pf(pfs: Sequence[Named], vendors: Sequence[str], devices: Sequence[str], subclass: str | None) -> _Found:
    """Return targets by the PF's name or address. IDs of VFs are left out: the PFs of one model have up to 33 IDs."""
    named = [(replace(pf, class_code=subclass), indexes) for pf, indexes in pfs]
    known = {device: known_devices(vendors, device) for device in devices}
    whole = [one for found in known.values() for one in found if one.whole]
    of_vfs = [device for device, found in known.items() if not (found and found[0].whole)]
    targets = [
        Target(matcher=replace(pf, vendor=one.vendor, device=one.device), whole=True)
        for pf, _ in named
        for one in whole
    ]
    if of_vfs or not whole:
        cards = _cards([known[device] for device in of_vfs])
        targets += [
            Target(matcher=replace(pf, vendor=vendor), indexes=indexes, cards=cards)
            for pf, indexes in named
            for vendor in vendors or (None,)
        ]
    ids = f"devices {', '.join(of_vfs)}: left out; they are IDs of VFs, and the PFs are named"
    return _Found(targets=tuple(targets), notes=(ids,) if of_vfs else ())


def _cards(known: Sequence[Sequence[Known]]) -> frozenset[tuple[str, str]]:
    """Return the IDs of all these PFs; nothing where some are not known."""
    return frozenset((one.vendor, one.device) for found in known for one in found) if all(known) else frozenset()


def _by_ids(vendors: Sequence[str], devices: Sequence[str], subclass: str | None) -> _Found:
    targets, notes, left_open = [], [], []
    for device in devices:
        known = known_devices(vendors, device)
        targets += [
            Target(matcher=DeviceMatcher(vendor=one.vendor, device=one.device, class_code=subclass), whole=one.whole)
            for one in known
        ]
        if not known:
            targets += [Target(matcher=DeviceMatcher(vendor=vendor, device=device)) for vendor in vendors or (None,)]
            left_open.append(f"devices {device}: virtfn does not know it; write the PF's ID, which `virtfn list` shows")
        elif known[0].whole:
            notes.append(f"devices {device}: the ID of a PF; the policy offers the PF itself, if it has no VFs")
        else:
            pfs = ", ".join(one.device for one in known)
            notes.append(f"devices {device}: the ID of a VF; its PFs are {pfs}; add yours if it is another")
    return _Found(targets=tuple(targets), notes=tuple(notes), open=tuple(left_open))

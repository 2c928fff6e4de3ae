"""usable(wanted, function, inventory) -> reasons: whether a pod could use a function that is on offer. Pure.

Healthy means usable, and this is the one place that says so. Pools, verify and with it the status, and `explain` ask
here; the device plugin asks again about the device nodes, by the same list (`vfio_nodes.py`). `usable.py` has the
checks that are also made before a function is bound, and their sentences.

What is not known is not usable: a file that could not be read is named in the reason. Nothing here disturbs a running
pod: a function with a reason is offered to no new pod, and that is all.
"""

from collections.abc import Iterable, Iterator

from virtfn_host.core.checks.beside import missing_beside
from virtfn_host.core.checks.network import NETWORK_CLASS
from virtfn_host.core.checks.rdma import missing_rdma
from virtfn_host.core.checks.usable import Hindrance, no_iommu, shared_group, vf_token
from virtfn_host.core.checks.vfio_nodes import MISSING
from virtfn_host.core.values.desired import KERNEL_DRIVER, DesiredFunction
from virtfn_host.core.values.link import INFINIBAND_CLASS, on_infiniband
from virtfn_host.core.values.mac import ZERO_GUID
from virtfn_host.core.values.model import Function, Inventory, Unreadable, Vf
from virtfn_host.core.values.parts import OF_VFIO, Part
from virtfn_host.core.values.reasons import Reason

NVME_CLASS, NVME_DRIVER = "0108", "nvme"
"""Beginning of the PCI class code of NVMe controllers, and the kernel's own driver for them."""

NOT_NETWORK = frozenset({"uio_pci_generic", "igb_uio", "pci-stub", "pci-pf-stub", "xen-pciback"})
"""Drivers that are neither vfio's nor make netdevs."""

VIRT_MGMT = "an NVMe VF is offline until its PF says otherwise: `nvme virt-mgmt` (docs/runbook.md)"

_LOOK = "unknown counts as not usable"
_LEAVE_OUT = "leave allocation.requireLink out"


def in_place(wanted: DesiredFunction, function: Function) -> bool:
    """Return whether a function is on its wanted driver."""
    if wanted.driver == KERNEL_DRIVER:
        return function.driver is not None and not function.vfio_bound
    return function.driver == wanted.driver


def makes_netdevs(driver: str | None, class_code: str) -> bool:
    """Return whether a driver that is none of vfio's makes netdevs of a function of this class."""
    return driver is not None and driver not in NOT_NETWORK and class_code.startswith(NETWORK_CLASS)


def usable(wanted: DesiredFunction, function: Function, inventory: Inventory) -> tuple[Hindrance, ...]:
    """Return every reason why a pod could not use a function as it is offered, the gravest first; none: it could.

    Args:
        wanted: what its policy asks.
        function: the function as it is.
        inventory: the machine that it is part of.
    """
    if not in_place(wanted, function):
        return (_off_driver(wanted, function),)
    found = list(_of_vfio(wanted, function, inventory)) if function.vfio_bound else []
    found += [_unknown(function, inventory, None), _shared(function, inventory), *lacking(function, inventory)]
    found += _without_rdma(function, inventory) if wanted.extras.rdma else ()
    found += missing_beside(wanted.extras, function, inventory)
    found += _without_cdev(function, inventory) if wanted.extras.iommufd else ()
    if wanted.require_link:
        found.append(link_down(function, inventory) or _link_unknown(function, inventory))
    return tuple(hindrance for hindrance in found if hindrance is not None)


def _off_driver(wanted: DesiredFunction, function: Function) -> Hindrance:
    reason = Reason.BIND_FAILED if function.driver is None else Reason.DRIFTED
    text = f"is on {function.driver or 'no driver'}, wanted {wanted.driver or 'no driver'}"
    remedy = f"virtfn binds it, unless the status says what is in the way{nvme_hint(wanted, function)}"
    return Hindrance(reason=reason, message=text, remedy=remedy)


def _of_vfio(wanted: DesiredFunction, function: Function, inventory: Inventory) -> Iterator[Hindrance | None]:
    yield no_iommu(function.iommu_group, inventory, allowed=wanted.unsafe_no_iommu)
    yield vf_token(function, inventory)


def _shared(function: Function, inventory: Inventory) -> Hindrance | None:
    """Check that vfio hands out its group. A group that is unknown is an unreadable entry of its card."""
    if not function.vfio_bound:
        return None
    group = inventory.group(function.iommu_group)
    if group is None and function.iommu_group is not None:
        return _unknown(_card(function, inventory), inventory, None)
    return shared_group(function.address, group, is_vf=isinstance(function, Vf))


# --- parts of the function itself ------------------------------------------------------------------------------------


def lacking(function: Function, inventory: Inventory) -> tuple[Hindrance, ...]:
    """Return a reason for each part of a function on its driver that is missing or could not be read."""
    parts = OF_VFIO if function.vfio_bound else (Part.NETDEV, Part.GUID, Part.CONTROLLER)
    found = [_missing(function, part) for part in parts if part in function.lacks]
    found += [_unknown(function, inventory, part) for part in parts]
    found.append(_no_guid(function, inventory))
    return tuple(hindrance for hindrance in found if hindrance is not None)


def _without_rdma(function: Function, inventory: Inventory) -> Iterable[Hindrance]:
    lost = _unknown(function, inventory, Part.RDMA)
    return missing_rdma(function, inventory) if lost is None else (lost,)


def _without_cdev(function: Function, inventory: Inventory) -> Iterator[Hindrance | None]:
    if Part.CDEV in function.lacks:
        yield _missing(function, Part.CDEV)
    yield _unknown(function, inventory, Part.CDEV)


def _missing(function: Function, part: Part) -> Hindrance | None:
    match part:
        case Part.NODE:
            return _not_usable(f"has {MISSING[part]}", "is /dev of the host whole? unbind and bind it again")
        case Part.CONTAINER:
            return _not_usable(f"has {MISSING[part]}", "`modprobe vfio` makes it; is /dev of the host whole?")
        case Part.IOMMUFD:
            return _not_usable(f"has {MISSING[part]}", "`modprobe iommufd` makes it; is /dev of the host whole?")
        case Part.CDEV:
            return _not_usable(f"has {MISSING[part]}", "boot a kernel that makes it, or leave grant.iommufd out")
        case Part.NETDEV if makes_netdevs(function.driver, function.class_code):
            text = f"is on {function.driver} and has no netdev, in no network namespace"
            return _not_usable(text, "see the kernel log, then unbind and bind it again")
        case Part.GUID:
            return _zero_guid()
        case Part.CONTROLLER:
            return _not_usable("has no NVMe controller that is live", VIRT_MGMT)
    return None


def _no_guid(function: Function, inventory: Inventory) -> Hindrance | None:
    """Check the GUIDs of an InfiniBand VF that its PF shows, unless it has shown its own already."""
    if not isinstance(function, Vf) or Part.GUID in function.lacks:
        return None
    if function.link is None:  # not read, or it could not be
        return _unknown(_card(function, inventory), inventory, Part.GUID) if inventory.unreadable else None
    if ZERO_GUID not in (function.link.node_guid, function.link.port_guid):
        return None
    pf = inventory.pf(function.pf)
    return _zero_guid() if pf is not None and on_infiniband(pf) else None


def _zero_guid() -> Hindrance:
    text = "has no GUID (it is zero), so no subnet manager will serve it"
    return _not_usable(text, "ask for link.guid: Stable, or set it: `ip link set PF vf N node_guid ... port_guid ...`")


def nvme_hint(wanted: DesiredFunction, function: Function) -> str:
    """Return, for an NVMe VF that its own driver did not take, the usual cause; else nothing."""
    own = wanted.driver in (KERNEL_DRIVER, NVME_DRIVER)
    return f"; {VIRT_MGMT}" if own and function.driver is None and nvme_vf(function) else ""


def nvme_vf(function: Function) -> bool:
    """Whether a function is an NVMe VF: whether it is online only its PF's controller knows, and sysfs does not say."""
    return isinstance(function, Vf) and function.class_code.startswith(NVME_CLASS)


# --- the link --------------------------------------------------------------------------------------------------------


def link_down(function: Function, inventory: Inventory) -> Hindrance | None:
    """Return that a function has no link because its own netdev, or that of its PF, is down or has no carrier."""
    card = _card(function, inventory)
    whose = "" if card is function else f"its PF {card.address}: "
    found = link_trouble(card)
    return None if found is None else _not_usable(f"has no link: {whose}{found[0]}", found[1])


def link_trouble(card: Function) -> tuple[str, str] | None:
    """Return what is wrong with the link that this very function shows by its netdev, or on InfiniBand by its ports,
    and the remedy."""
    if Part.PORT in card.lacks:
        return "no InfiniBand port of it is active", "look at the cable and the subnet manager"
    netdev = card.netdevs[0] if card.netdevs else ""
    if Part.UP in card.lacks:
        return f"netdev {netdev} is down", f"`ip link set {netdev} up`"
    if Part.CARRIER in card.lacks:
        return f"netdev {netdev} has no carrier", "look at the cable and the switch"
    return None


def _link_unknown(function: Function, inventory: Inventory) -> Hindrance | None:
    card = _card(function, inventory)
    if (lost := _lost(card, inventory, Part.UP)) is not None:
        return _unread(lost)
    if card.netdevs and card.class_code.startswith(NETWORK_CLASS):
        return None
    if card.rdma and card.class_code.startswith(INFINIBAND_CLASS):
        return None
    text = f"shows no link: {card.address} has no netdev in the host's network namespace"
    return _not_usable(text, f"{_LOOK}; {_LEAVE_OUT}")


def _card(function: Function, inventory: Inventory) -> Function:
    """The function whose netdev shows the link: of a VF its PF."""
    pf = inventory.pf(function.pf) if isinstance(function, Vf) else None
    return pf or function


# --- reading the machine ---------------------------------------------------------------------------------------------


def _unknown(function: Function, inventory: Inventory, part: Part | None) -> Hindrance | None:
    lost = _lost(function, inventory, part)
    return None if lost is None else _unread(lost)


def _lost(function: Function, inventory: Inventory, part: Part | None) -> Unreadable | None:
    return next((it for it in inventory.unreadable if it.device == function.address and it.part is part), None)


def _unread(lost: Unreadable) -> Hindrance:
    text = f"{lost.path} could not be read: {lost.error}"
    return Hindrance(reason=Reason.UNREADABLE, message=text, remedy=_LOOK)


def _not_usable(text: str, remedy: str) -> Hindrance:
    return Hindrance(reason=Reason.NOT_USABLE, message=text, remedy=remedy)

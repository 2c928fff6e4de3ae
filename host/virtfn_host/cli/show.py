"""Formats functions for people: a table, and an explanation. Pure: returns text, and the caller prints it."""

from virtfn_host.cli.paint import PLAIN, Paint
from virtfn_host.core.checks.healthy import VIRT_MGMT, nvme_vf
from virtfn_host.core.checks.usable import Hindrance
from virtfn_host.core.tell.explain import Described, Explanation
from virtfn_host.core.tell.listing import Row, stays
from virtfn_host.core.tell.pci_ids import Names
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.holders import Cause, Holder, holder_text
from virtfn_host.core.values.model import Function, Pf, Vf

_WHEN = {
    "permanentMac": "(devices: this port, whatever its name and address are)",
    "serialNumber": "(devices: this card, wherever it is; its other PFs have the same)",
    "slot": "(devices: this place, whatever card is in it)",
}
"""When to name which in `devices` of a policy."""

_HEAD = ("ADDRESS", "ID", "CLASS", "DRIVER", "MODULES", "GROUP", "NUMA", "FUNCTION", "IN USE BY")


def function_table(rows: tuple[Row, ...], *, names: bool = False, paint: Paint = PLAIN) -> str:
    """Return one line per function, VFs indented below their PF.

    With `names`, two more columns have what stays with the function, as a policy names it, and the names of its ids.
    """
    shown = {row.function.address for row in rows}
    cells: list[tuple[str, ...]] = [(*_HEAD, "STAYS", "NAME") if names else _HEAD]
    cells += [_cells(row, names, indented=row.pf in shown) for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    lines = []
    for number, line in enumerate(cells):
        padded = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        padded[-1] = padded[-1].rstrip()
        if number == 0:
            padded = [paint.head(cell) for cell in padded]
        elif line[8]:
            padded[8] = paint.held(padded[8])
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def _cells(row: Row, names: bool, *, indented: bool) -> tuple[str, ...]:
    ids, function = row.ids, row.function
    return (
        f"  {function.address}" if indented else str(function.address),
        f"{ids.vendor}:{ids.device}",
        ids.class_code[:4],
        function.driver or "-",
        ",".join(row.could_drive) or "-",
        _or_dash(function.iommu_group),
        _or_dash(function.numa_node),
        ", ".join((_kind(function), *function.netdevs)),
        "; ".join(_users(function.needed_for, row.holders)),
        *((_stays(function) or "-", str(row.names) or "-") if names else ()),
    )


def _stays(function: Function) -> str:
    return " ".join(f"{name}={value}" for name, value in stays(function) if value is not None)


def _kind(function: Function) -> str:
    match function:
        case Vf():
            return f"VF {function.index}"
        case Pf():
            return f"PF, {function.num_vfs} of {function.total_vfs} VFs"
        case _:
            return "no SR-IOV"


def explanation(found: Explanation, names: Names | None = None, *, paint: Paint = PLAIN) -> str:
    """Return what a function is, and whether it can be passed through."""
    function = found.described.function
    lines = [
        ("function", f"{function.address}  {function.vendor}:{function.device}  class {function.class_code[:4]}"),
        *([("name", str(names))] if names and str(names) else []),
        *([("subsystem", names.subsystem)] if names and names.subsystem else []),
        ("is", _relation(found.described)),
        *([("netdev", ", ".join(function.netdevs))] if function.netdevs else []),
        *((name, f"{value}  {_WHEN[name]}") for name, value in stays(function) if value is not None),
        ("driver", (function.driver or "none") + _override(function)),
        ("could drive it", _could_drive(found)),
        ("IOMMU group", _group(found.described)),
        ("NUMA node", _or_dash(function.numa_node)),
        ("in use by", "; ".join(_users(function.needed_for, found.holders)) or "nothing that can be seen"),
        *_lock(found.described),
        *_online(function),
        *_verdicts(found, paint),
    ]
    return "\n".join(f"{name:<15} {text}".rstrip() for name, text in lines)


def _lock(described: Described) -> list[tuple[str, str]]:
    """Return a note, not a hindrance: a pod may be able to open the group's node that this process cannot."""
    if described.lock_trouble is None:
        return []
    text = f"the in-use lock cannot be taken from here: {described.lock_trouble}"
    return [("note", f"{text}; so virtfn would not touch the function")]


def _online(function: Function) -> list[tuple[str, str]]:
    """Return a note, not a hindrance: the kernel does not show whether an NVMe VF is online."""
    return [("note", f"{VIRT_MGMT}; sysfs does not show whether this one is online")] if nvme_vf(function) else []


def _verdicts(found: Explanation, paint: Paint) -> list[tuple[str, str]]:
    function = found.described.function
    if function.vfio_bound and not found.hindrances:
        busy = "; while it is in use, no other program can open it" if found.holders else ""
        own = [("passthrough", paint.good(f"is set up: {function.driver} has it") + busy)]
    elif found.hindrances:
        own = [("passthrough", paint.bad("does not work:")), *_hindrances(found.hindrances)]
    else:
        own = [("passthrough", paint.good(f"works: virtfn bind {function.address}{_variant(found)}"))]
    match found.vf_hindrances:
        case None:
            return own
        case ():
            return [*own, ("VFs of it", paint.good("can be made and passed through: virtfn apply -f POLICY.yaml"))]
        case hindrances:
            return [*own, ("VFs of it", paint.bad("passthrough does not work:")), *_hindrances(hindrances)]


def _hindrances(hindrances: tuple[Hindrance, ...]) -> list[tuple[str, str]]:
    return [("", f"{hindrance.reason}: {hindrance.text}") for hindrance in hindrances]


def _variant(found: Explanation) -> str:
    """Return how to choose a driver made for the device: it can do what vfio-pci cannot, such as migration."""
    return f" (or --driver {found.variants[0]}, made for this device)" if found.variants else ""


def _could_drive(found: Explanation) -> str:
    listed = ", ".join(found.could_drive)
    if found.modules_seen:
        return listed or "no driver of this kernel"
    unseen = "cannot see the kernel's modules in /lib/modules"
    return f"{listed} ({unseen})" if listed else unseen


def _relation(described: Described) -> str:
    if described.bridge:
        return "a bridge"
    if isinstance(function := described.function, Vf):
        return f"VF {function.index} of {function.pf}"
    if isinstance(function, Pf):
        return f"a PF with {described.num_vfs} of {function.total_vfs} VFs"
    return "a plain PCI function: it has no SR-IOV, so it cannot make VFs"


def _override(function: Function) -> str:
    return f" (driver_override {function.driver_override})" if function.driver_override else ""


def _group(described: Described) -> str:
    if described.group is None:
        return "none"
    others = [
        f"{member.address} ({member.driver or 'no driver'})"
        for member in described.group.members
        if member.address != described.function.address
    ]
    return f"{described.group.number}, " + (f"shared with {', '.join(others)}" if others else "alone in it")


def _users(needed_for: str | None, holders: tuple[Holder, ...]) -> tuple[str, ...]:
    """Return the machine's need first; a holder with the same cause would repeat it."""
    if needed_for is None:
        return tuple(map(_holder, holders))
    return f"needed: {needed_for}", *(_holder(holder) for holder in holders if holder.cause is not Cause.NEEDED)


def _holder(holder: Holder) -> str:
    return f"unknown: {holder_text(holder)}" if holder.unknown else holder_text(holder)


def missing(address: PciAddress) -> str:
    """Return the message for an address that the list does not show."""
    return f"{address}: no function that can be handed out; nothing is there, or a bridge"


def _or_dash(number: int | None) -> str:
    return "-" if number is None else str(number)

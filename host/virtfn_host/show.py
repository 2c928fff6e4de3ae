"""What `virtfn` prints for people: tables and explanations as text. Pure; colour and streams are the caller's."""

from virtfn_host.core.address import PciAddress
from virtfn_host.core.explain import Explanation, Function
from virtfn_host.core.model import InUse, Inventory

_HEAD = ("ADDRESS", "ID", "CLASS", "DRIVER", "GROUP", "NUMA", "FUNCTION", "IN USE BY")


def function_table(inventory: Inventory, in_use: InUse) -> str:
    """Every PF and, indented below it, its VFs."""
    rows: list[tuple[str, ...]] = [_HEAD]
    for pf in inventory.pfs:
        what = f"PF, {pf.num_vfs} of {pf.total_vfs} VFs" + (f", {pf.netdevs[0]}" if pf.netdevs else "")
        end = (_or_dash(pf.iommu_group), _or_dash(pf.numa_node), what, _held(in_use, pf.address))
        rows.append((str(pf.address), f"{pf.vendor}:{pf.device}", pf.class_code[:4], pf.driver or "-", *end))
        for vf in pf.vfs:
            end = (_or_dash(vf.iommu_group), _or_dash(pf.numa_node), f"VF {vf.index}", _held(in_use, vf.address))
            rows.append((f"  {vf.address}", f"{vf.vendor}:{vf.device}", pf.class_code[:4], vf.driver or "-", *end))
    return _table(rows)


def explanation(found: Explanation) -> str:
    """What a function is, and the verdict."""
    function = found.function
    lines = [
        ("function", f"{function.address}  {function.vendor}:{function.device}  class {function.class_code[:4]}"),
        ("is", _relation(function)),
        ("driver", (function.driver or "none") + _override(function)),
        ("could drive it", ", ".join(found.could_drive)),
        ("IOMMU group", _group(function)),
        ("NUMA node", _or_dash(function.numa_node)),
        ("in use by", "; ".join(holder.text for holder in found.holders) or "nobody that can be seen"),
    ]
    if found.hindrances:
        lines += [("passthrough", "does not work:")]
        lines += [("", f"{hindrance.reason}: {hindrance.message}") for hindrance in found.hindrances]
    elif function.vfio_bound:
        lines += [("passthrough", f"is set up: {function.driver} has it")]
    else:
        lines += [("passthrough", "works" + (f": virtfn bind {function.address}" if function.pf else ""))]
    return "\n".join(f"{name:<15} {text}".rstrip() for name, text in lines)


def _relation(function: Function) -> str:
    if function.pf is not None:
        return f"VF {_or_dash(function.index)} of {function.pf}"
    if function.total_vfs is not None:
        return f"a PF with {function.num_vfs} of {function.total_vfs} VFs"
    return "a plain PCI function: it cannot make VFs"


def _override(function: Function) -> str:
    return f" (driver_override {function.driver_override})" if function.driver_override else ""


def _group(function: Function) -> str:
    if function.group is None:
        return "none"
    others = [str(member.address) for member in function.group.members if member.address != function.address]
    return f"{function.group.number}, " + (f"shared with {', '.join(others)}" if others else "alone in it")


def _held(in_use: InUse, address: PciAddress) -> str:
    return "; ".join(holder.text for holder in in_use.of(address))


def _or_dash(number: int | None) -> str:
    return "-" if number is None else str(number)


def _table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )

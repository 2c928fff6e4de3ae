"""The output of `virtfn list --json` and `virtfn explain --json`: users' programs read it, so its keys stay.

Every kind of function has the same keys, null where there is nothing to say, whatever the model looks like inside.
"""

from dataclasses import replace
from typing import Any

from virtfn_host.core.tell.explain import Explanation
from virtfn_host.core.tell.listing import Row, stays
from virtfn_host.core.values.codec import encode
from virtfn_host.core.values.model import Function, Pf, Vf, own_fields

_LISTED = (
    *("address", "ids", "names", "driver", "driverOverride", "vfioBound", "modules", "vfioDrivers", "iommuGroup"),
    *("numaNode", "pf", "index", "totalVfs", "numVfs", "netdevs", "touched", "neededFor", "holders"),
    *("permanentMac", "serialNumber", "slot"),
)
_EXPLAINED = (
    *("address", "vendor", "device", "classCode", "driver", "driverOverride", "modalias", "numaNode", "group"),
    *("vfioBound", "pf", "index", "totalVfs", "numVfs", "netdevs", "bridge", "neededFor", "lockTrouble"),
    *("permanentMac", "serialNumber", "slot"),
)


def row_json(row: Row) -> dict[str, Any]:
    """One of the `functions` of `virtfn list --json`."""
    bare = Function(**own_fields(row.function))  # the VFs of a PF have rows of their own
    said = {**_kind(row.function), "numVfs": row.function.num_vfs, **encode(replace(row, function=bare))}
    return {key: said[key] for key in _LISTED}


def explanation_json(found: Explanation) -> dict[str, Any]:
    """Return the output of `virtfn explain --json` without ids and names."""
    explained = encode(found)
    said = {**_kind(found.described.function), **explained.pop("described")}
    return {"function": {key: said[key] for key in _EXPLAINED}, **explained}


def _kind(function: Function) -> dict[str, Any]:
    vf = function if isinstance(function, Vf) else None
    return {
        **encode(Function(**own_fields(function))),
        "pf": None if vf is None else str(vf.pf),
        "index": None if vf is None else vf.index,
        "totalVfs": function.total_vfs if isinstance(function, Pf) else None,
        **dict(stays(function)),
    }

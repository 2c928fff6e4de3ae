"""Draw any value of the model by the types of its fields: whatever their parsers accept, up to their bounds."""

import types
from collections.abc import Callable
from dataclasses import is_dataclass, replace
from enum import Enum
from functools import cache
from typing import Annotated, Any, Union, cast, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from virtfn_host.core.values import names
from virtfn_host.core.values.address import PciAddress
from virtfn_host.core.values.extras import node_mode
from virtfn_host.core.values.model import Pf
from virtfn_host.core.values.names import AtMost, Parsed, Within
from virtfn_host.core.values.rdma import rdma_node

ADDRESSES = st.builds(PciAddress, st.integers(0, 0xFFFF), st.integers(0, 0xFF), st.integers(0, 0x1F), st.integers(0, 7))

NAMES: dict[Callable[[str], str], st.SearchStrategy[str]] = {
    names.driver_name: st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.+() -]{0,61}[A-Za-z0-9_]", fullmatch=True),
    names.wish_name: st.from_regex(r"[A-Za-z0-9-]{0,64}", fullmatch=True),
    names.module_name: st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,54}", fullmatch=True),
    names.netdev_name: st.from_regex(r"[a-z0-9_.-]{3,15}", fullmatch=True),
    names.guid: st.from_regex(r"[0-9a-f]{2}(:[0-9a-f]{2}){7}", fullmatch=True),
    names.mac_address: st.from_regex(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", fullmatch=True),
    node_mode: st.from_regex(r"06[0246]{2}", fullmatch=True),
    rdma_node: st.from_regex(r"/dev/infiniband/(uverbs|umad|issm)[0-9]{1,10}", fullmatch=True),
    names.serial_number: st.from_regex(r"[0-9a-f]{2}(-[0-9a-f]{2}){7}", fullmatch=True),
    names.subsystem_ids: st.from_regex(r"[0-9a-f]{4}:[0-9a-f]{4}", fullmatch=True),
    names.slot_name: st.from_regex(r"[A-Za-z0-9-]{1,64}", fullmatch=True),
    names.label: st.text(st.characters(codec="utf-8"), max_size=60),
    names.shown_name: st.text(st.characters(exclude_characters="/\0\n", codec="utf-8"), min_size=1, max_size=60),
    names.override_text: st.text(st.characters(exclude_characters="\0\n", codec="utf-8"), min_size=1, max_size=60),
    names.sentence: st.text(st.characters(codec="utf-8")),
}
"""Some accepted texts for each parser."""


@cache
def values(hint: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for values of a model's type, or of a field's type."""
    origin = get_origin(hint)
    if origin is Annotated:
        return _bounded(*get_args(hint))
    if origin in (Union, types.UnionType):
        return st.one_of(*map(values, get_args(hint)))
    if origin is tuple:
        return st.lists(values(get_args(hint)[0]), max_size=5).map(tuple)
    if hint is PciAddress:
        return ADDRESSES
    if hint is str:
        return st.text(st.characters(codec="utf-8"))
    if hint is float:  # NaN is not JSON, and does not equal itself
        return st.floats(allow_nan=False, allow_infinity=False)
    if hint is int:
        return st.integers(-(1 << 63), (1 << 64) - 1)
    if is_dataclass(hint) and isinstance(hint, type):
        built = st.builds(hint, **{name: values(field) for name, field in _hints(hint).items()})
        return cast("st.SearchStrategy[Any]", built).map(_of_one_card) if hint is Pf else built
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(list(hint))
    return st.none() if hint is type(None) else st.from_type(hint)


def _bounded(hint: Any, bound: Parsed | Within | AtMost) -> st.SearchStrategy[Any]:
    if isinstance(bound, Parsed):
        return NAMES[bound.parse]
    if isinstance(bound, Within):
        return st.integers(bound.least, bound.most)
    return values(hint)


def _of_one_card(pf: Pf) -> Pf:
    """VFs have their PF's class and NUMA node."""
    own: dict[str, Any] = {"pf": pf.address, "class_code": pf.class_code, "numa_node": pf.numa_node}
    return replace(pf, vfs=tuple(replace(vf, **own) for vf in pf.vfs))


def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)

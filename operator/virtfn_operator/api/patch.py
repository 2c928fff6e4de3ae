"""RFC 7386 merge patches of JSON documents; equal documents give an empty patch, so nothing is written."""

from collections.abc import Mapping
from typing import Any


def merge_patch(old: Mapping[str, object], new: Mapping[str, object]) -> dict[str, object]:
    """Return the patch that turns `old` into `new`; empty when they are equal. Lists are replaced whole."""
    patch: dict[str, object] = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            if inner := merge_patch(before, value):
                patch[key] = inner
        elif key not in old or value != before:
            patch[key] = value
    return patch


def patched(old: object, patch: object) -> Any:
    """Return what an API server makes of a document and a merge patch; neither of them is changed."""
    if not isinstance(patch, Mapping):
        return patch
    whole = dict(old) if isinstance(old, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            whole.pop(key, None)
        else:
            whole[key] = patched(whole.get(key), value)
    return whole

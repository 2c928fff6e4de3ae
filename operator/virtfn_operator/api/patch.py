"""The RFC 7386 merge patch between two JSON documents; equal documents give an empty patch, so nothing is written."""

from collections.abc import Mapping


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
